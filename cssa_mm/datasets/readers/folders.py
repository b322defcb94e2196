"""A folder for each class."""

from __future__ import annotations

from cssa_mm.datasets.readers.label_table import LabelTable, TableRow, table_of_rows
from cssa_mm.datasets.readers.source import LabelSource, ReadOptions
from cssa_mm.datasets.readers.understanding import Understanding


def read_folders(source: LabelSource, options: ReadOptions) -> LabelTable:
    """Read a folder for each class: ``cat/1.jpg`` shows a cat and nothing else; images directly in it have no label."""
    images = source.images_in(source.path)
    none_words = {word.casefold() for word in options.none_word}
    rows = []
    for path in images.image_ids:
        folder, slash, _ = path.removeprefix(images.prefix).partition('/')
        if slash:
            is_none = folder.casefold() in none_words
            rows.append(TableRow(path, {} if is_none else {folder: 1}, 0, f'{source.path}, folder {folder}'))
    table = table_of_rows(rows, Understanding(source.path))
    table.folder = images
    return table
