"""Checks of a split against the training images, and of training images against test images."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

from cssa_mm.datasets.splits.limited import checked_limits
from cssa_mm.datasets.splits.split import RULES, Split, checked_count, hash_ids, labelled_indices
from cssa_mm.errors import SplitError, nearest


def verify_split(split: Split, image_ids: Sequence[str], path: str | os.PathLike = 'split') -> None:
    """Check that a split belongs to these training images and labels no more of them than it says.

    Args:
        split: The split to check.
        image_ids: Ids of all training images, in the order in which they count.
        path: Where the split came from, for the message.

    Raises:
        SplitError: Ids that are named twice or not in the training set, no unlabelled image left, another
            training set than the one that the split was drawn from, more or fewer ids than its
            proportion, an unknown rule, other ids than the rule ``cap`` draws with its seed, or more positives
            than the rule ``limited`` allows.
    """
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
    if len(split.image_ids) != expected:
        raise SplitError(
            f'{path}: found {len(split.image_ids)} labelled images, expected {expected} for proportion '
            f'{split.proportion} of {len(image_ids)}; draw the split again or correct its proportion.'
        )
    if split.rule == 'cap':
        drawn = {image_ids[i] for i in labelled_indices(len(image_ids), split.proportion, split.seed)}
        foreign = [image_id for image_id in split.image_ids if image_id not in drawn]
        if foreign:
            raise SplitError(
                f"{path}: found image id '{foreign[0]}' ({len(foreign)} such ids) that seed {split.seed} does not draw "
                f"by the rule 'cap', expected the ids of the rule; for a list of your own write '# rule: listed'."
            )
    for name, limit in checked_limits(split.at_most, split.class_counts, path).items():
        if (count := split.class_counts[name]) > limit:
            raise SplitError(
                f'{path}: found {count} labelled positives of {name}, expected at most {limit} by its header; draw the '
                f'split again.'
            )


def check_disjoint(train_ids: Sequence[str], test_ids: Sequence[str], where: str) -> None:
    """Check that no test image is trained on.

    Args:
        train_ids: Ids of the training images.
        test_ids: Ids of the test images.
        where: File or config key that the message blames.

    Raises:
        SplitError: Some ids are in both; the message names the first and how many there are.
    """
    tested = set(test_ids)
    shared = [image_id for image_id in train_ids if image_id in tested]
    if shared:
        raise SplitError(
            f"{where}: found image id '{shared[0]}' in both the training and the test set ({len(shared)} "
            f'such ids), expected disjoint sets; remove them from one.'
        )
