"""Label Studio's JSON export as a label table."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from cssa_mm.datasets.readers.tables import LabelTable, TableRow, collect_names
from cssa_mm.errors import DataError, nearest

UPLOAD_PREFIX = re.compile(r'^[0-9a-f]{8}-')


def read_label_studio(content: Any, source: str, image_key: str, none_word: str) -> LabelTable:
    """Read a JSON export: choices, and the labels of rectangles and other regions, are the labels of the image.

    A task without a finished annotation is unlabelled; one with an empty annotation shows none of the classes. Of
    several annotations the ground truth counts, else the newest. Predictions are ignored.

    Args:
        content: The parsed JSON, a list of tasks.
        source: Path of the file, for messages.
        image_key: Field of ``data`` that holds the image.
        none_word: A choice that means 'none of the classes'.

    Raises:
        DataError: the content has another form, or a task lacks its image.
    """
    if not isinstance(content, list):
        raise DataError(
            f'{source}: found a {type(content).__name__} at the top, expected the list of tasks of a Label Studio '
            f'export (format JSON); export it again.'
        )
    rows = []
    for number, task in enumerate(content):
        where = f'{source}, task {task.get("id", number) if isinstance(task, Mapping) else number}'
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
        names = [] if annotation is None else list(_names_of(annotation, where))
        labels = {name: 1 for name in names if name.casefold() != none_word.casefold()}
        rows.append(TableRow(task['data'][image_key], labels, -1 if annotation is None else 0, where))
    return LabelTable(collect_names(name for row in rows for name in row.labels), rows, local_name)


def local_name(url: str, images: Collection[str]) -> str:
    """The image of a folder that a task means.

    Label Studio writes where *it* has the image: ``/data/local-files/?d=shop/photos/1.jpg``, a URL, or
    ``/data/upload/7/0a1b2c3d-1.jpg`` with a prefix before the name. The longest end of it that is one of ``images``
    is taken; where there is none, the bare file name.
    """
    parts = urlsplit(url)
    path = parse_qs(parts.query)['d'][0] if parts.path.endswith('/local-files/') and 'd=' in parts.query else parts.path
    folders = [part for part in unquote(path).replace('\\', '/').split('/') if part]
    ends = ['/'.join(folders[start:]) for start in range(len(folders))]
    bare = UPLOAD_PREFIX.sub('', folders[-1]) if folders else ''
    return next((end for end in [*ends, bare] if end in images), bare)


def _annotation_of(annotations: list[Mapping]) -> Mapping | None:
    finished = [item for item in annotations if not item.get('was_cancelled')]
    newest = sorted(finished, key=lambda item: (bool(item.get('ground_truth')), str(item.get('updated_at') or '')))
    return newest[-1] if newest else None


def _names_of(annotation: Mapping, where: str) -> Iterator[str]:
    for result in annotation.get('result', []):
        kind = str(result.get('type', ''))
        # 'choices', 'rectanglelabels', 'polygonlabels', ...: the value has a key of the same name.
        if kind == 'choices' or kind.endswith('labels'):
            names = result.get('value', {}).get(kind)
            if not isinstance(names, list):
                raise DataError(f"{where}: found a result of type '{kind}' without its names; export the file again.")
            yield from (str(name) for name in names)
