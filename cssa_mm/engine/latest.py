"""The latest checkpoint of a work directory: the one that `last_checkpoint` names, or the newest that loads."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from cssa_mm.engine.checkpoints import read_checkpoint, read_resumable
from cssa_mm.errors import CheckpointError
from cssa_mm.files import write_text

NAME = 'last_checkpoint'
# What a CheckpointHook writes at regular times; those of a name with best_ cannot be resumed.
REGULAR = re.compile(r'(?!best_)[^.].*?(\d+)\.pth')


def name_latest(work_dir: str | os.PathLike, checkpoint: str | os.PathLike) -> None:
    """Write the name of the latest checkpoint: of one beside it the name alone, so that the folder may be moved."""
    is_beside = '://' not in str(checkpoint) and Path(checkpoint).resolve().parent == Path(work_dir).resolve()
    write_text(Path(work_dir, NAME), Path(checkpoint).name if is_beside else os.fspath(checkpoint))


def latest_checkpoint(work_dir: str | os.PathLike) -> Path | None:
    """The checkpoint that the run of a folder calls its latest, or else the newest of the folder; None without any.

    A folder may have been moved or copied: a file of the folder goes before one of the same name at another place.
    """
    named = _named(Path(work_dir))
    if named is not None and named.is_file():
        return named
    others = sorted(Path(work_dir).glob('[!.]*.pth'), key=lambda path: path.stat().st_mtime_ns)
    return next(iter([*checkpoints_in(work_dir), *reversed(others)]), None)


def checkpoints_in(work_dir: str | os.PathLike) -> list[Path]:
    """The checkpoints that a folder holds, newest first: by the number in the name, then by time."""
    found = [(REGULAR.fullmatch(path.name), path) for path in Path(work_dir).glob('*.pth') if path.is_file()]
    numbered = [(int(match[1]), path.stat().st_mtime_ns, path) for match, path in found if match]
    return [path for _, _, path in sorted(numbered, reverse=True)]


def find_resumable(work_dir: str | os.PathLike, says: bool = True) -> tuple[str | None, dict | None]:
    """The latest checkpoint of a folder that a training can go on from, and its content; None and None without any.

    Where the latest one is missing or does not load, the newest that does takes its place, which `says` tells.

    Raises:
        CheckpointError: there are checkpoints, but none that loads.
    """
    folder, first = Path(work_dir), None
    named = _named(folder)
    others = [path for path in checkpoints_in(folder) if path != named]
    for path in [named, *others] if named is not None else others:
        try:
            content = read_resumable(path)
        except CheckpointError as error:
            first = first or error
            continue
        if first is not None and says:
            print_log(f"{first}. Going on from '{path.name}', the newest that loads", 'current', logging.WARNING)
        return os.fspath(path), content
    if first is not None:
        raise first
    return None, None


def check_checkpoint(config: Mapping[str, Any]) -> dict | None:
    """Check that the checkpoint that a config starts from, if any, exists and is complete; returns its content.

    Raises:
        CheckpointError: it is missing, unreadable or lacks what a resume needs.
    """
    path, resume = config.get('load_from'), config.get('resume', False)
    if path is not None:
        return read_resumable(path) if resume else read_checkpoint(path)
    return find_resumable(config['work_dir'], says=False)[1] if resume else None


def _named(folder: Path) -> Path | None:
    try:
        name = Path(folder, NAME).read_text('utf-8').strip()
    except FileNotFoundError:
        return None
    beside = folder / Path(name).name
    return beside if beside.is_file() or not Path(name).is_absolute() else Path(name)
