"""Turn labels of any form that can be read into our own: `labels.csv`, `classes.txt`, and the images in one folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cssa_mm.apis.import_parts import ImportedPart, read_foreign_parts, read_parts, refuse_shared_images
from cssa_mm.datasets.images.image_copies import flat_names, place_images
from cssa_mm.datasets.questions import questions_of
from cssa_mm.datasets.readers.understanding import Question, Understanding
from cssa_mm.datasets.table_writer import Table, write_tables
from cssa_mm.engine.questions import refuse_open
from cssa_mm.errors import ConfigError, DataError
from cssa_mm.files import new_folder


class Place(NamedTuple):
    """Where a part goes: its table, and the folder of its images."""

    table: str
    folder: str


# Images of `images` without a row are trained on, unless test.csv lists them.
PLACES = {
    'train': Place('labels.csv', 'images'),
    'test': Place('test.csv', 'images'),
    'valid': Place('valid.csv', 'valid'),
}
WRITTEN = ('labels.csv', 'test.csv', 'valid.csv', 'classes.txt', 'images', 'valid')


@dataclass(frozen=True)
class ImportResult:
    """What was imported.

    Attributes:
        path: the folder that was written.
        parts: 'train' and, where the source has them, 'valid' and 'test' -> what was read.
        form: how the tables write labels.
        links: how the images came into the folder: 'hard links', 'symbolic links' or 'copies'.
    """

    path: Path
    parts: dict[str, ImportedPart]
    form: str
    links: str

    def text(self) -> str:
        """What was understood, what was written, and how to go on."""
        lines = []
        for name, part in self.parts.items():
            lines += understood(name, part.understanding)
        for name, part in self.parts.items():
            lines.append(f'{self.path / PLACES[name].table}: {part.counts()}')
        lines.append(f'Labels are written as {self.form}, images as {self.links}.')
        lines.append(f'Check it: cssa check {self.path}')
        return '\n'.join(lines)


def import_labels(
    *,
    source: str | os.PathLike,
    out: str | os.PathLike,
    format: str | None = None,
    labels: str | None = None,
    images: str | os.PathLike | None = None,
    is_copied: bool = False,
    replaces: bool = False,
    accept: str | Sequence[str] | None = None,
    datumaro: str | os.PathLike | None = None,
    options: Mapping[str, object] | None = None,
) -> ImportResult:
    """Read labels of any form and write them as our own table, with links to the images or copies of them.

    Args:
        source: a label file, or a folder that holds one.
        out: the folder to write: new or empty.
        format: one of docs/formats.md; None decides by content.
        labels: the label file below ``source``, where that is a folder.
        images: the folder of the images; None: found, as :class:`~cssa_mm.datasets.table.TableDataset` says.
        is_copied: copy the images; False links them.
        replaces: replace the tables and images of an earlier import in ``out``.
        accept: the kinds of questions about the labels that are answered by yes, or 'all'.
        datumaro: a Python that has Datumaro, which reads the formats that have no reader here.
        options: further keys of :class:`~cssa_mm.datasets.table.TableDataset`, such as ``label_column``.

    Raises:
        ConfigError: ``out`` holds something, an option is not known, or there is no Datumaro in ``datumaro``.
        DataError: the labels cannot be read, or cannot be written so that they read back the same.
        OpenQuestionsError: something in the labels looks wrong, and ``accept`` does not name it.

    Examples:
        >>> from cssa_mm.apis.importing import import_labels
        >>> import_labels(source='export.json', out='photos')  # doctest: +SKIP
    """
    out, source = Path(out), os.fspath(source)
    if not os.path.exists(source):
        raise DataError(f'{source}: found nothing there, expected a label file or a folder that holds one.')
    with new_folder(out, replaces, parts=WRITTEN) as partial:
        keys = dict(options or {}) | dict(format=format)
        if images is not None:
            keys['img_dir'] = os.path.abspath(images)
        parts = read_foreign_parts(source, os.fspath(datumaro), format) if datumaro is not None else None
        parts = parts or read_parts(source, labels, keys)
        if 'test' not in parts and 'valid' in parts:
            parts['test'] = parts.pop('valid')
        refuse_open(_asked(parts), dict(accept=accept))
        refuse_shared_images(parts)
        _refuse_own_images(parts, out)
        links, form = _write(parts, partial, is_copied)
    return ImportResult(out, parts, form, links)


def understood(name: str, understanding: Understanding) -> list[str]:
    """How a part was understood, in lines."""
    lines = [f'{name}: {understanding.source}, read as {understanding.format}']
    lines += [f'  {key}: {value}' for key, value in understanding.facts.items()]
    if understanding.taken:
        lines.append(f'  taken: {", ".join(understanding.taken)}')
    lines += [f'  left: {key} ({reason})' for key, reason in understanding.left.items()]
    lines += [f'  left out: {len(paths):,} images ({reason})' for reason, paths in understanding.left_out.items()]
    return lines


def _write(parts: Mapping[str, ImportedPart], root: Path, is_copied: bool) -> tuple[str, str]:
    """Write images and tables; how the images came there, and the form of the labels."""
    kinds: dict[str, None] = {}
    tables: dict[str, Table] = {}
    for folder in dict.fromkeys(PLACES[name].folder for name in parts):
        members = {name: part for name, part in parts.items() if PLACES[name].folder == folder}
        paths = [path for part in members.values() for path in part.paths]
        names = flat_names(paths)
        kinds |= dict.fromkeys(place_images(paths, names, root / folder, is_copied))
        for name, part in members.items():
            tables[PLACES[name].table] = Table(folder, names[: len(part.paths)], part.labels)
            names = names[len(part.paths) :]
    return ' and '.join(kinds), write_tables(root, parts['train'].class_names, tables)


def _asked(parts: Mapping[str, ImportedPart]) -> list[tuple[str, Question]]:
    return [
        (name, question)
        for name, part in parts.items()
        for question in questions_of(part.class_names, part.labels, part.understanding, name != 'train')
    ]


def _refuse_own_images(parts: Mapping[str, ImportedPart], out: Path) -> None:
    root = os.path.join(os.path.realpath(out), '')
    for part in parts.values():
        for path in part.paths:
            if os.path.realpath(path).startswith(root):
                raise ConfigError(
                    f"out: found '{out}', which holds the image '{path}' of the source, expected another folder; "
                    f'import into a new one.'
                )
