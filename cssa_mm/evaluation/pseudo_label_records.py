"""The records of a run's pseudo-labels: `pseudo_labels.jsonl` in its work directory, one JSON object an epoch.

A process that is killed while it writes leaves an unfinished last line. Readers drop it with a warning: a resumed run
writes that epoch again. Anything else that is not a record is an error.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from cssa_mm.errors import ConfigError, DataError
from cssa_mm.files import write_text

FILE = 'pseudo_labels.jsonl'
NEEDED = ('epoch', 'class_names', 'labelled_positives', 'CF1', 'reliability')
Record = dict[str, Any]


def append_record(path: str | os.PathLike, record: Mapping[str, object]) -> None:
    """Add the record of an epoch; it is on the disk when this returns."""
    with Path(path).open('a', encoding='utf-8') as file:
        file.write(json.dumps(record) + '\n')
        file.flush()
        os.fsync(file.fileno())


def keep_records(path: str | os.PathLike, last_epoch: int) -> None:
    """Drop the records of all epochs after `last_epoch`, and an unfinished last line; without a file, do nothing.

    Raises:
        DataError: a line is not the record of an epoch.
    """
    path = Path(path)
    if path.is_file():
        kept = [line for line, record in _lines(path, ('epoch',)) if record['epoch'] <= last_epoch]
        write_text(path, ''.join(f'{line}\n' for line in kept))


def read_records(work_dir: str | os.PathLike) -> list[Record]:
    """One record for each semi-supervised epoch of a run; None is read as nan.

    Raises:
        ConfigError: the run has no records.
        DataError: a line is not a record of this version.
    """
    path = Path(work_dir, FILE)
    if not path.is_file():
        raise ConfigError(
            f'{path}: found no such file, expected that of a run with semi-supervised epochs; give its work directory'
        )
    records = [_with_nan(record) for _, record in _lines(path, NEEDED)]
    if not records:
        raise ConfigError(f'{path}: found no epoch, expected a semi-supervised one; has the warm-up just ended?')
    return records


def _lines(path: Path, needed: tuple[str, ...]) -> Iterator[tuple[str, Record]]:
    """Each line with its record, without an unfinished last one."""
    *lines, rest = path.read_bytes().split(b'\n')
    if rest or (lines and _parsed(lines[-1]) is None):
        number = len(lines) + bool(rest)
        lines = lines if rest else lines[:-1]
        message = f'{path}: unfinished line {number} is dropped; the run was probably killed while it wrote'
        print_log(message, logger='current', level=logging.WARNING)
    for number, line in enumerate(lines, 1):
        record = _parsed(line)
        if record is None:
            raise DataError(f'{path}: found no JSON object in line {number}, expected an epoch; train again')
        missing = [key for key in needed if key not in record]
        if missing:
            raise DataError(
                f"{path}: found no '{missing[0]}' in line {number}, expected a record of this version; train again"
            )
        yield line.decode(), record


def _parsed(line: bytes) -> Record | None:
    try:
        record = json.loads(line.decode('utf-8'))  # of bytes alone it would take UTF-16, too
    # Broken bytes fail to decode, broken JSON to parse: both are ValueErrors.
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _with_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_nan(item) for item in value]
    return float('nan') if value is None else value
