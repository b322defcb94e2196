"""FiftyOne's JSON of image classification as a label table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cssa_mm.datasets.readers.label_table import LabelTable, TableRow, collect_names, table_of_rows
from cssa_mm.datasets.readers.source import LabelSource, ReadOptions
from cssa_mm.datasets.readers.understanding import Understanding
from cssa_mm.errors import DataError

FORM = '{"classes": ["cat"], "labels": {"folder/1": ["cat"]}}'


def is_fiftyone(source: LabelSource) -> bool:
    """Whether a JSON file is an object with `classes` and `labels`, and images by their stem."""
    if source.suffix != '.json' or not source.head.lstrip(b'\xef\xbb\xbf \t\r\n').startswith(b'{'):
        return False
    if b'"labels"' not in source.content or b'"images"' in source.content or b'"data_list"' in source.content:
        return False
    try:
        content = source.json
    except DataError:
        return False
    return content.keys() <= {'classes', 'labels'} and isinstance(content['labels'], Mapping)


def read_fiftyone(source: LabelSource, options: ReadOptions) -> LabelTable:
    """Read labels.json of FiftyOneImageClassificationDataset: image without extension -> labels.

    Labels are names, numbers of `classes`, or objects with a `label`, one of them or a list. An image with null is
    unlabelled, one with an empty list shows none of the classes.

    Raises:
        DataError: The content has another form.
    """
    content, path = source.json, source.path
    if not isinstance(content, Mapping) or not isinstance(content.get('labels'), Mapping):
        raise DataError(f"{path}: found no object with 'labels', expected {FORM}; export it again.")
    names = content.get('classes')
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise DataError(f"{path}: found 'classes' that is no list of names, expected {FORM}; export it again.")
    rows = []
    for image, found in content['labels'].items():
        where = f"{path}, '{image}'"
        several = found if isinstance(found, list) else [found]
        labels = {} if found is None else {_name(label, names, where): 1 for label in several}
        rows.append(TableRow(image, labels, -1 if found is None else 0, where))
    understanding = Understanding(path)
    shown = collect_names(name for row in rows for name in row.labels)
    declared = list(names or ())
    return table_of_rows(rows, understanding, [*declared, *(name for name in shown if name not in declared)] or None)


def _name(label: Any, names: list[str] | None, where: str) -> str:
    label = label.get('label') if isinstance(label, Mapping) else label
    if isinstance(label, str):
        return label
    if isinstance(label, int) and not isinstance(label, bool) and 0 <= label < len(names or ()):
        return (names or [])[label]
    raise DataError(f'{where}: found the label {str(label)[:60]!r}, expected a name, or the number of one of classes.')
