"""Processes that this package starts end with the process that started them, however that ends.

Those are the workers of loaders and pools, stages of the quickstart, and commands that the benchmark runs. torch's own
watchdog notices a parent that is gone, and then waits for ever for a pipe that nobody reads any more.
"""

from __future__ import annotations

import ctypes
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import get_all_start_methods, parent_process

PR_SET_PDEATHSIG = 1  # of linux/prctl.h
GRACE = 10  # seconds
PARENT = 'CSSA_PARENT'  # the number of the process that a command ends with
SYNCHRONIZE, INFINITE = 0x00100000, 0xFFFFFFFF  # of winnt.h and winbase.h


class WorkerStart:
    """What each worker of a loader does first: `worker_init_fn` of a DataLoader.

    Args:
        then: another such function, which comes after it.
    """

    def __init__(self, then: Callable[[int], None] | None = None) -> None:
        self.then = then
        # Linux sends the signal when the *thread* ends that has started the process.
        self.by_signal = threading.current_thread() is threading.main_thread()

    def __call__(self, number: int) -> None:
        """Start worker `number`."""
        leave_signals_to_parent()
        end_with_parent(self.by_signal)
        if self.then is not None:
            self.then(number)


def start_method() -> str:
    """How `multiprocessing` should start processes: 'fork' on Linux; elsewhere it is missing or breaks libraries."""
    return 'fork' if sys.platform == 'linux' and 'fork' in get_all_start_methods() else 'spawn'


def num_cores() -> int:
    """The cores of this process: a container may own fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def child_environment() -> dict[str, str]:
    """The environment for a command of this package that ends with this process: it calls `end_with_parent`."""
    return os.environ | {PARENT: str(os.getpid())}


def end_with_parent(by_signal: bool = False) -> None:
    """Let this process end as soon as the process is gone that has started it.

    That is the one that started it with `multiprocessing`, or gave it its `child_environment`; a command that somebody
    else has started ends with nobody.

    Args:
        by_signal: let Linux do it, which needs no thread here. The process must have been started by a thread that
            lives as long as the parent.
    """
    parent, named = parent_process(), os.environ.pop(PARENT, '')  # those that it starts have another parent
    number = parent.pid if parent is not None else int(named) if named.isdecimal() else None
    if number is None:
        return
    if by_signal and _ask_for_death_signal() and os.getppid() == number:
        return
    wait = partial(_wait_for, number) if parent is None else parent.join
    threading.Thread(target=_end_after, args=(wait,), daemon=True).start()


def leave_signals_to_parent() -> None:
    """Ignore Ctrl-C, and outlive for ten seconds a SIGTERM that does not come from the parent.

    Both may reach a whole group of processes, as from a terminal or a cluster, while the parent needs its workers to
    finish a step.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, 'sigtimedwait'):  # on Linux
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_outlive, args=(os.getppid(),), daemon=True).start()


def _outlive(parent: int) -> None:
    end = math.inf
    while (left := end - time.monotonic()) > 0:
        found = signal.sigtimedwait({signal.SIGTERM}, min(left, 3600))
        if found is not None and found.si_pid == parent:
            os._exit(0)
        if found is not None:
            end = min(end, time.monotonic() + GRACE)
    os._exit(128 + signal.SIGTERM)


def _ask_for_death_signal() -> bool:
    if sys.platform != 'linux':
        return False
    try:
        return ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0
    except (OSError, AttributeError):  # a C library without it
        return False


def _end_after(wait: Callable[[], object]) -> None:
    wait()
    os._exit(1)


def _wait_for(number: int) -> None:
    """Wait until the process of this number is gone, which is this one's parent."""
    if sys.platform == 'win32':  # the number stays, and a launcher may stand between the two
        handle = ctypes.windll.kernel32.OpenProcess(SYNCHRONIZE, False, number)
        ctypes.windll.kernel32.WaitForSingleObject(handle, INFINITE)  # at once, if it was gone already
        return
    while os.getppid() == number:
        time.sleep(0.5)
