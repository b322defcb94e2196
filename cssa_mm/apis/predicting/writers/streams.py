"""What writers share: a text file that is written row by row, whole or not at all, and how scores look in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from cssa_mm.apis.predicting.rows import PredictedImage
from cssa_mm.errors import ConfigError
from cssa_mm.files import replacing

DIGITS = 4  # of scores that people read


@contextmanager
def refused_in_one_line(path: Path) -> Iterator[None]:
    """What the disk refuses becomes a `ConfigError` that names the file.

    Raises:
        ConfigError: the file cannot be written: no permission, no space, a folder that is none.
    """
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f'out: found no way to write {path} ({error.strerror or error}), expected a folder that can be written, '
            'with space on its disk; give another --out, or make room.'
        ) from error


@contextmanager
def text_file(path: Path) -> Iterator[TextIO]:
    """A UTF-8 text file to write to, which gets its name when the block ends without an error.

    A byte of a path that is no text in UTF-8 becomes its escape, `\\udcfc`, which JSON gives back.

    Raises:
        ConfigError: it cannot be written.
    """
    with refused_in_one_line(path), replacing(path) as partial:
        with partial.open('w', encoding='utf-8', errors='backslashreplace', newline='') as file:
            yield file


def zero_shot_names(facts: Mapping[str, Any]) -> frozenset[str]:
    """The classes that were never trained."""
    return frozenset(facts.get('zero_shot_names') or ())


class LabelColumns:
    """The columns of class names."""

    def __init__(self, class_names: Iterable[str]) -> None:
        self.names = list(class_names)
        self._columns = {name: column for column, name in enumerate(self.names)}

    def of(self, row: PredictedImage) -> list[int]:
        """The columns of the labels of an image."""
        return [self._columns[name] for name in row.labels]


def rounded_score(score: float) -> float:
    """A score as people read it."""
    return round(float(score), DIGITS)


def folder_of(row: PredictedImage) -> Path | None:
    """The folder that the name of an image counts from; None where its path does not end in its name."""
    path, name = Path(row.path).absolute().as_posix(), f'/{row.name}'
    return Path(path[: -len(name)] or '/') if path.endswith(name) else None
