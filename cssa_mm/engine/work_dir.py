"""A work directory belongs to one run: nobody else trains in it, and what it holds is of the same config."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from itertools import count
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import print_log

from cssa_mm.engine.changed_settings import differences, settings_of, settings_of_checkpoint
from cssa_mm.engine.checkpoints import read_checkpoint
from cssa_mm.engine.config.preparing import prepare_config
from cssa_mm.engine.latest import checkpoints_in
from cssa_mm.errors import CheckpointError, ConfigError, nearest

try:
    import fcntl
except ImportError:  # Windows, where nothing is locked
    fcntl = None  # type: ignore[assignment]

KEY, CHOICES = 'on_used_work_dir', ('refuse', 'overwrite', 'new')
LOCK = '.training.lock'
SHOWN = 3  # settings that differ


@contextmanager
def in_use(work_dir: str | os.PathLike) -> Iterator[None]:
    """Hold a work directory for a training; the lock goes with its process, however that ends.

    Raises:
        ConfigError: another training holds it.
    """
    if fcntl is None or not is_main_process():
        yield
        return
    # A lock of this kind is not inherited by the workers of a loader, which outlive a killed process by seconds.
    with Path(work_dir, LOCK).open('a+', encoding='utf-8') as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            file.seek(0)
            raise ConfigError(
                f"work_dir: found '{work_dir}', in which another training runs ({file.read().strip() or 'unknown'}), "
                'expected one of its own; wait for its end, or give another --work-dir'
            ) from error
        except OSError as error:  # some network file systems have no locks
            print_log(
                f"work_dir: '{work_dir}' cannot be locked ({error}); see that no other training uses it",
                'current',
                logging.WARNING,
            )
        file.truncate(0)
        file.write(f'process {os.getpid()} on {socket.gethostname()}\n')
        file.flush()
        yield


def check_used(config: Config, work_dir: str | os.PathLike, resumed_from: str | os.PathLike | None) -> None:
    """Check that a training may write its checkpoints beside those that a work directory holds.

    Raises:
        ConfigError: they are of another config, and the config's `on_used_work_dir` does not allow that.
    """
    choice, folder = _choice(config), Path(work_dir)
    if choice == 'overwrite' or (resumed_from is not None and Path(resumed_from).resolve().parent == folder.resolve()):
        return
    found = _of_another_config(config, folder)
    if found is not None:
        path, changes = found
        shown = ', '.join(changes[:SHOWN]) + (f' and {len(changes) - SHOWN} more' if len(changes) > SHOWN else '')
        raise ConfigError(
            f"work_dir: found '{path}' of another config ({shown}), expected a folder without checkpoints or with "
            'those of this config; give another --work-dir, go on with --resume, or set on_used_work_dir=overwrite or '
            'on_used_work_dir=new'
        )


def free_work_dir(config: Config, work_dir: str) -> str:
    """The work directory, or, with `on_used_work_dir='new'`, the first of NAME_2, NAME_3... that the config may use.

    Raises:
        ConfigError: the key has another value than those that are allowed.
    """
    if _choice(config) != 'new' or config.get('resume'):
        return work_dir
    prepared = prepare_config(deepcopy(config))
    names = (work_dir if number == 1 else f'{work_dir.rstrip(os.sep)}_{number}' for number in count(1))
    found = next(name for name in names if _of_another_config(prepared, Path(name)) is None)
    if found != work_dir:
        print_log(f"work_dir: '{work_dir}' has checkpoints of another config; training in '{found}'", 'current')
    return found


def _of_another_config(config: Config, folder: Path) -> tuple[Path, list[str]] | None:
    """The newest checkpoint of a folder and how its config differs, if it does."""
    for path in checkpoints_in(folder):
        try:
            before = settings_of_checkpoint(read_checkpoint(path))
        except CheckpointError:  # a broken one is of no config
            continue
        changes = ['which is not readable'] if before is None else differences(before, settings_of(config))
        return (path, changes) if changes else None
    return None


def _choice(config: Config) -> str:
    choice = config.get(KEY, CHOICES[0])
    if choice not in CHOICES:
        raise ConfigError(
            f'{KEY}: found {choice!r}, expected one of {", ".join(CHOICES)}.{nearest(str(choice), CHOICES)}'
        )
    return choice
