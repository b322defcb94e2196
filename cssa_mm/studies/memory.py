"""The peak memory of a part of a process."""

from __future__ import annotations

import contextlib
from pathlib import Path

import torch

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

STATUS = Path('/proc/self/status')


def forget_peak_memory() -> None:
    """Start to measure the peak anew, if the system can; elsewhere it is that of the whole process."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError):
        Path('/proc/self/clear_refs').write_text('5')


def peak_memory() -> int:
    """Peak memory in bytes since `forget_peak_memory`, on the GPU where there is one, else of the process.

    Where nothing tells, it is 0.
    """
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    if STATUS.is_file():
        return _status('VmHWM')
    return 0 if resource is None else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def limit_memory(gib: float) -> None:
    """Let this process take at most so much memory for its data; where nothing limits it, as on Windows, any."""
    if resource is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (int(gib * 2**30), hard))


def memory() -> int:
    """Memory in bytes that is held now: on the GPU where there is one, else by the process; 0 where nothing tells."""
    if torch.cuda.is_available():
        return torch.cuda.memory_allocated()
    return _status('VmRSS') if STATUS.is_file() else 0


def _status(name: str) -> int:
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith(f'{name}:'))
    return int(line.split()[1]) * 1024
