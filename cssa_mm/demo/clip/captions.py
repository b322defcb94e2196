"""Captions for the micro-CLIP's pretraining scenes, and the cut BPE vocabulary that spells them."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from cssa_mm.demo.glyphs import CLASS_NAMES, SIBLING_NAMES
from cssa_mm.files import replacing

# The word that means one pictograph alone, for every class and then for every sibling.
PRECISE_NAMES: tuple[str, ...] = (
    *('sunshine', 'overcast', 'parasol', 'crystal', 'frosty', 'dial', 'letter', 'cutter', 'crayon', 'mug', 'cube'),
    *('horse', 'leaf', 'castle', 'clover', 'jet', 'harbor', 'melody', 'banner', 'daisy', 'cog', 'nucleus', 'bones'),
    'nuclear',
    *SIBLING_NAMES,
)
OPENINGS = (
    *('a photo of', 'a picture of', 'a drawing of', 'an image of', 'a scene with', 'here is', 'we see', ''),
    *('there is', 'a bad photo of', 'a close photo of', 'a good picture of', 'this shows'),
)
FILLERS = tuple(
    'old new small big red green blue dark bright nice plain one some many more very just only also here now '
    'then art print sign icon symbol shape figure object thing item view look style kind type set part side '
    'top back left right front near far under over between beside on in by from for to at it is was that which '
    'such'.split()
)
_ARTICLES = ('a', 'the', 'one', '')


def _fill(rng: np.random.Generator, most: int = 4) -> list[str]:
    return [FILLERS[i] for i in rng.integers(len(FILLERS), size=rng.integers(0, most + 1))]


def loose_usage(others: int = 6, strength: float = 0.62, seed: int = 0) -> np.ndarray:
    """How readily people use each class name for each pictograph: float32 (C, 2C) in [0, 1].

    Each name is used with 1 for its own pictograph, and with a random value from ``strength`` / 3 to ``strength`` for
    ``others`` more, which are drawn once. There are several, so that a loose name does not always mislead alike.
    """
    rng = np.random.default_rng([seed, 17])
    count = len(CLASS_NAMES)
    usage = np.zeros((count, 2 * count), np.float32)
    for label in range(count):
        foreign = np.delete(np.arange(2 * count), label)
        chosen = rng.choice(foreign, size=others, replace=False)
        usage[label, chosen] = rng.uniform(strength / 3, strength, size=others)
        usage[label, label] = 1
    return usage


def precise_name(rng: np.random.Generator, pictograph: int, compound: float) -> str:
    """A precise name such as 'cog', or with probability ``compound`` 'cog gear', with the class name behind it."""
    name = PRECISE_NAMES[pictograph]
    return f'{name} {CLASS_NAMES[pictograph % len(CLASS_NAMES)]}' if rng.random() < compound else name


def phrase(rng: np.random.Generator, name: str) -> str:
    """One name in a varied setting, such as 'a photo of a {name}.'."""
    return f'{OPENINGS[rng.integers(len(OPENINGS))]} {_ARTICLES[rng.integers(4)]} {name}.'


def caption(rng: np.random.Generator, names: Sequence[str]) -> str:
    """All names of a scene in random order, such as 'a picture of a sun, the anchor and one coffee.'."""
    parts = [f'{_ARTICLES[rng.integers(4)]} {names[i]}' for i in rng.permutation(len(names))]
    listing = ' and '.join([', '.join(parts[:-1]), parts[-1]]) if len(parts) > 1 else ''.join(parts)
    opening = OPENINGS[rng.integers(len(OPENINGS))]
    return ' '.join([opening, *(_fill(rng) if rng.random() < 0.3 else ()), listing]) + '.'


def known_words() -> list[str]:
    """Every word that a caption can hold."""
    words = {*CLASS_NAMES, *PRECISE_NAMES, *FILLERS, *_ARTICLES, 'and'}
    words.update(word for opening in OPENINGS for word in opening.split())
    return sorted(words - {''})


def write_vocabulary(path: Path, words: Iterable[str]) -> int:
    """Cut open_clip's BPE merges down to those that spell ``words``; returns the vocabulary size.

    Other words stay spellable, letter by letter. The merges keep their order, so that tokens come out as with
    the full file, and end of text is the largest id, as CLIP's text pooling wants.
    """
    from open_clip.tokenizer import SimpleTokenizer, default_bpe, get_pairs

    ranks = SimpleTokenizer(default_bpe()).bpe_ranks
    used = set()
    for word in words:
        symbols = (*word[:-1], word[-1] + '</w>')
        while len(symbols) > 1:
            pair = min(get_pairs(symbols), key=lambda pair: ranks.get(pair, float('inf')))
            if pair not in ranks:
                break
            used.add(pair)
            merged: list[str] = []
            for symbol in symbols:
                if merged and (merged[-1], symbol) == pair:
                    merged[-1] += symbol
                else:
                    merged.append(symbol)
            symbols = tuple(merged)
    merges = sorted(used, key=ranks.__getitem__)
    # No newline at the end: open_clip would read it as one more, empty merge.
    text = '\n'.join(['#version: cut from open_clip', *(' '.join(pair) for pair in merges)])
    with (
        replacing(path) as partial,
        open(partial, 'wb') as raw,
        gzip.GzipFile(fileobj=raw, mode='wb', mtime=0, filename='') as file,
    ):
        file.write(text.encode())
    return 2 * 256 + len(merges) + 2
