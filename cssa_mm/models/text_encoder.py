"""The frozen text tower, fed with embeddings instead of token ids, and run only as far as the longest EOS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cssa_mm.errors import ConfigError
from cssa_mm.models.frozen import Frozen
from cssa_mm.models.open_clip_loader import LoadedCLIP
from cssa_mm.models.tokens import count_tokens, too_long


class TextEncoder(nn.Module):
    """Text features (P, D) of P prompts given as embeddings; gradients reach the embeddings, never the weights.

    The tower is causal, so tokens after EOS change nothing: `tokenize` cuts there and `forward` takes any
    length. On CLIP's own 77 positions and 24-token prompts this saves three quarters of the time.
    """

    def __init__(self, clip: LoadedCLIP) -> None:
        super().__init__()
        tower: Any = getattr(clip.model, 'text', clip.model)
        pool = getattr(clip.model, 'text_pool_type', getattr(tower, 'pool_type', None))
        if getattr(tower, 'cls_emb', None) is not None:
            pool = 'class token'  # CoCa's, whatever pool_type says
        if pool not in ('argmax', 'eos') or getattr(tower, 'attn_mask', None) is None:
            raise ConfigError(
                f"backbone.model_name '{clip.name}': found a text tower that pools by '{pool}', expected a causal "
                'one that is read at EOS (CLIP, OpenCLIP, MetaCLIP, EVA-CLIP ...)'
            )
        self.tower = Frozen(tower)
        self.tokenizer = clip.tokenizer
        self.context_length: int = tower.positional_embedding.shape[0]
        self.vocab_size, self.width = tower.token_embedding.weight.shape
        self._eos_id = getattr(tower, 'eos_id', getattr(clip.model, 'text_eos_id', None)) if pool == 'eos' else None

    def tokenize(self, texts: Sequence[str], titles: Sequence[str] | None = None) -> tuple[Tensor, Tensor]:
        """Token ids (P, L), cut after the last EOS, and the position of each EOS (P,).

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
        eos = (tokens == self._eos_id).int().argmax(-1) if self._eos_id is not None else tokens.argmax(-1)
        # Tokenizers truncate silently. A text that fills the context to its end may have lost words.
        for text, title, position in zip(texts, titles or map(repr, texts), eos.tolist(), strict=True):
            if position == self.context_length - 1:
                count = count_tokens(self.tokenizer, text)
                if count is None or count > self.context_length:
                    raise ConfigError(too_long(title, count, self.context_length))
        return tokens[:, : int(eos.max()) + 1], eos

    def embed(self, tokens: Tensor) -> Tensor:
        """Token embeddings (P, L, W) of token ids (P, L)."""
        return self.tower.held.token_embedding(tokens)

    def forward(self, embeddings: Tensor, eos: Tensor) -> Tensor:
        """Features (P, D), not normalised, of prompts (P, L, W) read at positions `eos` (P,); L is free."""
        tower = self.tower.held
        length = embeddings.shape[1]
        x = embeddings + tower.positional_embedding[:length]
        x = tower.transformer(x, attn_mask=tower.attn_mask[:length, :length])
        x = tower.ln_final(x[torch.arange(len(x), device=x.device), eos])
        projection = tower.text_projection
        if projection is None:
            return x
        return projection(x) if isinstance(projection, nn.Module) else x @ projection

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Features (P, D) of plain texts."""
        tokens, eos = self.tokenize(texts)
        device = self.tower.held.positional_embedding.device
        return self(self.embed(tokens.to(device)), eos.to(device))
