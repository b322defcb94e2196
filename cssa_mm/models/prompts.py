"""Learnable class prompts: [SOS] v_1 ... v_M class name . [EOS], one text feature per class.

A class may have several wordings. Its feature is the mean of their unit features then, as zero-shot CLIP averages
templates; that the learned vectors are shared by the wordings of a class is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cssa_mm.errors import ConfigError
from cssa_mm.models.text_encoder import TextEncoder
from cssa_mm.models.tokens import prompt_text, prompt_title
from cssa_mm.values import Positive, Range, check_values

MOST_CONTEXT = 1000  # more than any text tower reads

INIT_STD = 0.02
WORDS = 'a photo of a'
FEWEST = 32  # prompts that are worth a pass of their own through the tower


class ClassPrompts(nn.Module):
    """M learnable vectors before each class name (paper: learnable class-specific prompts; CoOp's layout).

    Args:
        encoder: the frozen text tower (given by the head).
        class_names: C readable names, or several wordings in place of a name (given by the head).
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
    rows: Tensor
    places: Tensor
    owners: Tensor | None

    def __init__(
        self,
        encoder: TextEncoder,
        class_names: Sequence[str | Sequence[str]],
        num_context: Annotated[int, Range(0, MOST_CONTEXT)] = 16,
        initial_words: str = '',
        class_specific: bool = True,
        chunk_size: Positive | None = None,
    ) -> None:
        check_values(ClassPrompts, dict(num_context=num_context, chunk_size=chunk_size), 'model.head.prompts')
        super().__init__()
        self.chunk_size = chunk_size
        wordings = [[words] if isinstance(words, str) else list(words) for words in class_names]
        texts = [text for words in wordings for text in words]  # P, in the order of the classes
        placeholder = encoder.placeholder(num_context)
        tokens, eos = encoder.tokenize(
            [prompt_text(text, placeholder) for text in texts],
            titles=[prompt_title(text, num_context) for text in texts],
        )
        embeddings = encoder.embed(tokens).detach()
        # Where the tower reads no padding, short prompts come first and are encoded without any.
        lengths = eos + 1 if encoder.is_cut else torch.full_like(eos, tokens.shape[1])
        order = lengths.argsort(stable=True)
        self.parts = parts_of(lengths[order].tolist(), chunk_size)
        embeddings = embeddings[order]
        # Most towers have S = 1 token before a text, [SOS]; SigLIP has none.
        start = encoder.start
        self.register_buffer('prefix', embeddings[:, :start].clone(), persistent=False)  # (P, S, W)
        self.register_buffer('suffix', embeddings[:, start + num_context :].clone(), persistent=False)  # (P, L-S-M, W)
        self.register_buffer('eos', eos[order], persistent=False)
        owners = torch.tensor([owner for owner, words in enumerate(wordings) for _ in words])
        # The class (P,) of each prompt, in the order of encoding, and where the first, second ... prompt stands in it.
        self.register_buffer('rows', owners[order], persistent=False)
        self.register_buffer('places', order.argsort(), persistent=False)
        # The class (P,) of each prompt; None where each class has one.
        self.register_buffer('owners', owners if len(texts) > len(wordings) else None, persistent=False)
        self.num_classes = len(wordings)
        vectors = _initial_vectors(encoder, num_context, initial_words)
        if class_specific:
            vectors = vectors.expand(len(class_names), -1, -1).clone()
        self.context = nn.Parameter(vectors)  # (C, M, W), or (M, W) when shared

    def forward(self, encoder: TextEncoder) -> Tensor:
        """Text features (C, D), not normalised."""
        context: Tensor = self.context
        context = context.expand(len(self.rows), -1, -1) if context.ndim == 2 else context[self.rows]
        found = []
        for rows, length in self.parts:
            suffix = self.suffix[rows, : length - self.prefix.shape[1] - context.shape[1]]
            part = (self.prefix[rows], context[rows], suffix, self.eos[rows])
            if self.chunk_size is None:
                found.append(_encode(encoder, *part))
            else:
                found.append(checkpoint(_encode, encoder, *part, use_reentrant=False))
        return self._mean(torch.cat(found)[self.places])

    def _mean(self, features: Tensor) -> Tensor:
        return features if self.owners is None else mean_of_wordings(features, self.owners, self.num_classes)


def mean_of_wordings(features: Tensor, owners: Tensor, num_classes: int) -> Tensor:
    """The mean (C, D) of the unit features of a class, whose prompts (P, D) have ascending `owners` (P,)."""
    # Not index_add, which adds in any order on a GPU; nor a product with (C, P), which grows with the square of C.
    sizes = torch.bincount(owners, minlength=num_classes)
    return torch.segment_reduce(F.normalize(features, dim=-1), 'mean', lengths=sizes, axis=0)


def parts_of(lengths: list[int], most: int | None = None) -> list[tuple[slice, int]]:
    """Which of P prompts are encoded together, by their lengths (P,), ascending: their places, and the longest length.

    A part ends where the length grows, if at least `FEWEST` prompts are on either side of it.

    Args:
        lengths: in tokens.
        most: prompts of a part.
    """
    parts, start = [], 0
    for stop in range(1, len(lengths) + 1):
        grows = stop < len(lengths) and lengths[stop] > lengths[stop - 1]
        is_worth_it = grows and stop - start >= FEWEST and len(lengths) - stop >= FEWEST
        if is_worth_it or stop - start == most or stop == len(lengths):
            parts.append((slice(start, stop), lengths[stop - 1]))
            start = stop
    return parts


@torch.no_grad()
def untrained_features(
    encoder: TextEncoder, wordings: Sequence[str | Sequence[str]], initial_words: str = ''
) -> Tensor:
    """Unit text features (C, D) of prompts as they are before any training, "a photo of a NAME." by default.

    Args:
        encoder: the frozen text tower.
        wordings: one or several words for each of the C names.
        initial_words: the words before a name.

    Raises:
        ConfigError: a name is too long for the text tower.
    """
    words = initial_words or WORDS
    with torch.random.fork_rng(devices=[]):  # vectors are drawn before the words take their place
        prompts = ClassPrompts(encoder, wordings, num_context=len(encoder.words(words)), initial_words=words)
    return F.normalize(prompts.to(prompts.prefix.device)(encoder), dim=-1)


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
