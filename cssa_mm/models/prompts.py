"""Learnable class prompts: [SOS] v_1 ... v_M class name . [EOS], one text feature per class."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cssa_mm.errors import ConfigError
from cssa_mm.models.text_encoder import TextEncoder

INIT_STD = 0.02


class ClassPrompts(nn.Module):
    """M learnable vectors before each class name (paper: learnable class-specific prompts; CoOp's layout).

    Args:
        encoder: the frozen text tower.
        class_names: C readable names.
        num_context: M. 0 leaves the bare name and nothing to learn.
        initial_words: words whose embeddings initialise the last of the M vectors; the others start from
            N(0, 0.02^2).
        class_specific: whether each class has its own vectors, or all share one set.
        chunk_size: prompts encoded at a time; the backward pass encodes each chunk again. With thousands of classes
            this takes a third more time and a fraction of the memory. None encodes all at once.

    Raises:
        ConfigError: more initial words than vectors, a name too long for the text tower, or an invalid chunk size.
    """

    prefix: Tensor
    suffix: Tensor
    eos: Tensor

    def __init__(
        self,
        encoder: TextEncoder,
        class_names: Sequence[str],
        num_context: int = 16,
        initial_words: str = '',
        class_specific: bool = True,
        chunk_size: int | None = None,
    ) -> None:
        super().__init__()
        if chunk_size is not None and chunk_size < 1:
            raise ConfigError(f'prompts.chunk_size: found {chunk_size}, expected 1 or more prompts, or None for all')
        self.chunk_size = chunk_size
        placeholder = encoder.placeholder(num_context)
        tokens, eos = encoder.tokenize(
            [f'{placeholder} {name}.'.strip() for name in class_names],
            titles=[f"class name '{name}' after {num_context} context vectors" for name in class_names],
        )
        embeddings = encoder.embed(tokens).detach()
        # Most towers have S = 1 token before a text, [SOS]; SigLIP has none.
        start = encoder.start
        self.register_buffer('prefix', embeddings[:, :start].clone(), persistent=False)  # (C, S, W)
        self.register_buffer('suffix', embeddings[:, start + num_context :].clone(), persistent=False)  # (C, L-S-M, W)
        self.register_buffer('eos', eos, persistent=False)
        vectors = _initial_vectors(encoder, num_context, initial_words)
        if class_specific:
            vectors = vectors.expand(len(class_names), -1, -1).clone()
        self.context = nn.Parameter(vectors)  # (C, M, W), or (M, W) when shared

    def forward(self, encoder: TextEncoder) -> Tensor:
        """Text features (C, D), not normalised."""
        parts = (self.prefix, self.context.expand(len(self.prefix), -1, -1), self.suffix, self.eos)
        if self.chunk_size is None:
            return _encode(encoder, *parts)
        chunks = zip(*(part.split(self.chunk_size) for part in parts), strict=True)
        return torch.cat([checkpoint(_encode, encoder, *chunk, use_reentrant=False) for chunk in chunks])


def _encode(encoder: TextEncoder, prefix: Tensor, context: Tensor, suffix: Tensor, eos: Tensor) -> Tensor:
    return encoder(torch.cat([prefix, context, suffix], 1), eos)


def _initial_vectors(encoder: TextEncoder, num_context: int, initial_words: str) -> Tensor:
    vectors = torch.randn(num_context, encoder.width) * INIT_STD
    if initial_words:
        words = encoder.embed(encoder.words(initial_words)[None])[0].detach()
        if len(words) > num_context:
            raise ConfigError(
                f"prompts.initial_words: found '{initial_words}' with {len(words)} tokens, expected at most "
                f'prompts.num_context = {num_context}'
            )
        vectors[num_context - len(words) :] = words
    return vectors
