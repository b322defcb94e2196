"""Label Studio's JSON export as a label table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cssa_mm.datasets.readers.label_table import LabelTable, TableRow, table_of_rows
from cssa_mm.datasets.readers.source import LabelSource, ReadOptions
from cssa_mm.datasets.readers.understanding import Understanding
from cssa_mm.errors import DataError, nearest


def is_label_studio(source: LabelSource) -> bool:
    """Whether a JSON file holds a list."""
    return source.suffix == '.json' and source.content.lstrip(b'\xef\xbb\xbf \t\r\n')[:1] == b'['


def read_label_studio(source: LabelSource, options: ReadOptions) -> LabelTable:
    """Read a JSON export: choices, and the labels of rectangles and other regions, are the labels of the image.

    A task without a finished annotation is unlabelled; one with an empty annotation shows none of the classes. Of
    several annotations the ground truth counts, else the newest. Predictions are ignored.

    Raises:
        DataError: the content has another form, or a task lacks its image.
    """
    content, path, image_key = source.json, source.path, options.image_column or 'image'
    none_words = {word.casefold() for word in options.none_word}
    if not isinstance(content, list):
        raise DataError(
            f'{path}: found a {type(content).__name__} at the top, expected the list of tasks of a Label Studio '
            f'export (format JSON); export it again.'
        )
    rows = []
    for number, task in enumerate(content):
        where = f'{path}, task {task.get("id", number) if isinstance(task, Mapping) else number}'
        if not isinstance(task, Mapping) or not isinstance(task.get('data'), Mapping) or 'annotations' not in task:
            raise DataError(
                f"{where}: found no 'data' with 'annotations', expected a task of a Label Studio export; choose the "
                f'format JSON (not JSON-MIN) in Label Studio.'
            )
        if not isinstance(task['data'].get(image_key), str):
            found = ', '.join(f"'{key}'" for key in task['data'])
            raise DataError(
                f"{where}: found the fields {found or 'none'}, expected '{image_key}' with the image."
                f'{nearest(image_key, task["data"])} Set image_column to the field that holds it.'
            )
        annotation = _annotation_of(task['annotations'])
        names = [] if annotation is None else list(_labels_in(annotation, where))
        labels = {name: 1 for name in names if name.casefold() not in none_words}
        rows.append(TableRow(task['data'][image_key], labels, -1 if annotation is None else 0, where))
    return table_of_rows(rows, Understanding(path))


def _annotation_of(annotations: list[Mapping]) -> Mapping | None:
    finished = [item for item in annotations if not item.get('was_cancelled')]
    newest = sorted(finished, key=lambda item: (bool(item.get('ground_truth')), str(item.get('updated_at') or '')))
    return newest[-1] if newest else None


def _labels_in(annotation: Mapping, where: str) -> Iterator[str]:
    for result in annotation.get('result', []):
        kind = str(result.get('type', ''))
        # 'choices', 'rectanglelabels', 'polygonlabels', ...: the value has a key of the same name.
        if kind == 'choices' or kind.endswith('labels'):
            names = result.get('value', {}).get(kind)
            if not isinstance(names, list):
                raise DataError(f"{where}: found a result of type '{kind}' without its names; export the file again.")
            yield from (str(name) for name in names)
