"""Turn labels of any form that can be read into our own: `labels.csv`, `classes.txt`, and the images in one folder."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cssa_mm.datasets.building import build_dataset
from cssa_mm.datasets.image_copies import flat_names, place_images
from cssa_mm.datasets.image_table import UNKNOWN
from cssa_mm.datasets.readers.understanding import Question, Understanding
from cssa_mm.datasets.table import TableDataset
from cssa_mm.datasets.table_writer import write_tables
from cssa_mm.errors import ConfigError, DataError, nearest
from cssa_mm.files import new_folder

TABLES = {'train': 'labels.csv', 'valid': 'valid.csv', 'test': 'test.csv'}


@dataclass
class ImportedPart:
    """One part of a source: paths of its n images, their labels int8 (n, C), and how they were understood."""

    class_names: list[str]
    paths: list[str]
    labels: np.ndarray
    understanding: Understanding


@dataclass(frozen=True)
class ImportResult:
    """What was imported.

    Attributes:
        path: the folder that was written.
        parts: 'train' and, where the source has them, 'test' -> what was read.
        form: how the tables write labels.
        links: how the images came into the folder: 'hard links', 'symbolic links' or 'copies'.
    """

    path: Path
    parts: dict[str, ImportedPart]
    form: str
    links: str
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """What was understood, what was written, and how to go on."""
        lines = []
        for name, part in self.parts.items():
            lines += understood(name, part.understanding)
            lines.append(f'{self.path / TABLES[name]}: {counts(part)} ({self.form})')
        images = sum(len(part.paths) for part in self.parts.values())
        lines.append(f'{self.path / "images"}: {images:,} images ({self.links})')
        lines += [f'note: {note}' for note in self.notes]
        lines.append(f'Check it: cssa check cssa_table --data-root {self.path}')
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
    accepts: bool = False,
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
        accepts: go on although something in the labels looks wrong.
        options: further keys of :class:`~cssa_mm.datasets.table.TableDataset`, such as ``label_column``.

    Raises:
        ConfigError: ``out`` holds something, or an option is not known.
        DataError: the labels cannot be read, look wrong, or cannot be written so that they read back the same.

    Example:
        >>> from cssa_mm.apis.importing import import_labels
        >>> import_labels(source='export.json', out='photos')  # doctest: +SKIP
    """
    out, source = Path(out), os.fspath(source)
    with new_folder(out, replaces, parts=('images', 'classes.txt', *TABLES.values())) as partial:
        keys = dict(options or {}) | dict(format=format)
        if images is not None:
            keys['img_dir'] = os.path.abspath(images)
        parts = read_parts(source, labels, keys)
        _refuse_questions([question for part in parts.values() for question in part.understanding.questions], accepts)
        _refuse_own_images(parts, out)
        paths = [path for part in parts.values() for path in part.paths]
        names = flat_names(paths)
        links = place_images(paths, names, partial / 'images', is_copied)
        tables: dict[str, tuple[Sequence[str], np.ndarray]] = {}
        for name, part in parts.items():
            tables[TABLES[name]] = names[: len(part.paths)], part.labels
            names = names[len(part.paths) :]
        form = write_tables(partial, parts['train'].class_names, tables)
    return ImportResult(out, parts, form, links)


def read_parts(source: str, labels: str | None, options: Mapping[str, object]) -> dict[str, ImportedPart]:
    """The parts of a source, 'train' first.

    Raises:
        ConfigError: An option is not known.
        DataError: They cannot be read.
    """
    if not os.path.exists(source):
        raise DataError(f'{source}: found nothing there, expected a label file or a folder that holds one.')
    known = [
        name for name in inspect.signature(TableDataset.__init__).parameters if name not in ('self', 'base_options')
    ]
    known.append('class_names')
    unknown = [key for key in options if key not in known]
    if unknown:
        raise ConfigError(
            f"options: found '{unknown[0]}', expected keys of TableDataset: {', '.join(known)}."
            f'{nearest(unknown[0], known)}'
        )
    root, file = (source, labels or '.') if os.path.isdir(source) else os.path.split(source)
    return dict(train=_read(dict(data_root=root or '.', ann_file=file) | dict(options)))


def counts(part: ImportedPart) -> str:
    """The numbers of images and labels of a part, in words."""
    is_labelled = (part.labels != UNKNOWN).any(axis=1)
    nothing = is_labelled & (part.labels != 1).all(axis=1) & (part.labels == 0).all(axis=1)
    return (
        f'{len(part.paths):,} images, {int(is_labelled.sum()):,} of them labelled, {int(nothing.sum()):,} of those '
        f'with none of the {len(part.class_names)} classes'
    )


def understood(name: str, understanding: Understanding) -> list[str]:
    """How a part was understood, in lines."""
    lines = [f'{name}: {understanding.source}, read as {understanding.format}']
    lines += [f'  {key}: {value}' for key, value in understanding.facts.items()]
    if understanding.taken:
        lines.append(f'  taken: {", ".join(understanding.taken)}')
    lines += [f'  left: {key} ({reason})' for key, reason in understanding.left.items()]
    lines += [f'  left out: {len(paths):,} images ({reason})' for reason, paths in understanding.left_out.items()]
    return lines


def _read(options: dict) -> ImportedPart:
    dataset = build_dataset(dict(type='TableDataset', **options), 'import')
    found = dataset.read_annotations()
    missing = [path for path in found.img_paths if not os.path.exists(path)]
    if missing:
        raise DataError(f'{missing[0]}: no such image ({len(missing)} of {len(found.img_paths)} are missing).')
    understanding = dataset.understanding or Understanding(dataset.in_root(dataset.ann_file))
    return ImportedPart(dataset.class_names, found.img_paths, found.labels, understanding)


def _refuse_questions(questions: Sequence[Question], accepts: bool) -> None:
    if questions and not accepts:
        lines = '; '.join(question.line() for question in questions)
        raise DataError(f'found {len(questions)} things that look wrong: {lines}. To go on all the same: --yes.')


def _refuse_own_images(parts: Mapping[str, ImportedPart], out: Path) -> None:
    root = os.path.realpath(out)
    for part in parts.values():
        for path in part.paths:
            if os.path.realpath(path).startswith(os.path.join(root, '')):
                raise ConfigError(
                    f"out: found '{out}', which holds the image '{path}' of the source, expected another folder; "
                    f'import into a new one.'
                )
