"""mmpretrain's multi-label JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cssa_mm.datasets.readers.label_table import LabelTable, TableRow, collect_names, table_of_rows
from cssa_mm.datasets.readers.source import LabelSource, ReadOptions
from cssa_mm.datasets.readers.understanding import Understanding
from cssa_mm.errors import DataError


def is_mmpretrain(source: LabelSource) -> bool:
    """Whether a JSON file has the keys of mmpretrain's form."""
    if source.suffix != '.json' or b'"data_list"' not in source.content:
        return False
    return b'"metainfo"' in source.content or b'"img_path"' in source.content


def read_mmpretrain(source: LabelSource, options: ReadOptions) -> LabelTable:
    """Read mmpretrain's multi-label form, ``metainfo.classes`` and ``data_list`` of ``img_path`` and ``gt_label``.

    An entry whose ``gt_label`` is missing or null is unlabelled; an empty list says 'none of the classes'. Labels are
    numbers of classes or names. Where ``metainfo`` has no classes, its categories name them, else ``class_names``.

    Raises:
        DataError: The content has another form, or the numbers of the labels have no names.
    """
    content, path = source.json, source.path
    try:
        metainfo = content.get('metainfo') or {}
        entries = [(str(item['img_path']), item.get('gt_label')) for item in content['data_list']]
        names = _names(metainfo, entries, path, options)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: found no usable {error}, expected mmpretrain's form {{'metainfo': {{'classes': [...]}}, "
            f"'data_list': [{{'img_path': ..., 'gt_label': [...]}}]}}; write it so."
        ) from error
    rows = []
    for number, (name, found) in enumerate(entries):
        where = f'{path}, data_list[{number}]'
        labels = _labels(found, names, where)
        rows.append(TableRow(name, labels, -1 if found is None else 0, where))
    understanding = Understanding(path)
    understanding.facts['numbers of classes'] = (
        ', '.join(f'{key} = {name}' for key, name in list(names.items())[:5]) if names else 'none: labels are names'
    )
    declared = list(dict.fromkeys(names.values())) if names else None
    return table_of_rows(rows, understanding, declared or collect_names(name for row in rows for name in row.labels))


def _numbers(entries: Sequence[tuple[str, Any]]) -> set[int]:
    return {
        label
        for _, found in entries
        for label in _several(found)
        if isinstance(label, int) and not isinstance(label, bool)
    }


def _several(found: object) -> list[Any]:
    return [] if found is None else found if isinstance(found, list) else [found]


def _names(
    metainfo: Mapping[str, Any], entries: Sequence[tuple[str, Any]], path: str, options: ReadOptions
) -> dict[int, str]:
    """Class names by number; empty where no label is a number."""
    classes = metainfo.get('classes', metainfo.get('CLASSES'))
    if classes is not None:
        return dict(enumerate(str(name) for name in classes))
    numbers = _numbers(entries)
    if metainfo.get('categories'):
        categories = [
            each if isinstance(each, str) else str(each.get('category_name', each.get('name')))
            for each in metainfo['categories']
        ]
        ids = [
            number if isinstance(each, str) else each.get('id', number)
            for number, each in enumerate(metainfo['categories'])
        ]
        if sorted(ids) == list(range(len(ids))):
            return dict(zip(ids, categories, strict=True))
        readings = [dict(zip(keys, categories, strict=True)) for keys in (ids, range(len(ids))) if numbers <= set(keys)]
        if len(readings) != 1:
            raise DataError(
                f'{path}: found categories with the ids {", ".join(map(str, ids[:5]))} and labels from '
                f'{min(numbers, default=0)} to {max(numbers, default=0)}, which '
                f'{"may be ids or positions" if readings else "are neither ids nor positions"}, expected ids that '
                "count from 0; write metainfo.classes, a list in the order of the labels' numbers."
            )
        return readings[0]
    if numbers and not options.class_names:
        raise DataError(
            f"{path}: found labels that are numbers and no 'classes' in its metainfo, expected their names; write them "
            'in the order of the numbers, one a line, into classes.txt in data_root, or set class_names.'
        )
    return dict(enumerate(options.class_names)) if numbers else {}


def _labels(found: object, names: Mapping[int, str], where: str) -> dict[str, int]:
    labels = _several(found)
    if len(set(map(str, labels))) < len(labels):
        raise DataError(
            f'{where}: found gt_label {str(found)[:60]}, with a class twice, expected the numbers of the classes that '
            'the image shows, each once; a vector of 0 and 1 must be written as the positions of its ones.'
        )
    if labels and all(isinstance(label, str) for label in labels):
        known = set(names.values())
        unknown = [label for label in labels if known and label not in known]
        if not unknown:
            return {label: 1 for label in labels}
    elif all(isinstance(label, int) and not isinstance(label, bool) and label in names for label in labels):
        return {names[label]: 1 for label in labels}
    raise DataError(
        f'{where}: found gt_label {str(found)[:60]}, expected numbers from {min(names, default=0)} to '
        f'{max(names, default=0)}; correct it.'
    )
