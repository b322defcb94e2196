"""What fits where. Oracle: bytes counted by hand."""

import os
from types import SimpleNamespace

import numpy as np
import pytest

from cssa_mm.errors import ConfigError
from cssa_mm.features import plan
from cssa_mm.features.plan import GIB, Plan, Space, announcement, choose, free_disk, free_memory

IMAGES = np.array([7, 2, 9, 4])  # the most useful first


@pytest.mark.parametrize(
    ('memory', 'missing', 'disk', 'kept', 'on_disk'),
    [
        (0, None, 0, [], False),
        (59, None, 0, [2, 7], False),
        (60, None, 0, [2, 7, 9], False),
        (float('inf'), None, 0, [2, 4, 7, 9], False),
        (80, [2, 2, 2, 2], 80, [2, 4, 7, 9], True),
        (80, [2, 2, 2, 2], 79, [2, 4, 7, 9], False),
        (40, [2, 2, 2, 2], 79, [2, 7, 9], True),
        (0, [2, 2, 0, 0], 20, [4, 7, 9], True),  # what is there needs no room
        (0, [2, 2, 0, 1], 19, [9], True),
        (0, [0, 0, 0, 0], 0, [2, 4, 7, 9], True),
    ],
)
def test_the_most_useful_images_that_fit_are_kept_on_disk_if_that_holds_as_many(memory, missing, disk, kept, on_disk):
    given = None if missing is None else np.array(missing)
    found = choose(IMAGES, given, 2, 10, Space(memory, disk), partial=True)
    assert (found.images.tolist(), found.on_disk, found.is_all) == (kept, on_disk, len(kept) == 4)


def test_a_part_is_refused_where_all_is_wanted():
    space = Space(3 * GIB, 2 * GIB)
    with pytest.raises(ConfigError) as error:
        choose(IMAGES, np.full(4, 2), 2, GIB // 2, space, partial=False)
    assert str(error.value) == (
        'default_hooks.pseudo_labels.feature_cache: found 4 GiB of features (8 views), expected at most the 3 GiB of '
        'memory or the 2 GiB of disk that they may fill; raise gib, name a folder on a larger disk, or set '
        "dtype='float16' or partial=True"
    )
    assert choose(IMAGES, np.full(4, 2), 2, GIB // 2, Space(3 * GIB, 4 * GIB), partial=False).is_all


def test_the_announcement_says_size_and_time():
    some = Plan(np.arange(3), True, False)
    assert announcement(some, 5, 2, GIB // 4, 6, 400.0, 'kept') == (
        'Features: 6 views of 3 images, 1.50 GiB in kept; encoding 6 of them takes about 7 min. 2 images do not fit: '
        'they are encoded each time'
    )
    everything = Plan(np.arange(3), False, True)
    assert announcement(everything, 3, 1, 2**20, 0, 0.0, 'memory') == (
        'Features: 3 views of 3 images, 3.0 MiB in memory; all are there'
    )


def test_the_ranks_of_a_machine_share_its_memory_and_a_container_its_limit(monkeypatch):
    assert 0 < free_memory() < 2**50
    monkeypatch.setattr(plan, 'free_memory', lambda: 8 * GIB)
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '4')
    assert Space.of_ranks(1.0, None) == Space(GIB, 0.0)
    assert Space.of_ranks(5.0, None) == Space(plan.SHARE * 2 * GIB, 0.0)


def test_a_folder_that_cannot_be_written_has_no_room(tmp_path, monkeypatch):
    monkeypatch.setattr(plan.shutil, 'disk_usage', lambda path: SimpleNamespace(free=123))
    assert free_disk(tmp_path / 'not' / 'there') == 123
    (tmp_path / 'file').touch()
    assert free_disk(tmp_path / 'file') == 0
    monkeypatch.setattr(os, 'access', lambda path, mode: False)
    assert free_disk(tmp_path) == 0
