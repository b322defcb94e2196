"""JSON lines, and JSON lists of entries: a field with the image, and fields with labels."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from cssa_mm.datasets.readers.label_table import LabelTable
from cssa_mm.datasets.readers.source import LabelSource, ReadOptions
from cssa_mm.datasets.readers.tables.column_names import IMAGE_ENDINGS, IMAGES
from cssa_mm.datasets.readers.tables.forms import table_of_grid
from cssa_mm.datasets.readers.tables.grid import Column, Grid, no_collection
from cssa_mm.datasets.readers.understanding import Understanding
from cssa_mm.errors import DataError
from cssa_mm.names import one_form, plain_name

LINES = ('.jsonl', '.ndjson', '.manifest', '.jsonlines')
CHUNK = 4096  # entries that become columns at a time
HEAD = 1 << 16  # bytes that tell the form


def is_records(source: LabelSource) -> bool:
    """Whether a file holds an entry for each image, as JSON lines or a JSON list."""
    if source.suffix in LINES:
        return True
    if source.suffix != '.json':
        return False
    start = source.content[:HEAD].lstrip(b'\xef\xbb\xbf \t\r\n')
    return start[:1] in (b'[', b'{')


def read_records(source: LabelSource, options: ReadOptions) -> LabelTable:
    """Read entries with an image and its labels: their fields are the columns of a table.

    Read are JSON lines, a list of objects, an object of image: labels, and an object of columns as pandas writes it.

    Raises:
        ConfigError: An option does not fit the entries.
        DataError: They cannot be read, or in two ways.
    """
    understanding = Understanding(source.path)
    entries, places = _entries(source)
    if not isinstance(entries, list) or not entries:
        raise DataError(f'{source.path}: found 0 entries and no label in any, expected one for each image.')
    for number, entry in enumerate(entries):
        if not isinstance(entry, Mapping):
            raise DataError(
                f'{source.path}, {places(number)}: found {json.dumps(entry)[:60]}, expected an object such as '
                f'{{"image": "1.jpg", "labels": ["cat"]}}; write it so.'
            )
    understanding.facts['entries'] = f'{len(entries):,}'
    return table_of_grid(_grid(entries, source.path, places), options, understanding)


def _entries(source: LabelSource) -> tuple[Sequence[Any], Callable[[int], str]]:
    """The entries of a file and the place of each."""
    if source.suffix in LINES or _has_lines(source.text):
        found = []
        for number, line in enumerate(source.text.splitlines(), start=1):
            if line.strip(' \t\ufeff'):
                try:
                    found.append((number, json.loads(line.lstrip('\ufeff'))))
                except ValueError as error:
                    raise DataError(
                        f'{source.path}, line {number}: found no valid JSON ({error}), expected one object a line; '
                        f'correct the line.'
                    ) from error
        if len(found) == 1 and isinstance(found[0][1], list):
            return found[0][1], lambda index: f'entry {index}'
        return [entry for _, entry in found], lambda index: f'line {found[index][0]}'
    content = source.json
    if isinstance(content, Mapping):
        content = _of_object(content, source.path)
    return content, lambda index: f'entry {index}'


def _has_lines(text: str) -> bool:
    lines = [line for line in islice(text.splitlines(), 3) if line.strip()]
    return len(lines) > 1 and all(line.strip().startswith('{') and line.strip().endswith('}') for line in lines)


def _of_object(content: Mapping[str, Any], path: str) -> list[Any]:
    """The entries of an object: image -> labels, column -> cells, or a list under one key."""
    values = list(content.values())
    if content and all(str(name).lower().endswith(IMAGE_ENDINGS) for name in content):
        if all(isinstance(value, Mapping) for value in values):
            return [{'image': name, **value} for name, value in content.items()]
        return [{'image': name, 'labels': value} for name, value in content.items()]
    if len(values) > 1 and any(plain_name(str(name)) in IMAGES for name in content):
        columns = {name: list(v.values()) if isinstance(v, Mapping) else v for name, v in content.items()}
        sizes = {len(cells) for cells in columns.values() if isinstance(cells, list)}
        if len(sizes) == 1 and all(isinstance(cells, list) for cells in columns.values()):
            return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    lists = [value for value in values if isinstance(value, list) and value and isinstance(value[0], Mapping)]
    if len(lists) == 1 and 'annotations' not in content:
        return lists[0]
    raise DataError(
        f'{path}: found an object with {", ".join(map(repr, list(content)[:5])) or "nothing"}, expected a list of '
        f'entries such as {{"image": "1.jpg", "labels": ["cat"]}}, COCO or an export of Label Studio; write it so, or '
        f'as CSV (image,labels).'
    )


def _grid(entries: Sequence[Mapping[str, Any]], path: str, places: Callable[[int], str]) -> Grid:
    names = list(dict.fromkeys(name for entry in entries for name in entry))
    columns = [Column(one_form(str(name))) for name in names]
    with no_collection():
        for start in range(0, len(entries), CHUNK):
            part = entries[start : start + CHUNK]
            for name, column in zip(names, columns, strict=True):
                column.add([_text(entry.get(name)) for entry in part])
    return Grid(path, columns, True, len(entries), places)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return '' if value is None else json.dumps(value, ensure_ascii=False)
