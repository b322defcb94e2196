"""mmpretrain's multi-label JSON."""

from __future__ import annotations

from cssa_mm.datasets.readers.label_table import LabelTable, TableRow, table_of_rows
from cssa_mm.datasets.readers.source import LabelSource, ReadOptions
from cssa_mm.datasets.readers.understanding import Understanding
from cssa_mm.errors import DataError


def is_mmpretrain(source: LabelSource) -> bool:
    """Whether a JSON file has the two keys of mmpretrain's form."""
    return source.suffix == '.json' and all(key in source.content for key in (b'"metainfo"', b'"data_list"'))


def read_mmpretrain(source: LabelSource, options: ReadOptions) -> LabelTable:
    """Read mmpretrain's multi-label form, ``metainfo.classes`` and ``data_list`` of ``img_path`` and ``gt_label``.

    An entry whose ``gt_label`` is missing or null is unlabelled; an empty list says 'none of the classes'.

    Raises:
        DataError: the content has another form.
    """
    content, path = source.json, source.path
    try:
        names = [str(name) for name in content['metainfo']['classes']]
        entries = [(str(item['img_path']), item.get('gt_label')) for item in content['data_list']]
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: found no usable {error}, expected mmpretrain's form {{'metainfo': {{'classes': [...]}}, "
            f"'data_list': [{{'img_path': ..., 'gt_label': [...]}}]}}, or a Label Studio export; write it so."
        ) from error
    rows = []
    for number, (name, found) in enumerate(entries):
        where = f'{path}, data_list[{number}]'
        indices = [found] if isinstance(found, int) else found or []
        if not all(isinstance(index, int) and 0 <= index < len(names) for index in indices):
            raise DataError(
                f'{where}: found gt_label {found}, expected numbers from 0 to {len(names) - 1}; correct it.'
            )
        rows.append(TableRow(name, {names[index]: 1 for index in indices}, -1 if found is None else 0, where))
    return table_of_rows(rows, Understanding(path), names)
