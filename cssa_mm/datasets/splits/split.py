"""Labelled/unlabelled splits: make, save, load and verify them.

A split file is text: a commented header, then one labelled image id a line::

    # cssa_mm labelled split
    # rule: cap
    # seed: 1
    # proportion: 0.05
    # sha256: 3b5d...
    # class_counts: {"aeroplane": 21, "bicycle": 15}
    2008_000015
    2008_000033

The hash covers the ids of *all* training images in their order, so that a split of another version of the data is
refused. The rule says how the labelled images were chosen; all but the last are drawn again and checked id by id:

- ``cap``: the first of ``RandomState(seed).permutation``, as in CAP's splits; the default.
- ``stratified``: balanced over the classes (:mod:`cssa_mm.datasets.splits.stratified`), a rule of our own.
- ``limited``: CAP's permutation without the images that would bring a class above its limit
  (:mod:`cssa_mm.datasets.splits.limited`), a rule of our own; a header line ``at_most`` holds the limits.
- ``grouped``: whole groups in the order of CAP's permutation (:mod:`cssa_mm.datasets.splits.grouped`), a rule of our
  own, for data sets with a ``group_column``.
- ``listed``: a user's own list of ids; the seed has no meaning.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path

import numpy as np

from cssa_mm.datasets.splits.grouped import grouped_indices
from cssa_mm.datasets.splits.limited import checked_limits, limited_indices
from cssa_mm.datasets.splits.stratified import stratified_indices
from cssa_mm.errors import SplitError, is_whole_number
from cssa_mm.files import write_text

TITLE = 'cssa_mm labelled split'
RULES = ('cap', 'stratified', 'limited', 'grouped', 'listed')


@dataclass(frozen=True)
class Split:
    """The labelled part of a training set.

    Args:
        image_ids: Ids of the labelled images, in the order of the training set.
        seed: Seed of the permutation that drew them.
        proportion: Share of the training set that is labelled, in (0, 1).
        id_hash: SHA-256 over the newline-joined ids of all training images, labelled or not.
        class_counts: Labelled positives of each class; empty when not counted.
        rule: How they were chosen, one of ``RULES``.
        at_most: Class name -> highest number of labelled positives, for the rule ``limited``.
    """

    image_ids: tuple[str, ...]
    seed: int
    proportion: float
    id_hash: str
    class_counts: dict[str, int]
    rule: str = 'cap'
    at_most: dict[str, int] = field(default_factory=dict)


def labelled_indices(num_images: int, proportion: float, seed: int) -> np.ndarray:
    """Draw the labelled images by the rule of CAP's splits, in drawing order.

    For one seed the splits of growing proportion are nested: each is the first part of the same permutation.

    Args:
        num_images: Size of the training set.
        proportion: Share of labelled images, in (0, 1).
        seed: Seed of the permutation.

    Returns:
        Indices of the labelled images, shape (int(proportion * num_images),).

    Raises:
        SplitError: The proportion leaves no labelled or no unlabelled image, or the seed is invalid.
    """
    count = checked_count(num_images, proportion, seed)
    return np.random.RandomState(seed).permutation(num_images)[:count]


def make_split(
    image_ids: Sequence[str],
    proportion: float,
    seed: int,
    labels: np.ndarray | None = None,
    class_names: Sequence[str] = (),
    stratified: bool = False,
    at_most: Mapping[str, int] | None = None,
    source: str | os.PathLike = 'split',
    groups: Sequence[str | None] | None = None,
) -> Split:
    """Draw a split of the training images.

    Args:
        image_ids: Ids of all training images, in the order in which they count.
        proportion: Share of labelled images, in (0, 1).
        seed: Seed of the permutation.
        labels: Labels of all training images, shape (len(image_ids), C), to count the labelled positives.
        class_names: The C names that go with ``labels``.
        stratified: Balance the classes, which needs ``labels``; False draws by CAP's rule.
        at_most: Class name -> highest number of labelled positives, which needs ``labels``; None limits no class.
        source: Where the arguments come from, for messages.
        groups: The group of each image (None: one of its own), to draw whole groups; None knows no groups.

    Raises:
        SplitError: The proportion leaves no labelled or no unlabelled image, or is smaller than every group; the seed
            is invalid; a rule lacks the labels that it needs; ``at_most`` is invalid or too few images stay within it;
            or two rules are asked for.
    """
    at_most = checked_limits({} if at_most is None else at_most, class_names, source)
    if stratified and at_most:
        raise SplitError(f'{source}: found both stratified and at_most, expected one rule; leave one of them out.')
    if groups is not None and (stratified or at_most):
        other = 'stratified' if stratified else 'at_most'
        raise SplitError(f'{source}: found both {other} and group_column, expected one rule; leave one of them out.')
    rule = 'stratified' if stratified else 'limited' if at_most else 'cap' if groups is None else 'grouped'
    if rule in ('stratified', 'limited') and labels is None:
        raise SplitError(f'{source}: found no labels, expected those of all images to draw a {rule} split.')
    count = checked_count(len(image_ids), proportion, seed, source)
    if groups is not None:
        indices = grouped_indices(groups, count, seed, source)
    elif labels is None or rule == 'cap':
        indices = labelled_indices(len(image_ids), proportion, seed)
    elif stratified:
        indices = stratified_indices(labels, count, seed, source)
    else:
        limits = {list(class_names).index(name): limit for name, limit in at_most.items()}
        indices = limited_indices(labels, count, seed, limits, source)
    indices = np.sort(indices)
    return Split(
        image_ids=tuple(image_ids[i] for i in indices),
        seed=int(seed),
        proportion=float(proportion),
        id_hash=hash_ids(image_ids),
        class_counts={} if labels is None else count_positives(labels[indices], class_names),
        rule=rule,
        at_most=at_most,
    )


def count_positives(labels: np.ndarray, class_names: Sequence[str]) -> dict[str, int]:
    """The number of positives of each class among labels (n, C), by name."""
    return dict(zip(class_names, (labels == 1).sum(axis=0).tolist(), strict=True))


def hash_ids(image_ids: Sequence[str]) -> str:
    """SHA-256 (hexadecimal) over the newline-joined ids, in the given order."""
    return hashlib.sha256('\n'.join(image_ids).encode()).hexdigest()


def save_split(split: Split, path: str | os.PathLike) -> None:
    """Write a split file; readers see the old file or the whole new one, never a part of it.

    Raises:
        SplitError: An id that a line of text cannot hold.
    """
    path = Path(path)
    for image_id in split.image_ids:
        if image_id.startswith('#') or image_id.strip().splitlines() != [image_id]:
            raise SplitError(
                f'{path}: found image id {image_id!r}, expected ids of one line that do not start with # or a space; '
                f'rename the image.'
            )
    header = {
        'rule': split.rule,
        'seed': split.seed,
        'proportion': repr(split.proportion),
        'sha256': split.id_hash,
        'class_counts': json.dumps(split.class_counts, ensure_ascii=False),
    }
    if split.at_most:
        header['at_most'] = json.dumps(split.at_most, ensure_ascii=False)
    lines = [f'# {TITLE}', *(f'# {key}: {value}' for key, value in header.items()), *split.image_ids]
    write_text(path, '\n'.join(lines) + '\n')


def load_split(path: str | os.PathLike) -> Split:
    """Read a split file.

    Raises:
        SplitError: The file is missing or not text, or its header lacks a key or holds a wrong value.
    """
    try:
        lines = Path(path).read_text(encoding='utf-8').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, 'strerror', None) or 'not UTF-8 text'
        raise SplitError(
            f'{path}: cannot be read ({reason}), expected a split file; write one with cssa split '
            f'or give split=dict(proportion=..., seed=...).'
        ) from error
    pairs = (line[1:].strip().partition(': ') for line in lines if line.startswith('#'))
    header = {key: value for key, mark, value in pairs if mark}
    ids = tuple(line.strip() for line in lines if line.strip() and not line.startswith('#'))
    try:
        return Split(
            image_ids=ids,
            seed=int(header['seed']),
            proportion=float(header['proportion']),
            id_hash=header['sha256'],
            class_counts=_counts(header.get('class_counts', '{}')),
            rule=header.get('rule', 'cap'),
            at_most=_counts(header.get('at_most', '{}')),
        )
    except KeyError as error:
        raise SplitError(
            f"{path}: found no header line '# {error.args[0]}: ...', expected a file that "
            f'cssa split wrote; write the split again.'
        ) from error
    except ValueError as error:
        raise SplitError(
            f'{path}: found a header value that cannot be read ({error}), expected a file that '
            f'cssa split wrote; write the split again.'
        ) from error


def _counts(text: str) -> dict[str, int]:
    counts = json.loads(text)
    if not isinstance(counts, dict) or not all(is_whole_number(count) for count in counts.values()):
        raise ValueError(f"'{text[:60]}', expected class: count")
    return counts


def checked_count(num_images: int, proportion: float, seed: int, source: str | os.PathLike = 'split') -> int:
    """How many images a split labels; a SplitError, naming ``source``, where it labels none or all."""
    if not isinstance(proportion, Real) or not 0 < proportion < 1:
        raise SplitError(
            f'{source}: found proportion {proportion!r}, expected a number between 0 and 1 (both excluded); '
            f'leave the split out to use every label.'
        )
    if not isinstance(seed, Integral) or not 0 <= seed < 2**32:
        raise SplitError(f'{source}: found seed {seed!r}, expected an integer from 0 to 2**32 - 1.')
    count = int(proportion * num_images)
    if not 1 <= count < num_images:
        raise SplitError(
            f'{source}: proportion {proportion} of {num_images} images labels {count}, expected at least one '
            f'labelled and one unlabelled image; use another proportion or more images.'
        )
    return count
