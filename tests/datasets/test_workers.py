"""Workers of loaders end with their parent, however that ends, and leave signals to it."""

import ast
import multiprocessing
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from mmengine.dataset import worker_init_fn
from torch.utils.data import DataLoader, Dataset

from cssa_mm.datasets import workers
from cssa_mm.datasets.workers import WorkerStart, leave_signals_to_parent
from cssa_mm.engine.runner import CSSARunner

PACKAGE = Path(__file__).parents[2] / 'cssa_mm'
pytestmark = pytest.mark.skipif(sys.platform == 'win32', reason='processes are forked here')
fork = multiprocessing.get_context('fork') if sys.platform != 'win32' else None


class Large(Dataset):
    """Items that fill the pipe to a parent which reads no more."""

    def __len__(self):
        return 1000

    def __getitem__(self, index):
        return bytes(2**20)


def _train(folder, in_thread):
    """Start two workers, write their numbers down, and wait."""
    start = []
    make = threading.Thread(target=lambda: start.append(WorkerStart())) if in_thread else None
    if make is None:
        start.append(WorkerStart())
    else:
        make.start()
        make.join()
    loader = DataLoader(Large(), num_workers=2, collate_fn=list, worker_init_fn=start[0], persistent_workers=True)
    batches = iter(loader)
    next(batches)
    numbers = ' '.join(str(worker.pid) for worker in batches._workers)
    (folder / 'partial').write_text(numbers)
    (folder / 'partial').rename(folder / 'workers')
    time.sleep(100)


def is_alive(number: int) -> bool:
    try:
        return ') Z ' not in Path(f'/proc/{number}/stat').read_text()  # nobody may ask for one that has ended
    except FileNotFoundError:
        return False


def wait_for(condition) -> bool:
    for _ in range(400):
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='looks into /proc')
@pytest.mark.parametrize('in_thread', [False, True], ids=['by the signal of Linux', 'by noticing'])
def test_workers_of_a_killed_process_end(tmp_path, in_thread):
    process = fork.Process(target=_train, args=(tmp_path, in_thread))
    process.start()
    assert wait_for((tmp_path / 'workers').is_file)
    numbers = [int(number) for number in (tmp_path / 'workers').read_text().split()]
    assert len(numbers) == 2
    assert all(map(is_alive, numbers))
    process.kill()
    process.join()
    assert wait_for(lambda: not any(map(is_alive, numbers)))


def test_a_parent_that_is_gone_before_its_worker_asks_is_noticed(monkeypatch):
    """The signal is for those that end later."""
    waited = []
    monkeypatch.setattr(workers, 'parent_process', lambda: type('Gone', (), dict(pid=0, join=lambda self: None))())
    monkeypatch.setattr(workers, '_ask_for_death_signal', lambda: True)
    monkeypatch.setattr(workers.os, '_exit', waited.append)
    workers.end_with_parent(by_signal=True)
    assert wait_for(lambda: waited == [1])


def test_the_main_process_waits_for_nobody(monkeypatch):
    monkeypatch.setattr(workers, '_ask_for_death_signal', lambda: pytest.fail('asked'))
    before = threading.active_count()
    workers.end_with_parent(by_signal=True)
    assert threading.active_count() == before


def _answer(pipe, grace):
    workers.GRACE = grace
    leave_signals_to_parent()
    pipe.send('ready')
    pipe.recv()
    pipe.send('done')
    time.sleep(100)


@pytest.fixture
def worker():
    """worker(grace) -> a process that has left its signals to this one, and a pipe to it."""

    def start(grace):
        ours, theirs = fork.Pipe()
        process = fork.Process(target=_answer, args=(theirs, grace))
        process.start()
        assert ours.recv() == 'ready'
        return process, ours

    return start


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='who has sent a signal is known on Linux')
def test_a_worker_ignores_ctrl_c_and_outlives_sigterm_of_others_for_a_while(worker):
    process, pipe = worker(1)
    subprocess.run(['sh', '-c', f'kill -INT {process.pid}; kill -TERM {process.pid}'], check=True)
    pipe.send('go on')
    assert pipe.recv() == 'done'
    process.join(60)
    assert process.exitcode == 143


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='who has sent a signal is known on Linux')
def test_a_worker_ends_at_once_when_its_parent_asks(worker):
    """As torch does at the end of a program."""
    process, _ = worker(1000)
    process.terminate()
    process.join(60)
    assert process.exitcode == 0


def test_every_loader_of_the_package_starts_its_workers_so():
    """The runner's loaders, and each DataLoader that the package builds."""
    without = []
    for path in sorted(PACKAGE.rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text('utf-8'))):
            if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'DataLoader':
                given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                if given.get('worker_init_fn') != 'WorkerStart()':
                    without.append(f'{path.name}: {given}')
    assert without == []


def test_the_runner_s_loaders_still_seed_their_workers(tiny_config, monkeypatch):
    config = tiny_config()
    runner = CSSARunner.from_cfg(config)
    for loader in (runner.build_dataloader(config.train_dataloader, seed=3), runner.test_dataloader):
        assert isinstance(loader.worker_init_fn, WorkerStart)
        assert loader.worker_init_fn.then.func is worker_init_fn
    start = runner.build_dataloader(config.train_dataloader, seed=3).worker_init_fn
    called = []
    monkeypatch.setattr(workers, 'leave_signals_to_parent', lambda: called.append('signals'))
    monkeypatch.setattr(workers, 'end_with_parent', called.append)
    start.then = called.append
    start(5)
    assert called == ['signals', True, 5]
