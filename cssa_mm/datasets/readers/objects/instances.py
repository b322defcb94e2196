"""The content of an annotation in COCO's form, in columns: images, categories, and which of them go together."""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from cssa_mm.datasets.checks import refuse_doubled_ids
from cssa_mm.datasets.readers.objects.json_stream import decoded, elements
from cssa_mm.datasets.readers.objects.unannotated import once
from cssa_mm.errors import DataError

EXPECTED = 'an instances JSON in COCO form'
KEYS = ('images', 'annotations', 'categories')
MARK = b'"segmentation"'
# Greedy, up to the last bracket before the next key or the end of the instance.
POLYGONS = re.compile(rb'"segmentation"\s*:\s*\[[-+.\deE,\s\[\]]*\]')
# A piece may end in the middle of a polygon, or of the key before it; one longer than this is parsed instead.
LONGEST = 2**24


@dataclass
class Instances:
    """n images, C categories, and the pairs of both.

    Attributes:
        image_ids: The n ids, as strings, in the order of the file.
        file_names: The n names, as written.
        category_ids: The C ids, as strings, in ascending order.
        names: The C names.
        shows: bool (n, C), whether an image has an instance of a category.
        is_annotated: bool (n,), whether it has any.
        has_scores: Whether annotations carry scores, as predictions do.
        kinds: Forms of annotation beside instances, such as 'segments_info' (panoptic).
    """

    image_ids: list[str]
    file_names: list[str]
    category_ids: list[str]
    names: list[str]
    shows: np.ndarray
    is_annotated: np.ndarray
    has_scores: bool
    kinds: set[str]

    @property
    def is_shown(self) -> np.ndarray:
        """bool (C,), whether any image shows a category."""
        return np.any(self.shows, axis=0)

    def shown_names(self) -> list[str]:
        """The names of the categories that have an instance, by id."""
        return once(name for name, is_shown in zip(self.names, self.is_shown, strict=True) if is_shown)


def read_instances(pieces: Iterable[bytes], path: str, encoding: str = 'utf-8-sig') -> Instances:
    """Read an annotation in COCO's form: instances, keypoints or panoptic segments.

    Ids are compared as strings: 7 and "7" are the same.

    Args:
        pieces: The bytes of the file.
        path: Where it lies, for messages.
        encoding: Of its text.

    Raises:
        DataError: The file has another form, such as captions, or an annotation points nowhere.
    """
    if encoding.startswith('utf-8'):  # the bytes of other encodings have another form
        pieces = without_polygons(pieces)
    reading = _Reading(path)
    for key, item in elements(decoded(pieces, path, EXPECTED, encoding), KEYS, path, EXPECTED, reading.keys.add):
        try:
            reading.add(key, item)
        except (KeyError, TypeError, AttributeError) as error:
            raise reading.unusable(key, item, error) from error
    return reading.finish()


class _Reading:
    def __init__(self, path: str) -> None:
        self.path = path
        self.keys: set[str] = set()
        self.images: list[tuple[str, str]] = []
        self.categories: dict[str, tuple[Any, str]] = {}
        self.image_codes: dict[Any, int] = {}  # in the order in which annotations mention them
        self.category_codes: dict[Any, int] = {}
        self.pairs = array('q'), array('q')
        self.has_scores = False
        self.kinds: set[str] = set()

    def add(self, key: str, item: dict) -> None:
        if key == 'annotations':
            codes = self.image_codes
            image = codes.setdefault(item['image_id'], len(codes))
            if 'segments_info' in item:
                self.kinds.add('segments_info')
                for segment in item['segments_info']:
                    self.add_pair(image, segment['category_id'])
            else:
                self.add_pair(image, item['category_id'])
            if 'score' in item and item['score'] not in (None, 1):
                self.has_scores = True
        elif key == 'images':
            if 'neg_category_ids' in item:
                raise DataError(
                    f'{self.path}: found neg_category_ids, as in LVIS: nobody looked for most classes of an image, '
                    'expected annotations of every class; write a table with blank cells for unknown ones.'
                )
            self.images.append((id_text(item['id']), str(item['file_name'])))
        else:
            category = id_text(item['id'])
            name = name_of(item, self.path)
            found = self.categories.setdefault(category, (item['id'], name))
            if found[1] != name:
                raise DataError(
                    f"{self.path}: found the category id {category} for '{found[1]}' and for '{name}', "
                    'expected each id once; repair the annotation.'
                )

    def add_pair(self, image: int, category: Any) -> None:
        codes = self.category_codes
        self.pairs[0].append(image)
        self.pairs[1].append(codes.setdefault(category, len(codes)))

    def unusable(self, key: str, item: Any, error: Exception) -> DataError:
        if key == 'annotations' and isinstance(item, dict) and 'caption' in item and 'category_id' not in item:
            caption = ' '.join(str(item['caption']).split())
            return DataError(
                f"{self.path}: found captions ('{caption[:40]}'), expected instances with categories; give the "
                'instances file of the same images.'
            )
        wrong = _wrong_id(item) if isinstance(error, TypeError) else None
        return DataError(
            f"{self.path}: found no usable entry for {wrong or error} in '{key}', expected COCO's 'images', "
            "'annotations' and 'categories' with ids; give an instances file."
        )

    def finish(self) -> Instances:
        missing = [key for key in KEYS if key not in self.keys]
        if missing:
            raise DataError(
                f"{self.path}: found no usable entry for '{missing[0]}', expected COCO's 'images', 'annotations' and "
                "'categories' with ids; give an instances file."
            )
        image_ids = [image_id for image_id, _ in self.images]
        refuse_doubled_ids(image_ids, self.path)
        rows = {image_id: row for row, image_id in enumerate(image_ids)}
        ordered = sorted(self.categories, key=lambda category: _order(self.categories[category][0]))
        columns = {category: column for column, category in enumerate(ordered)}
        shows = np.zeros((len(rows), len(columns)), dtype=bool)
        row_of = self._find(self.image_codes, rows, 'image')
        column_of = self._find(self.category_codes, columns, 'category')
        images, categories = (np.frombuffer(codes, dtype=np.int64) for codes in self.pairs)
        shows[row_of[images], column_of[categories]] = True
        is_annotated = np.zeros(len(rows), dtype=bool)
        is_annotated[row_of] = True
        return Instances(
            image_ids=image_ids,
            file_names=[name for _, name in self.images],
            category_ids=ordered,
            names=[self.categories[category][1] for category in ordered],
            shows=shows,
            is_annotated=is_annotated,
            has_scores=self.has_scores,
            kinds=self.kinds,
        )

    def _find(self, codes: dict[Any, int], positions: dict[str, int], kind: str) -> np.ndarray:
        try:
            return np.array([positions[id_text(value)] for value in codes], dtype=np.int64)
        except (KeyError, TypeError) as error:
            raise DataError(
                f'{self.path}: found an instance of the unknown {kind} {error}, expected one that the file lists; '
                'repair the annotation.'
            ) from None


def name_of(category: dict, path: str) -> str:
    """The name of a category; a number stands for its digits.

    Raises:
        DataError: It has another name than a text or number, such as null.
    """
    name = category['name']
    if isinstance(name, bool) or not isinstance(name, (str, int, float)):
        raise DataError(
            f'{path}: found the name {json.dumps(name)[:60]} of the category {category["id"]}, expected a text; repair '
            'the annotation.'
        )
    return str(name)


def _wrong_id(item: Any) -> str | None:
    """The first id of an entry that can be none, such as a list, as messages show it."""
    if not isinstance(item, dict):
        return f'an entry ({str(item)[:60]!r})'
    wrong = [key for key in ('id', 'image_id', 'category_id') if not isinstance(item.get(key, 0), (str, int, float))]
    return f"'{wrong[0]}' ({item[wrong[0]]!r})" if wrong else None


def id_text(value: Any) -> str:
    """An id as a string: 7, 7.0 and "7" are the same.

    Raises:
        TypeError: It is neither a number nor a text.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, (int, float, str)) or isinstance(value, bool):
        raise TypeError(f"'id' ({value!r})")
    return str(value)


def _order(category: Any) -> tuple:
    text = id_text(category)
    return (0, int(text), text) if re.fullmatch(r'-?\d+', text) else (1, 0, text)


def without_polygons(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The JSON without its polygons: a third of COCO's 330 MB, and the part that takes most time to parse.

    Lines keep their numbers, for the messages of the parser.
    """
    rest = b''
    for piece in pieces:
        rest += piece
        # Never cut through a polygon, nor through the key before it.
        cut = rest.rfind(MARK)
        if cut < 0:
            cut = max(0, len(rest) - len(MARK))
        elif len(rest) - cut > LONGEST:
            cut = len(rest)
        yield POLYGONS.sub(_blank, rest[:cut])
        rest = rest[cut:]
    yield POLYGONS.sub(_blank, rest)


def _blank(match: re.Match[bytes]) -> bytes:
    return b'"segmentation":0' + b'\n' * match[0].count(b'\n')
