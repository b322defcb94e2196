"""The frozen text tower, fed with embeddings instead of token ids, and run only as far as the longest EOS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cssa_mm.errors import ConfigError
from cssa_mm.models.frozen import Frozen
from cssa_mm.models.open_clip_loader import LoadedCLIP
from cssa_mm.models.text_blocks import is_plain, read_at
from cssa_mm.models.tokens import count_tokens, too_long

PLACEHOLDERS = ('x', 'a', 'the', 'of', 'and')


class TextEncoder(nn.Module):
    """Text features (P, D) of P prompts given as embeddings; gradients reach the embeddings, never the weights.

    In a causal tower tokens after EOS change nothing, so `tokenize` cuts there and `forward` takes any length. On
    CLIP's own 77 positions and 24-token prompts this saves three quarters of the time. Other towers (SigLIP,
    MobileCLIP, CLIPA) see the padding too, or are read at their last position: they get their whole context.

    Attributes:
        context_length: tokens that the tower takes.
        start: tokens that the tokenizer puts before a text.
        is_cut: whether what stands behind the position that is read changes nothing.
    """

    def __init__(self, clip: LoadedCLIP) -> None:
        super().__init__()
        tower: Any = getattr(clip.model, 'text', clip.model)
        pool = getattr(clip.model, 'text_pool_type', getattr(tower, 'pool_type', None))
        if getattr(tower, 'cls_emb', None) is not None or getattr(tower, 'use_pad_mask', False):
            pool = 'class token'  # CoCa's, whatever pool_type says
        if pool not in ('argmax', 'eos', 'first', 'last'):
            raise ConfigError(
                f"backbone.model_name '{clip.name}': found a text tower that pools by '{pool}', expected one that is "
                'read at EOS or at its first or last position (CLIP, OpenCLIP, MetaCLIP, EVA-CLIP, SigLIP ...)'
            )
        self.tower = Frozen(tower)
        self.tokenizer = clip.tokenizer
        self.context_length: int = tower.positional_embedding.shape[0]
        self.vocab_size, self.width = tower.token_embedding.weight.shape
        self._pool = pool
        mask = getattr(tower, 'attn_mask', None)
        self.is_cut = pool in ('argmax', 'eos') and mask is not None
        self._is_plain = is_plain(tower.transformer, mask)
        self._eos_id = getattr(tower, 'eos_id', getattr(clip.model, 'text_eos_id', None)) if pool == 'eos' else None
        empty, word = self.tokenizer(['', PLACEHOLDERS[0]])
        self.start = int((empty != word).int().argmax())
        self._end_id = int(empty[self.start])

    def tokenize(self, texts: Sequence[str], titles: Sequence[str] | None = None) -> tuple[Tensor, Tensor]:
        """Token ids (P, L), cut after the last EOS if the tower is causal, and the positions (P,) that are read.

        Args:
            texts: the P texts.
            titles: names of the texts in error messages; by default the texts.

        Raises:
            ConfigError: a text does not fit the tower's context, or the tokenizer belongs to another tower.
        """
        tokens = self.tokenizer(list(texts))
        if int(tokens.max()) >= self.vocab_size:
            raise ConfigError(
                f'backbone.model_name: found a tokenizer that gives token {int(tokens.max())}, expected less than the '
                f'vocab_size {self.vocab_size} of the text tower; give the tokenizer that it was trained with in its '
                'JSON (text_cfg.tokenizer_kwargs)'
            )
        ends = self._ends(tokens)
        # Tokenizers truncate silently. A text that fills the context to its end may have lost words.
        for text, title, position in zip(texts, titles or map(repr, texts), ends.tolist(), strict=True):
            if position == self.context_length - 1:
                count = count_tokens(self.tokenizer, text)
                if count is None or count > self.context_length:
                    raise ConfigError(too_long(title, count, self.context_length))
        if self.is_cut:
            return tokens[:, : int(ends.max()) + 1], ends
        if self._pool in ('first', 'last'):
            ends = torch.full_like(ends, 0 if self._pool == 'first' else self.context_length - 1)
        return tokens, ends

    def words(self, text: str) -> Tensor:
        """Token ids (L,) of a text alone, without what the tokenizer puts around it.

        Raises:
            ConfigError: as `tokenize`.
        """
        self.tokenize([text])
        (tokens,) = tokenised = self.tokenizer([text])
        return tokens[self.start : int(self._ends(tokenised)[0])]

    def placeholder(self, count: int) -> str:
        """A text of `count` tokens that each are a word.

        Raises:
            ConfigError: it would not fit the tower's context, or the tokenizer has no such word.
        """
        for word in PLACEHOLDERS:
            text = ' '.join([word] * count)
            if count + self.start >= self.context_length or len(self.words(text)) == count:
                return text
        raise ConfigError(
            f'backbone.model_name: found a tokenizer that splits each of the words {", ".join(PLACEHOLDERS)}, expected '
            'one that knows one of them whole'
        )

    def _ends(self, tokens: Tensor) -> Tensor:
        """The position (P,) of EOS, which ends a text, in token ids (P, L); the last one where there is none."""
        if self._pool == 'argmax':
            return tokens.argmax(-1)
        is_end = tokens == (self._end_id if self._eos_id is None else self._eos_id)
        is_end[:, : self.start] = False
        is_end[:, -1] = True
        return is_end.int().argmax(-1)

    def embed(self, tokens: Tensor) -> Tensor:
        """Token embeddings (P, L, W) of token ids (P, L)."""
        return self.tower.held.token_embedding(tokens)

    def forward(self, embeddings: Tensor, eos: Tensor) -> Tensor:
        """Features (P, D), not normalised, of prompts (P, L, W) read at positions `eos` (P,); L is as `tokenize`'s."""
        tower = self.tower.held
        length = embeddings.shape[1]
        x = embeddings + tower.positional_embedding[:length]
        if self._is_plain:
            x = read_at(tower.transformer.resblocks, x, eos)
        else:
            mask = getattr(tower, 'attn_mask', None)
            x = tower.transformer(x, attn_mask=None if mask is None else mask[:length, :length])
            x = x[torch.arange(len(x), device=x.device), eos]
        x = tower.ln_final(x)
        projection = tower.text_projection
        if projection is None:
            return x
        return projection(x) if isinstance(projection, nn.Module) else x @ projection

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Features (P, D) of plain texts."""
        tokens, eos = self.tokenize(texts)
        device = self.tower.held.positional_embedding.device
        return self(self.embed(tokens.to(device)), eos.to(device))
