"""Checks of a split against the training images."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from cssa_mm.datasets.splits.grouped import refuse_cut_groups
from cssa_mm.datasets.splits.limited import checked_limits
from cssa_mm.datasets.splits.split import RULES, Split, checked_count, count_positives, hash_ids, make_split
from cssa_mm.errors import SplitError, nearest


def verify_split(
    split: Split,
    image_ids: Sequence[str],
    labels: np.ndarray | None = None,
    class_names: Sequence[str] = (),
    path: str | os.PathLike = 'split',
    groups: Sequence[str | None] | None = None,
) -> None:
    """Check that a split belongs to these training images and that its header tells the truth.

    Args:
        split: The split to check.
        image_ids: Ids of all n training images, in the order in which they count.
        labels: Their labels (n, C), 1, 0 or -1. Without them no class is counted, and of the rules only ``cap`` is
            drawn again.
        class_names: The C names that go with ``labels``.
        path: Where the split came from, for the message.
        groups: The group of each image, which no split may cut; None knows no groups.

    Raises:
        SplitError: An unknown rule; ids that are named twice or not in the training set; no unlabelled image left;
            another training set than the one that the split was drawn from; more or fewer ids than its proportion;
            other positives than ``class_counts`` says or more than ``at_most`` allows; a part of a group; or other ids
            than its rule draws with its seed.
    """
    _check_ids(split, image_ids, path)
    if split.rule == 'grouped' and groups is None:
        raise SplitError(f"{path}: found the rule 'grouped', expected a data set with its groups; set group_column.")
    if split.rule in ('cap', 'grouped') or (split.rule != 'listed' and labels is not None):
        _check_draw(split, image_ids, labels, class_names, path, groups if split.rule == 'grouped' else None)
    if groups is not None:
        chosen = set(split.image_ids)
        refuse_cut_groups(groups, (i for i, image_id in enumerate(image_ids) if image_id in chosen), path)
    if labels is not None:
        _check_classes(split, image_ids, labels, class_names, path)


def _check_ids(split: Split, image_ids: Sequence[str], path: str | os.PathLike) -> None:
    if split.rule not in RULES:
        raise SplitError(
            f"{path}: found the rule '{split.rule}', expected one of {', '.join(RULES)}.{nearest(split.rule, RULES)}"
        )
    doubled = [image_id for image_id, count in Counter(split.image_ids).items() if count > 1]
    if doubled:
        raise SplitError(
            f"{path}: found image id '{doubled[0]}' more than once ({len(doubled)} such ids), expected each "
            f'id once; remove the duplicates.'
        )
    known = set(image_ids)
    unknown = [image_id for image_id in split.image_ids if image_id not in known]
    if unknown:
        raise SplitError(
            f"{path}: found image id '{unknown[0]}' that is not in the training set ({len(unknown)} such "
            f"ids), expected ids like '{image_ids[0]}'; use the split of this data."
        )
    if len(split.image_ids) >= len(image_ids):
        raise SplitError(
            f'{path}: found all {len(image_ids)} training images labelled, expected some unlabelled ones; '
            f'use a smaller proportion, or no split.'
        )
    found = hash_ids(image_ids)
    if split.id_hash != found:
        raise SplitError(
            f'{path}: found sha256 {split.id_hash[:12]}..., expected {found[:12]}... for these '
            f'{len(image_ids)} training images (their ids or order differ); draw the split again.'
        )
    expected = checked_count(len(image_ids), split.proportion, split.seed, path)
    if len(split.image_ids) != expected and split.rule != 'grouped':  # whole groups seldom fit
        raise SplitError(
            f'{path}: found {len(split.image_ids)} labelled images, expected {expected} for proportion '
            f'{split.proportion} of {len(image_ids)}; draw the split again or correct its proportion.'
        )


def _check_draw(
    split: Split,
    image_ids: Sequence[str],
    labels: np.ndarray | None,
    class_names: Sequence[str],
    path: str | os.PathLike,
    groups: Sequence[str | None] | None,
) -> None:
    at_most = split.at_most if split.rule == 'limited' else None
    stratified = split.rule == 'stratified'
    drawn = make_split(image_ids, split.proportion, split.seed, labels, class_names, stratified, at_most, path, groups)
    foreign = sorted(set(split.image_ids).difference(drawn.image_ids))
    if foreign:
        raise SplitError(
            f"{path}: found image id '{foreign[0]}' ({len(foreign)} such ids) that seed {split.seed} does not draw by "
            f"the rule '{split.rule}'{' from these labels' * (split.rule != 'cap')}, expected the ids of the rule; for "
            f"a list of your own write '# rule: listed'."
        )


def _check_classes(
    split: Split, image_ids: Sequence[str], labels: np.ndarray, class_names: Sequence[str], path: str | os.PathLike
) -> None:
    if not isinstance(split.class_counts, Mapping):
        raise SplitError(
            f'{path}: found class_counts {split.class_counts!r}, expected counts by class name; remove it.'
        )
    listed = set(split.image_ids)
    rows = [index for index, image_id in enumerate(image_ids) if image_id in listed]
    counts = count_positives(labels[rows], class_names)
    for name, limit in checked_limits(split.at_most, class_names, path).items():
        if counts[name] > limit:
            raise SplitError(
                f'{path}: found {counts[name]} labelled positives of {name}, expected at most {limit} by its header; '
                f'draw the split again.'
            )
    # Names of another list of classes cannot be compared.
    for name in split.class_counts.keys() & counts.keys():
        if split.class_counts[name] != counts[name]:
            raise SplitError(
                f'{path}: found class_counts {split.class_counts[name]} of {name} in its header, expected the '
                f'{counts[name]} labelled positives of these annotations; use the split of this data, or remove the '
                f'header line.'
            )
