"""Label Studio's JSON export as a label table."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qs, unquote, urlsplit

from cssa_mm.datasets.image_folder import ImageFolder
from cssa_mm.datasets.readers.label_table import LabelTable, TableRow, table_of_rows
from cssa_mm.datasets.readers.source import LabelSource, ReadOptions
from cssa_mm.datasets.readers.understanding import Understanding
from cssa_mm.errors import DataError, nearest

UPLOAD = re.compile(r'/data/upload/(\d+/)?[^/]+$')
UPLOAD_PREFIX = re.compile(r'^[0-9a-f]{8}-')


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
    return table_of_rows(rows, Understanding(path), find_image=local_name)


def local_name(url: str, folder: ImageFolder) -> str:
    """The image that a task means, as a path relative to the image folder; it may be missing there.

    Label Studio writes where *it* has the image: a URL, a path such as ``/data/local-files/?d=disk/shop/1.jpg``, or
    ``/data/upload/7/0a1b2c3d-1.jpg``. The longest end of a path whose directory is one of the image folder's tells
    where the image must lie; the folder's own name may stand before it, so that the path above is ``1.jpg`` of a folder
    ``shop``. A file name alone decides only where the path has no directory: ``north/1.jpg`` and ``south/1.jpg`` are
    two images. Of an upload, Label Studio has kept the name alone, behind a prefix: the longest end that is an image
    counts, or else the name without the prefix.
    """
    parts = urlsplit(url)
    path = parse_qs(parts.query)['d'][0] if parts.path.endswith('/local-files/') and 'd=' in parts.query else parts.path
    names = [part for part in unquote(path).replace('\\', '/').split('/') if part]
    ends = ['/'.join(names[start:]) for start in range(len(names))]
    if not ends:
        return ''
    if UPLOAD.search(f'/{ends[0]}'):
        uploaded = UPLOAD_PREFIX.sub('', names[-1])
        return next((end for end in [*ends, uploaded] if end in folder.image_ids), uploaded)
    for end in ends[:-1]:
        for image_id in (end, end.removeprefix(f'{folder.name}/')):
            if posixpath.dirname(image_id) in folder.directories:
                return image_id
    return ends[0]


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
