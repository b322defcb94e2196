"""JSON of the VGG Image Annotator (VIA, versions 1 and 2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cssa_mm.datasets.readers.label_table import LabelTable
from cssa_mm.datasets.readers.objects.coco import without_images
from cssa_mm.datasets.readers.objects.unannotated import note_unannotated
from cssa_mm.datasets.readers.source import LabelSource, ReadOptions
from cssa_mm.datasets.readers.studio.studio_answers import Annotation, Label, Task, table_of_tasks
from cssa_mm.datasets.readers.understanding import Understanding
from cssa_mm.errors import DataError

PROJECT = '_via_img_metadata'
TOOL = 'VIA'


def is_via(source: LabelSource) -> bool:
    """Whether a JSON file is a project of VIA, or has the keys of its annotations."""
    if source.suffix != '.json' or not source.content.lstrip(b'\xef\xbb\xbf \t\r\n').startswith(b'{'):
        return False
    content = source.content
    return b'"%s"' % PROJECT.encode() in content or all(
        key in content for key in (b'"filename"', b'"regions"', b'"file_attributes"')
    )


def read_via(source: LabelSource, options: ReadOptions) -> LabelTable:
    """Read the attributes of files or regions: of several, ``label_column`` chooses one.

    A text, or each choice that is marked, is a label of the image. An image without region and attribute is what
    ``options.unannotated`` says.

    Raises:
        DataError: The content has another form, or several attributes may hold the labels.
    """
    content, path = source.json, source.path
    entries = content.get(PROJECT, content) if isinstance(content, Mapping) else None
    if not isinstance(entries, Mapping) or not all(isinstance(each, Mapping) for each in entries.values()):
        raise DataError(f'{path}: found no object of images, expected annotations of VIA; export them again as JSON.')
    option = options.unannotated or 'unlabelled'
    understanding = Understanding(path)
    tasks, without = [], []
    for key, entry in entries.items():
        where = f"{path}, entry '{key}'"
        if not isinstance(entry.get('filename'), str):
            raise DataError(f"{where}: found no 'filename', expected an image of VIA; export the annotations again.")
        task = Task(entry['filename'], where)
        annotation = _annotation(entry, where)
        if annotation is None:
            without.append(task.path)
            if option == 'drop':
                continue
            annotation = Annotation({}) if option == 'negative' else None
        task.annotations += [annotation] if annotation is not None else []
        tasks.append(task)
    table = table_of_tasks(tasks, understanding, options, TOOL)
    note_unannotated(understanding, without, len(entries), option, 'region and attribute')
    if option == 'drop' and without:
        table.folder = without_images(source.images, without)
    return table


def _annotation(entry: Mapping[str, Any], where: str) -> Annotation | None:
    """The labels by attribute; None where the image has neither region nor attribute."""
    regions = entry.get('regions') or []
    regions = list(regions.values()) if isinstance(regions, Mapping) else regions  # version 1
    if not isinstance(regions, list):
        raise DataError(
            f'{where}: found regions that are no list, expected those of VIA; export the annotations again.'
        )
    attributes = [entry.get('file_attributes') or {}] + [
        each.get('region_attributes') or {} for each in regions if isinstance(each, Mapping)
    ]
    answers: dict[str, list[Label]] = {}
    asked = set()
    for number, found in enumerate(attributes):
        if not isinstance(found, Mapping):
            raise DataError(f'{where}: found attributes that are no object, expected name and value; export again.')
        for name, value in found.items():
            labels = list(_labels(value, where))
            if labels or isinstance(value, Mapping):  # a blank text is no answer, boxes without a mark are
                answers.setdefault(name, []).extend(labels)
                asked |= {name} if number == 0 else set()
    return Annotation(answers, bool(regions), frozenset(asked)) if answers or regions else None


def _labels(value: object, where: str) -> Iterable[Label]:
    if isinstance(value, Mapping):  # boxes to mark
        return [(str(name),) for name, is_marked in value.items() if is_marked in (True, 'true', 1)]
    if isinstance(value, str):
        return [(value.strip(),)] if value.strip() and value != 'undefined' else []
    if isinstance(value, (int, float)):
        return [(str(value),)]
    raise DataError(f'{where}: found the attribute {str(value)[:60]!r}, expected a text or marks; export again.')
