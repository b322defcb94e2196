"""Which field of Label Studio's tasks holds the image."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from cssa_mm.datasets.images.image_formats import HEIF_SUFFIXES, readable_suffixes
from cssa_mm.errors import DataError, nearest

IMAGE = re.compile(
    rf'({"|".join(map(re.escape, sorted({*readable_suffixes(), *HEIF_SUFFIXES})))})([?#&].*)?$', re.IGNORECASE
)


def image_field(records: Sequence[Mapping[str, Any]], source: str, wanted: str | None) -> str | None:
    """The field of the records with the images' paths; None where there are no records.

    It is ``wanted``, else 'image' if its values are paths, else the only field whose values look like images' paths,
    else the only text.

    Raises:
        DataError: There is no such field, or more than one.
    """
    if not records:
        return None
    if wanted is not None:
        return wanted
    values = {
        name: [record.get(name) for record in records]
        for name in dict.fromkeys(key for each in records for key in each)
    }
    image = [value for value in values.get('image', ()) if isinstance(value, str) and not is_inline(value)]
    texts = {name: each for name, each in values.items() if all(isinstance(value, str) for value in each)}
    inline = [name for name, each in texts.items() if is_inline(each[0])]
    paths = {name: each for name, each in texts.items() if name not in inline}
    images = [name for name, each in paths.items() if all(map(looks_like_image, each))]
    if image and (any(map(looks_like_image, image)) or not images):
        return 'image'
    found = images or list(paths)
    if len(found) == 1:
        return found[0]
    if inline and not found:
        raise DataError(
            f"{source}: found the images themselves (base64) in '{inline[0]}' and no field with their file names, "
            "expected paths; add a field such as 'path' to the data of the tasks and set image_column=path."
        )
    shown = ', '.join(f"'{name}'" for name in values) or 'none'
    raise DataError(
        f'{source}: found the fields {shown}, {f"of which {len(found)} " if found else "none of which "}'
        f"{'hold' if len(found) != 1 else 'holds'} texts that may be the image, expected 'image'."
        f'{nearest("image", values)} Set image_column to the field that holds it.'
    )


def looks_like_image(value: object) -> bool:
    """Whether a value is a path or address that ends like an image, or that Label Studio gave to one."""
    return isinstance(value, str) and bool(
        IMAGE.search(value) or '/data/local-files/' in value or '/data/upload/' in value
    )


def image_of(record: Mapping[str, Any], field: str, where: str) -> str:
    """The image of one record.

    Raises:
        DataError: It has none, or holds the image itself.
    """
    value = record.get(field)
    if not isinstance(value, str):
        found = ', '.join(f"'{key}'" for key in record)
        raise DataError(
            f"{where}: found the fields {found or 'none'}, expected '{field}' with the image."
            f'{nearest(field, record)} Set image_column to the field that holds it.'
        )
    if is_inline(value):
        raise DataError(
            f"{where}: found the image itself (base64) in '{field}', expected its path; set image_column to a field of "
            'the data that holds file names.'
        )
    return value


def is_inline(value: object) -> bool:
    """Whether a value is an image itself, in base64."""
    return isinstance(value, str) and value.startswith('data:image')
