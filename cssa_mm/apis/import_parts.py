"""What an import reads: the parts of a source, by our own readers or by Datumaro."""

from __future__ import annotations

import csv
import inspect
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.datasets.building import build_dataset
from cssa_mm.datasets.discovery import discover, subsets_of
from cssa_mm.datasets.image_table import UNKNOWN
from cssa_mm.datasets.readers.datumaro_adapter import TRIED, Found, is_own, read_by_datumaro
from cssa_mm.datasets.readers.understanding import Question, Understanding
from cssa_mm.datasets.table import TableDataset
from cssa_mm.errors import ConfigError, DataError, nearest

PARTS = {'validation': 'valid', 'val': 'valid', 'valid': 'valid', 'test': 'test', 'testing': 'test'}  # others: train


@dataclass
class ImportedPart:
    """One part of a source: paths of its n images, their labels int8 (n, C), and how they were understood."""

    class_names: list[str]
    paths: list[str]
    labels: np.ndarray
    understanding: Understanding

    def counts(self) -> str:
        """The numbers of images and labels, in words."""
        is_labelled = (self.labels != UNKNOWN).any(axis=1)
        is_none = (self.labels == 0).all(axis=1)
        return (
            f'{len(self.paths):,} images, {int(is_labelled.sum()):,} of them labelled, {int(is_none.sum()):,} of those '
            f'with none of the {len(self.class_names)} classes'
        )


def read_parts(source: str, labels: str | None, options: Mapping[str, object]) -> dict[str, ImportedPart]:
    """The parts of a source that a reader of ours knows, 'train' first.

    Args:
        source: A label file, or a folder that holds one.
        labels: The label file below ``source``, where that is a folder.
        options: Keys of :class:`~cssa_mm.datasets.table.TableDataset`.

    Raises:
        ConfigError: An option is not known.
        DataError: They cannot be read.
    """
    parameters = inspect.signature(TableDataset.__init__).parameters
    known = [name for name in parameters if name not in ('self', 'base_options')] + ['class_names']
    unknown = [key for key in options if key not in known]
    if unknown:
        raise ConfigError(
            f"options: found '{unknown[0]}', expected keys of TableDataset: {', '.join(known)}."
            f'{nearest(unknown[0], known)}'
        )
    if os.path.isdir(source):
        root, found = source, discover(source, labels)
    else:
        root, file = os.path.split(os.path.abspath(source))
        found = {part: dict(ann_file=file, subset=subset) for part, subset in subsets_of(source).items()}
        found = dict(train=dict(ann_file=file)) | found
    common = dict(options) | dict(data_root=root)
    train = _dataset(common | found['train'] | dict(held_out=[found[name] for name in found if name != 'train']))
    parts = dict(train=_read(train))
    for name in [name for name in ('val', 'test') if name in found]:
        names = dict(class_names=train.class_names, test_mode=True)
        parts['valid' if name == 'val' else name] = _read(_dataset(common | found[name] | names))
    return parts


def read_foreign_parts(source: str, python: str, format: str | None = None) -> dict[str, ImportedPart] | None:
    """The parts of a folder that Datumaro reads, 'train' first; None where a reader of ours knows its format.

    Datumaro does not tell images that nobody has labelled from those that show none of the classes: they are
    unlabelled. Of Open Images, whatever nobody has looked at is unknown.

    Raises:
        ConfigError: The interpreter or the format is unknown.
        DataError: Datumaro cannot read the folder, or finds no label of an image that is there.
    """
    found = read_by_datumaro(source, python, format)
    if is_own(found.format):
        return None
    names = _names_of(found, source)
    class_names = [names[name] for name in found.class_names if name in names]
    columns = {name: column for column, name in enumerate(name for name in found.class_names if name in names)}
    parts: dict[str, ImportedPart] = {}
    for item in found.items:
        name = PARTS.get(item.subset.casefold(), 'train')
        part = parts.setdefault(
            name, ImportedPart(class_names, [], np.empty((0, len(columns)), np.int8), _understanding(found, source))
        )
        if item.path is None or not os.path.isfile(item.path):
            part.understanding.left_out.setdefault('no such file', []).append(item.path or '?')
            continue
        part.paths.append(item.path)
    for name, part in parts.items():
        part.labels = np.full((len(part.paths), len(columns)), UNKNOWN, np.int8)
        rows = {path: row for row, path in enumerate(part.paths)}
        for item in found.items:
            if PARTS.get(item.subset.casefold(), 'train') != name or item.path not in rows:
                continue
            row = part.labels[rows[item.path]]
            if item.positives and found.format != 'open_images':
                row[row == UNKNOWN] = 0
            row[[columns[label] for label in item.negatives]] = 0
            row[[columns[label] for label in item.positives]] = 1
    parts = {name: parts[name] for name in ('train', 'valid', 'test') if name in parts and parts[name].paths}
    if 'train' not in parts or not (parts['train'].labels == 1).any():
        raise DataError(
            f"{source}: found no labelled training image by Datumaro's '{found.format}', expected images that are "
            f'there and have labels; check the folder, or choose another --format.'
        )
    return parts


def _dataset(options: dict) -> SemiMultiLabelDataset:
    return build_dataset(dict(type='TableDataset', **options), 'import')


def _read(dataset: SemiMultiLabelDataset) -> ImportedPart:
    found = dataset.read_annotations()
    understanding = dataset.understanding or Understanding(dataset.in_root(dataset.ann_file))
    return ImportedPart(dataset.class_names, found.img_paths, found.labels, understanding)


def _names_of(found: Found, source: str) -> dict[str, str]:
    """The classes that an image shows or is said not to show -> the name that people know."""
    used = {label for item in found.items for label in (*item.positives, *item.negatives)}
    names = {name: name for name in found.class_names if name in used}
    if found.format == 'open_images':
        for path in sorted(Path(source, 'annotations').glob('*class-descriptions*.csv')):
            with path.open(encoding='utf-8', newline='') as file:
                shown = {row[0]: row[1] for row in csv.reader(file) if len(row) > 1}
            times = Counter(shown[name] for name in names if name in shown)
            names |= {name: shown[name] for name in names if times[shown.get(name, '')] == 1}
    return names


def _understanding(found: Found, source: str) -> Understanding:
    result = Understanding(source, f'{TRIED.get(found.format, found.format)} by Datumaro {found.version}')
    result.facts['unlabelled'] = 'an image without a label (Datumaro cannot tell it from one with none of the classes)'
    if found.format == 'open_images':
        result.facts['unknown'] = 'whatever nobody has verified'
    result.left = {kind: f'{number:,} annotations without a class' for kind, number in found.left.items()}
    if found.format not in TRIED:
        text = f"Datumaro's '{found.format}' has not been tried with this package"
        result.questions.append(Question('untried_format', text, 'look at some rows of the table that is written'))
    return result


def refuse_shared_images(parts: Mapping[str, ImportedPart]) -> None:
    """Leave unlabelled training images that another part lists to that part.

    Raises:
        DataError: An image is labelled in two parts.
    """
    others: dict[str, str] = {}
    for name in ('test', 'valid', 'train'):
        if name not in parts:
            continue
        part = parts[name]
        shared = [row for row, path in enumerate(part.paths) if os.path.realpath(path) in others]
        labelled = [row for row in shared if (part.labels[row] != UNKNOWN).any()]
        if labelled:
            path = part.paths[labelled[0]]
            raise DataError(
                f"{path}: found this image in both '{name}' and '{others[os.path.realpath(path)]}' ({len(labelled)} "
                f'such images), expected each in one part; remove it from one.'
            )
        _drop(part, shared)
        others |= {os.path.realpath(path): name for path in part.paths}


def _drop(part: ImportedPart, rows: Sequence[int]) -> None:
    dropped = set(rows)
    part.labels = np.delete(part.labels, list(rows), axis=0)
    part.paths = [path for row, path in enumerate(part.paths) if row not in dropped]
