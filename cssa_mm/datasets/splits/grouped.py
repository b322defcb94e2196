"""Draws that keep the images of a group - a video, a patient, a burst - on one side. Rules of our own."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import numpy as np

from cssa_mm.errors import SplitError


def grouped_indices(
    groups: Sequence[str | None], count: int, seed: int, source: str | os.PathLike = 'split'
) -> np.ndarray:
    """Draw whole groups of n images, at most ``count`` images together, in drawing order.

    The groups come in the order in which ``RandomState(seed).permutation`` meets their first image, as CAP's rule would
    draw the images; one that would bring the draw above ``count`` is skipped. Splits of growing proportion are not
    nested.

    Args:
        groups: The group of each of the n images; None is a group of its own.
        count: Most images to draw.
        seed: Seed of the permutation.
        source: What a message names as the place of the fault.

    Returns:
        Indices, shape (at least 1, at most count).

    Raises:
        SplitError: Every group is larger than ``count``.
    """
    members = members_of(groups)
    drawn: list[int] = []
    done: set[int] = set()
    for index in np.random.RandomState(seed).permutation(len(groups)).tolist():
        group = members[index]
        if group[0] in done:
            continue
        done.add(group[0])
        if len(drawn) + len(group) <= count:
            drawn += group
    if not drawn:
        smallest = min(map(len, members.values()))
        raise SplitError(
            f'{source}: found groups of {smallest} images or more, expected one of at most {count}, the number that '
            f'the proportion asks for; use a larger proportion, or leave group_column out.'
        )
    return np.array(drawn, dtype=np.int64)


def members_of(groups: Sequence[str | None]) -> dict[int, list[int]]:
    """Index of an image -> the indices of its whole group, ascending."""
    by_name: dict[str, list[int]] = {}
    found: dict[int, list[int]] = {}
    for index, group in enumerate(groups):
        found[index] = [] if group is None else by_name.setdefault(group, [])
        found[index].append(index)
    return found


def refuse_cut_groups(groups: Sequence[str | None], chosen: Iterable[int], source: str | os.PathLike) -> None:
    """SplitError, naming ``source``, where only a part of a group is among the ``chosen`` images."""
    inside = set(chosen)
    outside = {group for index, group in enumerate(groups) if index not in inside and group is not None}
    for index in sorted(inside):
        if groups[index] in outside:
            raise SplitError(
                f"{source}: found a part of the group '{groups[index]}' among the labelled images, expected all or "
                'none of its images, as group_column asks; draw the split again with cssa split, or leave '
                'group_column out.'
            )
