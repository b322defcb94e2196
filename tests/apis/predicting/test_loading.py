"""Images in batches, decoded in other processes."""

import multiprocessing
import os
import signal
import time

import numpy as np
import pytest

from cssa_mm.apis.image_input import viewed
from cssa_mm.apis.predicting.loading import Task, load
from cssa_mm.apis.predicting.sources import facts_of
from cssa_mm.datasets.view import View
from cssa_mm.errors import DataError


@pytest.fixture
def tasks(photos):
    """Three batches; of the last one a file is broken and one is missing."""
    (photos / 'broken.png').write_bytes((photos / 'img0.png').read_bytes()[:60])
    names = ['img0.png', 'img1.png', 'img2.png', 'img3.png', 'img4.png', 'broken.png', 'img5.png', 'gone.png']
    paths = [str(photos / name) for name in names]
    return [Task([0, 1, 2], paths[:3]), Task([3, 4], paths[3:5]), Task([5, 6, 7], paths[5:])]


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('size', [32, None])
def test_batches_come_in_order_with_the_pixels_that_a_predictor_sees(tasks, workers, size):
    view = View(size=size)
    loaded = list(load(tasks, view, workers))
    assert [list(batch.positions) for batch in loaded] == [task.positions for task in tasks]
    for task, batch in zip(tasks, loaded, strict=True):
        assert batch.facts == [facts_of(path) for path in task.paths]
        rows = sorted(row for group in batch.groups for row in group.rows)
        assert rows == [row for row, reason in enumerate(batch.reasons) if not reason]
        for group in batch.groups:
            for row, pixels in zip(group.rows, group.pixels, strict=True):
                assert np.array_equal(pixels, viewed(task.paths[row], view)[0].numpy())
    assert [len(batch.groups) for batch in loaded] == ([1, 1, 1] if size else [2, 2, 1])
    reasons = loaded[-1].reasons
    assert 'found no readable image' in reasons[0]
    assert reasons[1:] == ['', 'cannot be read (No such file or directory)']
    assert not any(loaded[0].reasons + loaded[1].reasons)


def test_workers_end_when_nobody_reads_on(tasks):
    batches = load(tasks * 20, View(size=32), 2)
    next(batches)
    children = [process.pid for process in multiprocessing.active_children()]
    assert len(children) == 2
    batches.close()
    deadline = time.monotonic() + 10
    while any(os.path.exists(f'/proc/{child}') for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(os.path.exists(f'/proc/{child}') for child in children)


class _Killer(View):
    def of_image(self, image):
        os.kill(os.getpid(), signal.SIGKILL)


class _Greedy(View):
    def of_image(self, image):
        raise MemoryError('no room')


@pytest.mark.parametrize(('view', 'message'), [(_Killer, 'was stopped'), (_Greedy, 'memory ran out')])
def test_a_worker_that_dies_is_one_line(tasks, view, message):
    with pytest.raises(DataError, match=message) as refused:
        list(load(tasks, view(size=32), 1))
    assert '\n' not in str(refused.value)
