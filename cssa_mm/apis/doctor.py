"""Whether this machine can train: versions, device, disk, threads, and a training in miniature."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal

import torch

from cssa_mm.apis import self_test
from cssa_mm.apis.known_pairs import bad_pairs, installed_versions
from cssa_mm.datasets.workers import num_cores
from cssa_mm.engine.runner import checked_device
from cssa_mm.version import __version__

Level = Literal['OK', 'WARNING', 'PROBLEM']
GB = 1e9
LITTLE_DISK, NO_DISK = 2 * GB, 0.1 * GB
LITTLE_SHARED = 0.25 * GB  # a container has 64 MB where nobody asked for more
SHARED = '/dev/shm'  # nosec B108 # only looked at
LITTLE_MEMORY = 2 * GB
FEW_FILES = 1024
PORT = 29500  # of torchrun
REINSTALL = "pip install --force-reinstall 'cssa_mm[openmmlab]'"


@dataclass(frozen=True)
class Check:
    """One line of the doctor.

    Attributes:
        level: 'OK', 'WARNING' (a part will not work, or slowly) or 'PROBLEM' (training will not work).
        name: what was looked at.
        found: what was found.
        remedy: what to do; empty for 'OK'.
    """

    level: Level
    name: str
    found: str
    remedy: str = ''

    def text(self) -> str:
        """The line."""
        return f'{self.level:9}{self.name:10}{self.found}' + (f'; {self.remedy}' if self.remedy else '')


@dataclass(frozen=True)
class Diagnosis:
    """All lines of the doctor."""

    checks: list[Check]

    @property
    def is_well(self) -> bool:
        """Whether there is no problem; warnings may be left."""
        return all(check.level != 'PROBLEM' for check in self.checks)

    def text(self) -> str:
        """The lines."""
        return '\n'.join(check.text() for check in self.checks)


def doctor(*, device: str | None = None, folder: str | os.PathLike = '.') -> Diagnosis:
    """Look at this machine, and train a model in miniature; ten seconds or so.

    Args:
        device: 'cpu', 'cuda' or 'mps'; by default the best one that this machine has.
        folder: where results would go.

    Raises:
        ConfigError: the machine has no such device.

    Examples:
        >>> from cssa_mm.apis.doctor import doctor
        >>> doctor(device='cpu').is_well
        True
    """
    checked_device(device)
    parts: list[tuple[str, Callable[[], Iterator[Check]]]] = [
        ('versions', _versions),
        ('device', lambda: _device(device)),
        ('disk', lambda: _disk(Path(folder))),
        ('memory', _memory),
        ('threads', _threads),
        ('processes', _processes),
        ('self-test', lambda: _self_test(device)),
    ]
    checks: list[Check] = []
    for name, part in parts:
        try:
            checks.extend(part())
        # Whatever breaks is what the doctor is asked for.
        except Exception as error:
            reason = ' '.join(str(error).split())[:300]
            checks.append(Check('PROBLEM', name, f'{type(error).__name__}: {reason}', f'try {REINSTALL}'))
    return Diagnosis(checks)


def _versions() -> Iterator[Check]:
    versions = installed_versions()
    told = ', '.join(f'{name} {version}' for name, version in versions.items())
    yield Check('OK', 'versions', f'cssa_mm {__version__}, Python {platform.python_version()}, {told}')
    for pair in bad_pairs(versions):
        yield Check('PROBLEM' if pair.is_fatal else 'WARNING', 'versions', pair.found, pair.remedy)
    try:
        import_module('cv2')
    except ImportError as error:
        yield Check(
            'PROBLEM',
            'versions',
            f'OpenCV cannot be imported ({error})',
            'apt-get install libgl1 libglib2.0-0, or put opencv-python-headless in the place of opencv-python',
        )


def _device(wanted: str | None) -> Iterator[Check]:
    device = checked_device(wanted)
    if device.type == 'cuda':
        free, total = torch.cuda.mem_get_info()
        name = torch.cuda.get_device_name()
        found = f'{name}, {free / GB:.1f} of {total / GB:.1f} GB free, CUDA {torch.version.cuda}'
        if free < LITTLE_MEMORY:
            yield Check(
                'WARNING', 'device', found, 'nvidia-smi shows who uses it; CUDA_VISIBLE_DEVICES=N takes another'
            )
        else:
            yield Check('OK', 'device', found)
    elif torch.version.cuda and wanted is None:
        yield Check(
            'WARNING',
            'device',
            f'{device.type}, although torch was built for CUDA {torch.version.cuda}',
            'if there is a GPU: nvidia-smi shows whether its driver works and is new enough',
        )
    else:
        yield Check('OK', 'device', device.type)


def _disk(folder: Path) -> Iterator[Check]:
    if not os.access(folder, os.W_OK):
        yield Check('PROBLEM', 'disk', f"'{folder.resolve()}' cannot be written to", 'run in another folder')
    for place, what in ((folder, 'results'), (Path.home(), 'towers'), (Path(SHARED), 'shared memory')):
        if not place.is_dir():
            continue
        free = shutil.disk_usage(place).free
        found = f'{free / GB:.1f} GB free for {what} in {place.resolve()}'
        if what == 'shared memory':
            if free < LITTLE_SHARED:
                remedy = "docker run --shm-size=1g, or the loaders' num_workers=0"
                yield Check('WARNING', 'disk', found, remedy)
        elif free < NO_DISK:
            yield Check('PROBLEM', 'disk', found, 'make room')
        elif free < LITTLE_DISK:
            yield Check('WARNING', 'disk', found, 'make room: checkpoints, features and towers may not fit')
        else:
            yield Check('OK', 'disk', found)


def _memory() -> Iterator[Check]:
    if not hasattr(os, 'sysconf') or 'SC_AVPHYS_PAGES' not in os.sysconf_names:
        return
    free = os.sysconf('SC_AVPHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    text = Path('/proc/meminfo').read_text() if Path('/proc/meminfo').is_file() else ''
    line = next((line for line in text.splitlines() if line.startswith('MemAvailable:')), None)
    free = int(line.split()[1]) * 1024 if line else free
    found = f'{free / GB:.1f} GB free'
    if free < LITTLE_MEMORY:
        remedy = 'close other programs, or take fewer workers: train_dataloader.num_workers=0'
        yield Check('WARNING', 'memory', found, remedy)
    else:
        yield Check('OK', 'memory', found)


def _threads() -> Iterator[Check]:
    cores = num_cores()
    threads = torch.get_num_threads()
    found = f'{threads} of torch on {cores} cores, OMP_NUM_THREADS={os.environ.get("OMP_NUM_THREADS", "not set")}'
    if threads > cores:
        yield Check('WARNING', 'threads', found, f'export OMP_NUM_THREADS={cores}: more threads than cores slow down')
    else:
        yield Check('OK', 'threads', found)


def _processes() -> Iterator[Check]:
    found = 'a worker and a group of processes'
    self_test.load_in_worker()
    self_test.join_processes()
    try:
        resource = import_module('resource')
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    except ImportError:  # Windows
        files = FEW_FILES
    if 0 <= files < FEW_FILES:
        yield Check('WARNING', 'processes', f'{files} open files allowed', f'ulimit -n {FEW_FILES}')
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(('127.0.0.1', PORT))
        except OSError:
            remedy = 'a distributed training beside it needs another: PORT=29511 in front of the command'
            yield Check('WARNING', 'processes', f'port {PORT} is in use', remedy)
    yield Check('OK', 'processes', found)


def _self_test(device: str | None) -> Iterator[Check]:
    start = time.perf_counter()
    self_test.score(self_test.take_step(device))
    seconds = time.perf_counter() - start
    yield Check('OK', 'self-test', f'one step and one scoring on {checked_device(device).type} in {seconds:.1f} s')
