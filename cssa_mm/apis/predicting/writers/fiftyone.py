"""`fiftyone/labels.json`: the labels as FiftyOne's importer of image classification reads them, without the images."""

from __future__ import annotations

import json
import os
import posixpath
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cssa_mm.apis.predicting.rows import PredictedImage
from cssa_mm.apis.predicting.sources import is_address
from cssa_mm.apis.predicting.writers.streams import LabelColumns, folder_of, rounded_score, text_file, zero_shot_names


def write_fiftyone(rows: Iterable[PredictedImage], facts: Mapping[str, Any], path: Path) -> None:
    """Write `{"classes": [...], "labels": {"sub/stem": [{"label", "confidence"}, ...]}}`, a line an image.

    The importer finds an image by its path below `data_path` without its extension, or by an absolute path. The first
    is written; of images beside which another file has the same stem (1.jpg and 1.json), the importer might take the
    other one, and so their absolute path is written. An image without a label has an empty list.

    Read it with `fiftyone.Dataset.from_dir(dataset_type=fiftyone.types.FiftyOneImageClassificationDataset,
    data_path=PHOTOS, labels_path='fiftyone/labels.json', label_field='predictions')`.

    Args:
        rows: the images.
        facts: those of the model; labels that were never trained get the attribute `zero_shot`.
        path: the file.

    Raises:
        ConfigError: it cannot be written.
    """
    columns, untrained = LabelColumns(facts['class_names']), zero_shot_names(facts)
    stems = _Stems()
    with text_file(path) as file:
        file.write(f'{{"classes": {json.dumps(columns.names, ensure_ascii=False)},\n"labels": {{')
        for number, row in enumerate(rows):
            labels = [
                dict(label=name, confidence=rounded_score(row.scores[column]))
                | (dict(attributes=dict(zero_shot=True)) if name in untrained else {})
                for name, column in zip(row.labels, columns.of(row), strict=True)
            ]
            key, value = (json.dumps(each, ensure_ascii=False) for each in (stems.key_of(row), labels))
            file.write(f'{"," if number else ""}\n{key}: {value}')
        file.write('\n}}\n')


class _Stems:
    """Which stems a directory holds several times; that of the last directory is kept, as hashes of 8 bytes."""

    def __init__(self) -> None:
        self.directory: str | None = None
        self.several: frozenset[int] = frozenset()

    def key_of(self, row: PredictedImage) -> str:
        stem = posixpath.splitext(row.name)[0]
        if is_address(row.path):
            return row.path
        if folder_of(row) is None:
            return os.path.abspath(row.path)
        directory, file_name = os.path.split(row.path)
        if directory != self.directory:
            self.directory, self.several = directory, _several_stems(directory)
        return os.path.abspath(row.path) if hash(os.path.splitext(file_name)[0]) in self.several else stem


def _several_stems(directory: str) -> frozenset[int]:
    try:
        with os.scandir(directory or '.') as entries:
            hashes = np.fromiter((hash(os.path.splitext(entry.name)[0]) for entry in entries), np.int64)
    except OSError:  # a storage, or a folder that went: nothing is known of other files
        return frozenset()
    found, counts = np.unique(hashes, return_counts=True)
    return frozenset(found[counts > 1].tolist())
