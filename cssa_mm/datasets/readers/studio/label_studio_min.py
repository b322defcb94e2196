"""Label Studio's JSON-MIN and CSV exports as a label table: a record an annotation, with a column a question."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from cssa_mm.datasets.readers.label_table import LabelTable
from cssa_mm.datasets.readers.source import LabelSource, ReadOptions
from cssa_mm.datasets.readers.studio.label_studio import OTHER_TYPES, label_key, labels_of_result
from cssa_mm.datasets.readers.studio.studio_answers import Annotation, Label, Task, table_of_tasks
from cssa_mm.datasets.readers.studio.studio_images import image_field, image_of, is_inline, looks_like_image
from cssa_mm.datasets.readers.understanding import Understanding
from cssa_mm.errors import DataError

# What Label Studio writes into each record.
OWN_COLUMNS = frozenset('id annotator annotation_id created_at updated_at lead_time agreement history'.split())
MARKS = ('annotation_id', 'lead_time')
REGION_KEYS = frozenset('x y width height points format rle original_width original_height vertices'.split())
TEXTS = 'choices of one label, or a field of the data'
IMAGES = 'holds images'


def is_label_studio_min(source: LabelSource) -> bool:
    """Whether a JSON list of records, or a table, has the columns that Label Studio adds to each annotation."""
    if source.suffix == '.json':
        content = source.content
        start = content.lstrip(b'\xef\xbb\xbf \t\r\n')[:1]
        return (
            start == b'[' and all(b'"%s"' % mark.encode() in content for mark in MARKS) and b'"result"' not in content
        )
    if source.suffix not in ('.csv', '.tsv'):
        return False
    header = source.content.lstrip(b'\xef\xbb\xbf')[:10_000].splitlines()[:1]
    return bool(header) and all(mark.encode() in header[0] for mark in MARKS)


def read_label_studio_min(source: LabelSource, options: ReadOptions) -> LabelTable:
    """Read a JSON-MIN or CSV export: one choice is a plain text, several are ``{"choices": [...]}``, regions a list.

    A record without an annotation_id is an unlabelled task; one without an answer shows none of the classes. Skipped
    tasks are in none of the two exports, and neither are predictions.

    Raises:
        DataError: The content has another form, or several columns may hold the labels.
    """
    path = source.path
    records = _records(source)
    understanding = Understanding(path)
    field = str(image_field(records, path, options.image_column))
    understanding.facts['image field'] = field
    columns = _label_columns(records, field, understanding, options)
    tasks = []
    for number, record in enumerate(records):
        where = f'{path}, record {number} (task {record.get("id", "?")})'
        task = Task(image_of(record, field, where), where)
        if record.get('annotation_id') not in (None, ''):
            answers = {
                name: labels for name in columns if (labels := _labels(record.get(name), name, where)) is not None
            }
            others = any(
                record.get(name) not in (None, '') for name, why in understanding.left.items() if why != IMAGES
            )
            person = record.get('annotator')
            updated = str(record.get('updated_at') or record.get('created_at') or '')
            asked = frozenset(name for name in answers if not isinstance(record[name], list))
            annotator = '' if person is None else str(person)
            task.annotations.append(Annotation(answers, others, asked, False, annotator, updated))
        tasks.append(task)
    return table_of_tasks(tasks, understanding, options)


def _records(source: LabelSource) -> list[dict[str, Any]]:
    if source.suffix == '.json':
        records = source.json
        if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
            raise DataError(
                f'{source.path}: found no list of objects, expected a JSON-MIN export of Label Studio; export it again.'
            )
        return records
    csv.field_size_limit(max(csv.field_size_limit(), 1 << 27))  # images in base64
    delimiter = '\t' if '\t' in source.text.split('\n', 1)[0] else ','
    try:
        lines = list(csv.DictReader(io.StringIO(source.text, newline=''), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise DataError(f'{source.path}: found no valid CSV ({error}), expected quotes that close.') from error
    return [{name: _value(cell) for name, cell in line.items() if isinstance(name, str)} for line in lines]


def _value(cell: str | None) -> Any:
    """The value of a cell: Label Studio writes all but plain texts as JSON."""
    if cell and cell[0] in '[{':
        try:
            return json.loads(cell)
        except ValueError:
            return cell
    return cell or None


def _label_columns(
    records: Sequence[Mapping[str, Any]], field: str, understanding: Understanding, options: ReadOptions
) -> list[str]:
    """The columns that may hold labels; what is no label is left, with the reason."""
    wanted = {name.strip() for name in (options.label_column or '').split(',')} | {options.label_column}
    names = dict.fromkeys(key for record in records for key in record if key != field and key not in OWN_COLUMNS)
    evident, texts = [], {}
    for name in names:
        values = [record[name] for record in records if record.get(name) not in (None, '')]
        kinds = {_kind(value) for value in values}
        if 'labels' in kinds or (name in wanted and 'text' in kinds):
            evident.append(name)
        elif values and all(is_inline(value) or looks_like_image(value) for value in values):
            understanding.left[name] = IMAGES
        elif kinds == {'text'}:
            texts[name] = values
        elif values:
            understanding.left[name] = 'holds no labels'
    if options.label_column is None:
        # Numbers, and a text of its own in each record, such as a caption, are no labels, unless there is nothing else.
        reasons = {name: reason for name, values in texts.items() if (reason := _reason_against(values))}
        for name in reasons if len(reasons) < len(texts) or evident else []:
            del texts[name]
            understanding.left[name] = reasons[name]
        return [*evident, *texts]
    understanding.left |= dict.fromkeys(texts, TEXTS)
    return evident


def _reason_against(values: Sequence[str]) -> str:
    if all(re.fullmatch(r'-?\d+(\.\d+)?', value) for value in values):
        return 'numbers'
    return 'a text of its own in each record' if len(values) > 2 and len(set(values)) == len(values) else ''


def _kind(value: object) -> str:
    if isinstance(value, str):
        return 'text'
    parts = value if isinstance(value, list) else [value]
    is_label = any(isinstance(part, Mapping) and label_key(part) and not _has_numbers_alone(part) for part in parts)
    return 'labels' if is_label else 'other'


def _has_numbers_alone(value: Mapping[str, Any]) -> bool:
    """Whether an object is a score for each class, whose names may be those of kinds of answers."""
    return all(isinstance(each, int | float) for each in value.values())


def _labels(value: object, name: str, where: str) -> list[Label] | None:
    """The labels of an answer; None where there is none."""
    if value is None or value == '':
        return None
    if isinstance(value, str):
        return [(value,)]
    labels: list[Label] = []
    for part in value if isinstance(value, list) else [value]:
        if isinstance(part, str):
            labels.append((part,))
            continue
        key = label_key(part) if isinstance(part, Mapping) else None
        if key is not None:
            labels += labels_of_result(key, part, where)
        elif not isinstance(part, Mapping) or not (part.keys() & REGION_KEYS or part.keys() <= OTHER_TYPES | {'text'}):
            raise DataError(
                f"{where}: found {str(part)[:60]!r} in '{name}', expected choices, taxonomy or labels of regions; "
                'write the labels into a CSV (image,labels).'
            )
    return labels
