"""The label file of a project: what it says, and how it is written anew without losing the one that was there."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cssa_mm.apis.truth_labels import CLASS_FILES, classes_beside
from cssa_mm.datasets.class_index import ClassIndex
from cssa_mm.datasets.discovery import LocalFiles, discover, label_files
from cssa_mm.datasets.image_table import UNKNOWN
from cssa_mm.datasets.images.image_folder import ImageFolder
from cssa_mm.datasets.readers import read_labels
from cssa_mm.datasets.readers.matching.joining import images_of, join_rows
from cssa_mm.datasets.readers.source import LabelSource, ReadOptions
from cssa_mm.datasets.readers.tables.other_columns import other_columns
from cssa_mm.datasets.table_writer import Table, write_tables
from cssa_mm.errors import ConfigError, DataError
from cssa_mm.files import replacing, write_text

TABLE, CLASSES = 'labels.csv', 'classes.txt'
Known = dict[str, np.ndarray]


@dataclass
class LabelStore:
    """What is known of the photos of a project.

    Attributes:
        root: the folder of the project.
        path: the table that is written; it may not be there yet.
        source: the file that was read; None where there is none yet.
        images: the photos that labels can mean.
        class_names: C names; empty where nothing tells them yet.
        known: image id -> labels int8 (C,), 1, 0 or -1 (unknown), of the photos that the file mentions.
        others: columns of the file that are no labels: name -> image id -> cell.
        notes: what to know.
    """

    root: Path
    path: Path
    source: Path | None
    images: ImageFolder
    class_names: list[str] = field(default_factory=list)
    known: Known = field(default_factory=dict)
    others: dict[str, dict[str, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def open_store(into: str | os.PathLike) -> LabelStore:
    """Read a label file to which labels are added; where there is none, a `labels.csv` begins.

    Labels that are no CSV table go on in a new `labels.csv` in the folder of the photos.

    Args:
        into: the label file, or the place of a new `labels.csv`; of a folder, the label file in it.

    Raises:
        DataError: it cannot be read, or there are no photos.
        ConfigError: there is no such folder, a new file would not end in .csv, or there is a `labels.csv` already
            beside labels of another form.
    """
    path = _label_file(Path(into).expanduser())
    root, images = _photos(path)
    store = LabelStore(root, path, None, images, classes_beside(root))
    if not path.exists():
        if path.suffix.lower() != '.csv':
            raise ConfigError(f"into: found no file '{path}', expected a label file, or the name of a new {TABLE}")
        return store
    store.source = path
    options = ReadOptions(class_names=tuple(store.class_names), unannotated='unlabelled')
    source = LabelSource(LocalFiles(str(root)), str(path))
    table = read_labels(source, options)
    folder = table.folder or images
    store.class_names = store.class_names or list(table.class_names)
    labels = table.labels_of(ClassIndex(store.class_names), f' To add a class, write it into {root / CLASSES}.')
    image_ids = images_of(table, folder)
    known = join_rows(table, image_ids, labels)
    if table.understanding.format == 'csv' and path.suffix.lower() == '.csv':
        store.known = known
        named = dict(zip(table.paths, image_ids, strict=True))
        store.others, lost = other_columns(source, options, table, named)
        store.notes = [f"the column '{name}' is not kept as it is: {reason}" for name, reason in lost.items()]
        return store
    store.path = root / TABLE
    if store.path.exists():
        raise ConfigError(
            f'into: found {store.path} beside {path.name}, expected one of the two: answers to labels of another form '
            f'go into a new {TABLE}; give --into {store.path}'
        )
    store.known = _renamed(known, folder, images, path)
    store.notes = [f'{path.name} stays as it is; its labels and the answers are in {store.path}']
    return store


def write_store(store: LabelStore, known: Known) -> tuple[Path | None, list[Path]]:
    """Write the table anew, and `classes.txt` where nothing tells the classes; the old table is kept beside it.

    The table is read back elsewhere first, so that nothing is replaced by one that says something else.

    Args:
        store: the project, with its classes.
        known: image id -> labels (C,).

    Returns:
        Where the old table is now, None if there was none; and the files that were written.

    Raises:
        DataError: no form of table gives the labels back.
        ConfigError: the folder cannot be written.
    """
    images = list(known)
    labels = np.array([known[image] for image in images], np.int8).reshape(len(images), len(store.class_names))
    try:
        with tempfile.TemporaryDirectory() as folder:
            table = Table(os.path.abspath(store.images.root), images, labels, store.others)
            _write(Path(folder), table, store)
            text, classes = (Path(folder, name).read_text('utf-8') for name in (TABLE, CLASSES))
        kept = _kept(store.path) if store.path.exists() else None
        written = [store.path]
        if not any((store.root / name).is_file() for name in CLASS_FILES):
            write_text(store.root / CLASSES, classes)
            written.append(store.root / CLASSES)
        write_text(store.path, text)
    except OSError as error:
        raise ConfigError(
            f'into: found no way to write {store.path} ({error.strerror or error}), expected a folder that can be '
            'written, with space on its disk; the labels are as they were'
        ) from error
    return kept, written


def _write(folder: Path, table: Table, store: LabelStore) -> None:
    """Write the table, without the columns that are no labels where a reader would take them for some."""
    try:
        write_tables(folder, store.class_names, {TABLE: table})
    except DataError:
        if not store.others:
            raise
        write_tables(folder, store.class_names, {TABLE: table._replace(others={})})
        names = ', '.join(f"'{name}'" for name in store.others)
        store.notes.append(f'not kept, as labels could not be told from them: the columns {names}')


def _label_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    if (path / TABLE).is_file() or not label_files(str(path))['train']:
        return path / TABLE
    return path / discover(str(path))['train']['ann_file']


def _photos(path: Path) -> tuple[Path, ImageFolder]:
    """The folder of a project, and its photos: the folder of the label file, or the one above."""
    if not path.parent.is_dir():
        raise ConfigError(f"into: found no folder '{path.parent}', expected that of the photos; correct the path")
    above = Path(os.path.normpath(path.parent / os.pardir))
    for root in (path.parent, above) if path.exists() else (path.parent,):
        images = LabelSource(LocalFiles(str(root)), str(root / TABLE)).images
        if images.image_ids:
            return root, images
    raise DataError(f"into: found no photo in '{path.parent}', expected the folder of the photos; give --into FOLDER")


def _renamed(known: Known, folder: ImageFolder, images: ImageFolder, path: Path) -> Known:
    """The labels by the names that photos have in a table of ours."""
    names = {place_of(images, image_id): image_id for image_id in images.image_ids}
    missing = next((image_id for image_id in known if place_of(folder, image_id) not in names), None)
    if missing is not None:
        raise DataError(
            f"{path}: found the photo '{missing}', which is not in '{images.root}', expected all photos there; import "
            f'the labels first: cssa import {path} --out FOLDER'
        )
    return {names[place_of(folder, image_id)]: row for image_id, row in known.items()}


def place_of(folder: ImageFolder, image_id: str) -> str:
    """The real path of a photo."""
    return os.path.realpath(os.path.join(folder.root, folder.path_of(image_id)))


def _kept(path: Path) -> Path:
    """Keep a copy of a file beside it, under its name with the first number that is free."""
    number = 1
    while (kept := path.with_name(f'{path.name}.{number}')).exists():
        number += 1
    with replacing(kept) as partial:
        shutil.copy2(path, partial)
    return kept


def labelled(known: Mapping[str, np.ndarray]) -> int:
    """The number of photos with a label."""
    return sum(bool((row != UNKNOWN).any()) for row in known.values())
