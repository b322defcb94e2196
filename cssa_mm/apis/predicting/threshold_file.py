"""Thresholds that a user gives: one number, or a CSV file with one for each class."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping

from cssa_mm.errors import ConfigError

HEADER = ['class', 'threshold']


def given_threshold(
    value: float | str | os.PathLike | Mapping[str, float] | None,
) -> float | Mapping[str, float] | None:
    """What `Predictor` takes as thresholds: a number, also as text, or the content of a file.

    Raises:
        ConfigError: the file is missing, or has no such table.
    """
    if value is None or isinstance(value, float | int | Mapping):
        return value
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return read_thresholds(os.fspath(value))


def read_thresholds(path: str) -> dict[str, float]:
    """Read a table `class,threshold`: class name -> threshold.

    Raises:
        ConfigError: the file is missing, has another header, a class twice, or something else than a number.
    """
    try:
        with open(os.path.expanduser(path), newline='', encoding='utf-8-sig') as file:
            lines = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(
            f"threshold: found neither a number nor a readable file in '{path}' "
            f'({getattr(error, "strerror", None) or error}), expected a number from 0 to 1, or a CSV file with the '
            'header class,threshold'
        ) from error
    if not lines or [cell.strip().lower() for cell in lines[0]] != HEADER:
        found = ','.join(lines[0]) if lines else ''
        raise ConfigError(f"{path}: found the header '{found[:80]}', expected class,threshold; write it as first line")
    result: dict[str, float] = {}
    for number, row in enumerate(lines[1:], 2):
        try:
            name, text = (cell.strip() for cell in row)
            value = float(text)
        except ValueError as error:
            raise ConfigError(
                f"{path}: found '{','.join(row)[:80]}' in row {number}, expected a class and a number from 0 to 1"
            ) from error
        if name in result:
            raise ConfigError(f"{path}: found the class '{name}' twice, expected each class once; remove one row")
        result[name] = value
    return result
