"""A command that is killed leaves no process behind, wherever it has started one.

Loaders: tests/datasets/test_workers.py. Here a fork of this process runs each other starting place, and is ended by a
signal that it cannot answer, or does not; what it had started must be gone, too.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from cssa_mm.apis import checking
from cssa_mm.cli import arguments
from cssa_mm.datasets import LoadRGBImage, workers
from cssa_mm.datasets.base import SemiMultiLabelDataset
from cssa_mm.demo import stages
from cssa_mm.errors import CSSAError
from cssa_mm.studies import jobs, worker
from cssa_mm.studies.benchmark import run, start
from cssa_mm.studies.benchmark import worker as row_worker
from cssa_mm.studies.benchmark.rows import ROWS

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='processes are forked here, and /proc is read')
# A command in place of ours, which takes seconds to import: the mechanism by its file, then nothing for long.
CHILD = f"""
import runpy, sys, time
from pathlib import Path
found = runpy.run_path({workers.__file__!r})
names = found['end_with_parent'].__globals__
if sys.argv[2] == 'by noticing':
    names['_ask_for_death_signal'] = lambda: False
found['end_with_parent'](by_signal=True)
assert names['PARENT'] not in names['os'].environ
Path(sys.argv[1], 'partial').write_text(str(names['os'].getpid()))
Path(sys.argv[1], 'partial').rename(Path(sys.argv[1], 'child'))
time.sleep(100)
"""


def is_alive(number: int) -> bool:
    try:
        return ') Z ' not in Path(f'/proc/{number}/stat').read_text()
    except FileNotFoundError:
        return False


def wait_for(condition, seconds=40) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return bool(condition())


def hang(job) -> None:
    """A run of a study."""
    (job.folder / 'partial').write_text(str(os.getpid()))
    (job.folder / 'partial').rename(job.folder / 'child')
    time.sleep(100)


def hang_at(loader, path) -> None:
    """The opening of an image."""
    hang(SimpleNamespace(folder=Path(path).parent))


def quickstart(folder, words):
    stages.test = lambda **_: hang(SimpleNamespace(folder=folder))
    if words[-1] == 'by noticing':
        workers._ask_for_death_signal = lambda: False
    stages.STAGES = stages.STAGES[:1]
    stages.run_stages(folder, str(folder / 'data'))


def benchmark_row(folder, words):
    run.COMMAND = words
    run.measure_row(ROWS[0], {}, 1, 1.0, run.tqdm(disable=True))


def benchmark_start(folder, words):
    start.run_python(CHILD, *words[2:])


def study(folder, words):
    jobs.prepare = worker.prepare = hang
    config = dict.fromkeys(('train_dataloader', 'test_dataloader'), dict(dataset={})) | dict(model=dict(backbone={}))
    jobs._work([SimpleNamespace(folder=folder, config=config)], 1, folder)


def check(folder, words):
    checking.image_facts = hang_at
    dataset = SemiMultiLabelDataset(class_names=['a'], pipeline=[LoadRGBImage()], lazy_init=True)
    checking.open_all(dataset, [str(folder / 'image')], 2, 'images')


def in_group(place, folder, words):
    """A group of its own, which what it starts belongs to."""
    os.setpgid(0, 0)
    place(folder, words)


PLACES = (quickstart, benchmark_row, benchmark_start, study, check)
CASES = [(place, signal.SIGKILL, 'by signal') for place in PLACES] + [
    (quickstart, signal.SIGTERM, 'by signal'),
    (study, signal.SIGTERM, 'by signal'),
    (quickstart, signal.SIGKILL, 'by noticing'),
]


@pytest.mark.parametrize(
    ('place', 'number', 'way'), CASES, ids=[f'{place.__name__}, {number.name}, {way}' for place, number, way in CASES]
)
def test_what_a_killed_process_has_started_ends_too(place, number, way, tmp_path):
    program = tmp_path / 'child.py'
    program.write_text(CHILD)
    (tmp_path / 'data').mkdir()
    words = (sys.executable, str(program), str(tmp_path), way)
    process = multiprocessing.get_context('fork').Process(target=in_group, args=(place, tmp_path, words))
    process.start()
    try:
        assert wait_for((tmp_path / 'child').is_file)
        child = int((tmp_path / 'child').read_text())
        assert is_alive(child)
        os.kill(process.pid, number)
        process.join(40)
        assert process.exitcode == -number
        assert wait_for(lambda: not is_alive(child))
    finally:  # a failed test leaves nothing behind either
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def test_commands_and_rows_ask_for_it_before_they_begin(monkeypatch):
    """What they run else is known by its own tests."""
    asked = []

    def ask(by_signal):
        asked.append(by_signal)
        raise CSSAError('asked')

    for module in (arguments, row_worker):
        monkeypatch.setattr(module, 'end_with_parent', ask)
    with pytest.raises(CSSAError, match='asked'):
        row_worker.main()
    with pytest.raises(CSSAError, match='asked'):
        arguments.run(None, None, None)
    assert asked == [True, True]
    assert start.TRAINING.index('end_with_parent(by_signal=True)') < start.TRAINING.index('cssa_mm.train(')
