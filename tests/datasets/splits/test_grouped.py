import dataclasses

import numpy as np
import pytest

from cssa_mm.datasets.image_table import ImageRecord
from cssa_mm.datasets.splits.checks import verify_split
from cssa_mm.datasets.splits.grouped import grouped_indices
from cssa_mm.datasets.splits.option import resolve_split, validation_part
from cssa_mm.datasets.splits.split import load_split, make_split, save_split
from cssa_mm.errors import SplitError

IDS = [f'{n:03d}.jpg' for n in range(60)]
GROUPS = [f'video{n // 7}' if n < 42 else None for n in range(60)]  # six videos of seven frames, 18 single photos
LABELS = np.random.default_rng(0).integers(0, 2, (60, 3)).astype(np.int8)
NAMES = ['cat', 'dog', 'cow']


def brute_force(groups, count, seed):
    """Each image in the order of the permutation brings its whole group, if it fits."""
    drawn, seen = set(), set()
    for index in np.random.RandomState(seed).permutation(len(groups)):
        group = {i for i, name in enumerate(groups) if name is not None and name == groups[index]} or {int(index)}
        if group & seen:
            continue
        seen |= group
        if len(drawn | group) <= count:
            drawn |= group
    return drawn


@pytest.mark.parametrize('seed', range(8))
@pytest.mark.parametrize('count', [1, 5, 9, 20, 40])
def test_whole_groups_are_drawn_in_the_order_of_the_permutation(seed, count):
    found = grouped_indices(GROUPS, count, seed).tolist()
    assert len(found) == len(set(found)) <= count
    assert set(found) == brute_force(GROUPS, count, seed)


def test_without_any_group_the_draw_is_that_of_cap():
    by_groups = make_split(IDS, 0.3, 5, groups=[None] * 60)
    plain = make_split(IDS, 0.3, 5)
    assert by_groups.image_ids == plain.image_ids
    assert (by_groups.rule, plain.rule) == ('grouped', 'cap')


@pytest.mark.parametrize('seed', range(5))
def test_no_group_lies_on_both_sides_of_a_split(seed):
    split = make_split(IDS, 0.4, seed, LABELS, NAMES, groups=GROUPS)
    labelled = {GROUPS[IDS.index(image_id)] for image_id in split.image_ids} - {None}
    others = {group for image_id, group in zip(IDS, GROUPS, strict=True) if image_id not in split.image_ids} - {None}
    assert labelled
    assert not labelled & others
    assert len(split.image_ids) <= 24


def test_a_split_file_of_groups_is_verified_with_the_groups(tmp_path):
    split = make_split(IDS, 0.4, 2, LABELS, NAMES, groups=GROUPS)
    save_split(split, tmp_path / 'split.txt')
    loaded = load_split(tmp_path / 'split.txt')
    assert loaded == split
    verify_split(loaded, IDS, LABELS, NAMES, groups=GROUPS)
    with pytest.raises(SplitError, match="rule 'grouped', expected a data set with its groups; set group_column"):
        verify_split(loaded, IDS, LABELS, NAMES)
    others = [*GROUPS[7:], *GROUPS[:7]]
    with pytest.raises(SplitError, match='found image id .* does not draw|found a part of the group'):
        verify_split(loaded, IDS, LABELS, NAMES, groups=others)


def test_a_split_file_that_cuts_a_group_is_refused():
    split = make_split(IDS, 0.4, 2)
    verify_split(split, IDS)
    with pytest.raises(SplitError, match=r"^own.txt: found a part of the group 'video\d' among the labelled images"):
        verify_split(split, IDS, path='own.txt', groups=GROUPS)
    whole = dataclasses.replace(split, rule='listed', image_ids=tuple(IDS[:21]), proportion=21 / 60)
    verify_split(whole, IDS, groups=GROUPS)


def test_a_proportion_smaller_than_every_group_is_refused():
    with pytest.raises(SplitError, match='found groups of 10 images or more, expected one of at most 3'):
        make_split(IDS, 0.05, 1, groups=[f'{n // 10}' for n in range(60)])


@pytest.mark.parametrize('rule', [dict(stratified=True), dict(at_most=dict(cat=3))])
def test_two_rules_at_once_are_refused(rule):
    with pytest.raises(SplitError, match='and group_column, expected one rule'):
        resolve_split(dict(proportion=0.4, **rule), IDS, LABELS, NAMES, str, GROUPS)


def test_validation_holds_out_whole_groups_with_their_unlabelled_images():
    labels = LABELS.copy()
    labels[::3] = -1  # every third image is unlabelled
    records = [ImageRecord(image_id, image_id, row) for image_id, row in zip(IDS, labels, strict=True)]
    groups = {image_id: group for image_id, group in zip(IDS, GROUPS, strict=True) if group is not None}
    option = dict(proportion=0.3, seed=1)
    held_out = validation_part(option, records, True, groups)
    train = validation_part(option, records, False, groups)
    assert all((record.labels >= 0).any() for record in held_out)
    assert len(held_out) <= 12
    names = [{groups.get(record.image_id) for record in part} - {None} for part in (held_out, train)]
    assert names[0]
    assert not names[0] & names[1]
    ids = [{record.image_id for record in part} for part in (held_out, train)]
    assert not ids[0] & ids[1]
    # Only unlabelled frames of held-out videos are in neither.
    for image_id in set(IDS) - ids[0] - ids[1]:
        assert groups[image_id] in names[0]
        assert (labels[IDS.index(image_id)] < 0).all()
    assert validation_part(option, records, True, groups) == held_out
