"""`label.html`: a page to label photos in, which opens from disk and gives back a table of answers.

Whoever opens it sees photos with the predictions of a model, toggles classes by keys or taps, confirms photo by photo,
and saves `labels.csv`: a column a class, 1 and 0, with the confirmed photos alone. What is done stays in the browser
until the page is opened again, under the hash of the names of classes and photos.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import NamedTuple

from cssa_mm.visualization.pages.page import plain, render_page

# Of the page as a file: 200 photos fit, and phones still open it.
MOST_BYTES = 19_000_000
LARGEST_PHOTO = 200_000  # bytes of a JPEG; more show nothing more


class LabelPhoto(NamedTuple):
    """A photo of the page.

    name: as the table of labels has it; no absolute path.
    jpeg: the picture, without metadata.
    predicted: numbers of the classes that are set at first.
    scores: one a class (C,), from 0 to 1.
    why: in words, why it was chosen; '' shows none.
    """

    name: str
    jpeg: bytes
    predicted: Sequence[int]
    scores: Sequence[float]
    why: str = ''


def bytes_of_photo(number: int) -> int:
    """The bytes that the JPEG of each of some photos may have, so that the page stays small enough."""
    return min(LARGEST_PHOTO, int(MOST_BYTES * 3 / 4 / max(1, number)))


def photos_that_fit(jpegs: Sequence[bytes]) -> int:
    """How many of the first photos a page can hold: base64 takes four bytes for three."""
    size = 0
    for number, jpeg in enumerate(jpegs):
        size += len(base64_of(jpeg))
        if size > MOST_BYTES:
            return number
    return len(jpegs)


def labelling_page(
    photos: Sequence[LabelPhoto],
    class_names: Sequence[str],
    *,
    image_column: str = 'image',
    model: str = '',
    notes: Sequence[str] = (),
    total: int | None = None,
) -> str:
    """The text of the page.

    Args:
        photos: in the order in which they are shown.
        class_names: C names.
        image_column: the name of the column with the photos in the answers.
        model: what made the predictions, in words.
        notes: sentences to show, such as that photos were sampled.
        total: the number of photos that were chosen; the page says if it shows fewer.
    """
    names = [photo.name for photo in photos]
    left_out = 0 if total is None else total - len(photos)
    notes = list(notes)
    if left_out:
        notes.append(
            f'{left_out:,} of {total:,} photos are left out: the page would have more than '
            f'{MOST_BYTES // 10**6} MB. Label these, and let the next ones be suggested.'
        )
    data = dict(
        project=project_key(class_names, names),
        classes=list(class_names),
        image_column=image_column,
        model=model,
        photos=[
            dict(
                name=photo.name,
                jpeg=base64_of(photo.jpeg),
                predicted=[int(number) for number in photo.predicted],
                scores=[round(float(score), 3) for score in photo.scores],
                why=photo.why,
            )
            for photo in photos
        ],
    )
    return render_page('labelling', title=f'Label {len(photos):,} photos', data=plain(data), notes=notes)


def project_key(class_names: Sequence[str], names: Sequence[str]) -> str:
    """What the browser keeps answers under: a hash of the names of classes and photos, of no path and no picture."""
    text = json.dumps([list(class_names), list(names)], ensure_ascii=False)
    return hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:20]


def base64_of(content: bytes) -> str:
    """Bytes as text."""
    return base64.b64encode(content).decode('ascii')
