"""Windows and macOS, by simulation: without what Linux alone has, and with workers that are spawned.

Neither system was run. What cannot be made up here (its disks, its GPUs) is not tested.
"""

import builtins
import ctypes
import errno
import fcntl
import importlib.util
import math
import multiprocessing
import os
import pickle
import resource
import signal
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from cssa_mm.apis import checking, doctor, self_test
from cssa_mm.apis.predicting import loading
from cssa_mm.apis.predicting.folder import open_lock
from cssa_mm.datasets import LoadRGBImage, workers
from cssa_mm.datasets.view import View
from cssa_mm.engine import work_dir
from cssa_mm.engine.runner import CSSARunner
from cssa_mm.features import encode, plan
from cssa_mm.files import write_text
from cssa_mm.semi.pseudo_label_hook import PseudoLabelHook  # noqa: F401 - the sampler is registered beside it
from cssa_mm.studies.benchmark import run as benchmark
from cssa_mm.studies.benchmark import worker

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / 'cssa_mm'


def test_a_file_is_brought_to_the_disk_where_that_asks_for_the_right_to_write(tmp_path, monkeypatch):
    """As Windows does: fsync of a file that was opened to read is an error there."""
    synced = []

    def fsync(number):
        if fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, 'Bad file descriptor')
        synced.append(number)

    monkeypatch.setattr(os, 'fsync', fsync)
    monkeypatch.delattr(os, 'O_DIRECTORY')
    write_text(tmp_path / 'a.txt', 'ä')
    assert (tmp_path / 'a.txt').read_bytes() == 'ä'.encode()
    assert len(synced) == 1


def loaded_without(module: Path, monkeypatch, *missing):
    """A module whose imports of these fail."""
    original = builtins.__import__

    def imported(name, *given, **named):
        if name in missing:
            raise ImportError(name)
        return original(name, *given, **named)

    spec = importlib.util.spec_from_file_location(f'without_{module.stem}', module)
    result = importlib.util.module_from_spec(spec)
    with monkeypatch.context() as patch:
        patch.setattr(builtins, '__import__', imported)
        spec.loader.exec_module(result)
    return result


def test_memory_is_0_where_nothing_tells_it(tmp_path, monkeypatch):
    memory = loaded_without(PACKAGE / 'studies' / 'memory.py', monkeypatch, 'resource')
    assert memory.peak_memory() > 2**20
    monkeypatch.setattr(memory, 'STATUS', tmp_path / 'missing')
    monkeypatch.setattr(memory.torch.cuda, 'is_available', lambda: False)
    memory.forget_peak_memory()
    assert (memory.peak_memory(), memory.memory()) == (0, 0)


def test_a_row_of_the_benchmark_is_measured_without_a_limit(monkeypatch):
    memory = loaded_without(PACKAGE / 'studies' / 'memory.py', monkeypatch, 'resource')
    monkeypatch.setattr(worker, 'limit_memory', memory.limit_memory)
    before = resource.getrlimit(resource.RLIMIT_DATA)
    job = '{"memory_gib": 1, "setting": {}, "row": "C1", "repeats": 1, "out": "figures.json"}'
    monkeypatch.setattr(sys, 'stdin', SimpleNamespace(read=lambda: job))
    for name in ('Setting', 'row_of', 'measure', 'write_json'):
        monkeypatch.setattr(worker, name, lambda *_, **__: SimpleNamespace(build=lambda _: None, as_dict=dict))
    worker.main()
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_work_directories_are_used_where_there_are_no_locks(tmp_path, monkeypatch):
    monkeypatch.setattr(work_dir, 'fcntl', None)
    monkeypatch.setitem(sys.modules, 'fcntl', None)
    with work_dir.in_use(tmp_path), work_dir.in_use(tmp_path):
        assert list(tmp_path.iterdir()) == []
    with open_lock(tmp_path / 'run.lock', tmp_path), open_lock(tmp_path / 'run.lock', tmp_path):
        assert list(tmp_path.iterdir()) == []
    assert loaded_without(PACKAGE / 'engine' / 'work_dir.py', monkeypatch, 'fcntl').fcntl is None


@pytest.fixture
def bare_system(monkeypatch):
    """What Windows lacks is gone, and the files in which Linux tells of itself."""
    for module, name in ((os, 'sysconf'), (os, 'sched_getaffinity'), (os, 'getloadavg'), (signal, 'sigtimedwait')):
        monkeypatch.delattr(module, name)
    for name in ('resource', 'fcntl'):
        monkeypatch.setitem(sys.modules, name, None)
    original = Path.is_file
    monkeypatch.setattr(Path, 'is_file', lambda path: not str(path).startswith(('/proc', '/sys')) and original(path))
    monkeypatch.setattr(sys, 'platform', 'win32')


def test_the_doctor_and_the_facts_do_without(bare_system, tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, 'SHARED', str(tmp_path / 'missing'))
    monkeypatch.setattr(self_test, 'load_in_worker', lambda: None)  # it would be spawned; see below
    monkeypatch.setattr(doctor, '_self_test', lambda device: iter(()))
    found = doctor.doctor(device='cpu', folder=tmp_path)
    assert found.is_well, found.text()
    assert {check.name for check in found.checks} == {'versions', 'device', 'disk', 'threads', 'processes'}
    assert plan.free_memory() == math.inf
    assert benchmark._free_gib() == benchmark.MEMORY_GIB / benchmark.SHARE
    assert benchmark.machine_facts()['load'] is None
    assert workers.num_cores() == os.cpu_count()


def test_workers_begin_where_signals_cannot_be_waited_for(bare_system, monkeypatch):
    before, done = signal.getsignal(signal.SIGINT), []
    try:
        workers.WorkerStart(done.append)(3)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert done == [3]


def test_a_command_on_windows_waits_for_the_process_whose_number_it_was_given(bare_system, monkeypatch):
    """Its parent may be a launcher that stands between the two."""
    calls, ended = [], []

    def opened(rights, inherit, number):
        calls.append((rights, inherit, number))
        return 77

    kernel = SimpleNamespace(
        OpenProcess=opened, WaitForSingleObject=lambda handle, time: calls.append((handle, time)) or 0
    )
    monkeypatch.setattr(ctypes, 'windll', SimpleNamespace(kernel32=kernel), raising=False)
    monkeypatch.setattr(workers.os, '_exit', ended.append)
    monkeypatch.setitem(os.environ, workers.PARENT, '4242')
    monkeypatch.setattr(workers.threading, 'Thread', lambda target, args, daemon: SimpleNamespace(
        start=lambda: target(*args)))  # fmt: skip
    workers.end_with_parent(by_signal=True)
    assert calls == [(0x00100000, False, 4242), (77, 0xFFFFFFFF)]
    assert ended == [1]
    assert workers.PARENT not in os.environ


@pytest.mark.parametrize(
    ('system', 'methods', 'expected'),
    [
        ('linux', ['fork', 'spawn', 'forkserver'], 'fork'),
        ('linux', ['spawn'], 'spawn'),
        ('darwin', ['spawn', 'fork', 'forkserver'], 'spawn'),
        ('win32', ['spawn'], 'spawn'),
    ],
)
def test_processes_are_forked_on_linux_alone(system, methods, expected, monkeypatch):
    monkeypatch.setattr(sys, 'platform', system)
    monkeypatch.setattr(workers, 'get_all_start_methods', lambda: methods)
    assert workers.start_method() == expected


class AskedError(Exception):
    """A loader was asked for."""


def test_what_other_loaders_and_pools_give_to_their_workers_can_be_pickled(tiny_config, monkeypatch):
    asked = []

    def loader(dataset, *given, **named):
        parts = {key: named.get(key) for key in ('collate_fn', 'worker_init_fn')}
        asked.append(pickle.loads(pickle.dumps((dataset, parts))))
        raise AskedError

    for module in (encode, loading, self_test):
        monkeypatch.setattr(module, 'DataLoader', loader)
    runner = CSSARunner.from_cfg(tiny_config())
    dataset = runner.build_dataloader(tiny_config().train_dataloader).dataset
    for call in (
        lambda: next(encode.encode(runner.model, dataset, [0], View(size=None), 'Images', num_workers=1)),
        lambda: next(loading.load([], View(size=None), 1)),
        self_test.load_in_worker,
    ):
        with pytest.raises(AskedError):
            call()
    assert len(asked) == 3
    pickle.dumps((partial(checking.image_facts, LoadRGBImage()), checking._start))


@pytest.fixture
def spawned(monkeypatch):
    """As on macOS; afterwards the way in which processes start is the old one."""
    before = multiprocessing.get_start_method(allow_none=True)
    monkeypatch.setattr(sys, 'platform', 'darwin')
    yield
    multiprocessing.set_start_method(before, force=True)


def test_a_training_loader_whose_worker_is_spawned_reads_the_same_batches(tiny_config, spawned):
    config = tiny_config()
    runner = CSSARunner.from_cfg(config)
    assert multiprocessing.get_start_method() == 'spawn'
    settings = config.train_dataloader
    here = list(runner.build_dataloader(settings, seed=1))
    there = list(runner.build_dataloader(settings | dict(num_workers=1), seed=1))
    assert len(here) == len(there) > 0
    for one, other in zip(here, there, strict=True):
        assert all(torch.equal(*pair) for pair in zip(one['inputs'], other['inputs'], strict=True))
        assert [s.image_id for s in one['data_samples']] == [s.image_id for s in other['data_samples']]
