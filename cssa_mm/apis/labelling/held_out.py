"""Photos that a test or validation table beside the labels holds out: training must not see their labels."""

from __future__ import annotations

import os
from pathlib import Path

from cssa_mm.apis.truth_labels import matched_rows, part_of
from cssa_mm.datasets.discovery import LocalFiles, label_files
from cssa_mm.datasets.readers import read_labels
from cssa_mm.datasets.readers.matching.joining import images_of
from cssa_mm.datasets.readers.source import LabelSource, ReadOptions
from cssa_mm.errors import DataError


def held_out_photos(root: Path) -> tuple[dict[str, str], list[str]]:
    """The photos of all test and validation tables in a folder: real path -> name of the table; and what to know.

    A table that cannot be read is a note: what is wrong with it is said where it is used.
    """
    found: dict[str, str] = {}
    notes = []
    tables = [name for part, names in label_files(str(root)).items() if part != 'train' for name in names]
    for name in tables:
        source = LabelSource(LocalFiles(str(root)), str(root / name))
        try:
            table = read_labels(source, ReadOptions())
            folder = table.folder or source.images
            rows, _ = matched_rows(table, folder)
            ids = images_of(part_of(table, rows), folder) if rows else []
        except DataError as error:
            notes.append(f'{name} was not compared with the answers, as it cannot be read: {error}')
            continue
        found |= {os.path.realpath(os.path.join(folder.root, folder.path_of(each))): name for each in ids}
    return found, notes
