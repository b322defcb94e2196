"""What one labels with: the page, tasks for Label Studio, and a table to fill in."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cssa_mm.apis.image_input import decoded
from cssa_mm.apis.predicting.rows import PredictedImage
from cssa_mm.apis.predicting.writers.label_studio import write_label_studio, write_label_studio_config
from cssa_mm.apis.predicting.writers.label_table import write_classes
from cssa_mm.apis.predicting.writers.streams import text_file
from cssa_mm.datasets.images.thumbnails import thumbnail
from cssa_mm.datasets.label_forms import image_column_of
from cssa_mm.datasets.view import View
from cssa_mm.files import write_text
from cssa_mm.visualization.pages.labelling import LabelPhoto, bytes_of_photo, labelling_page, photos_that_fit

PAGE, LIST, TO_FILL_IN = 'label.html', 'suggestions.csv', 'to_fill_in.csv'
STUDIO, STUDIO_CONFIG, CLASSES = 'label_studio.json', 'label_studio.xml', 'classes.txt'
WRITTEN = (PAGE, LIST, TO_FILL_IN, CLASSES, STUDIO, STUDIO_CONFIG)


class Suggested(NamedTuple):
    """A photo to label: its prediction, and in words why it was chosen."""

    row: PredictedImage
    why: str


def write_outputs(
    folder: Path, suggested: Sequence[Suggested], facts: Mapping[str, Any], view: View, model: str, notes: Sequence[str]
) -> int:
    """Write everything into a folder.

    Args:
        folder: that exists.
        suggested: the photos, the most useful first.
        facts: those of the model.
        view: of the model, which decodes photos.
        model: what made the predictions, in words.
        notes: sentences for the page.

    Returns:
        The number of photos that the page shows.
    """
    rows = [each.row for each in suggested]
    names = list(facts['class_names'])
    _table(folder / LIST, [['path', 'rank', 'why'], *([s.row.name, n, s.why] for n, s in enumerate(suggested, 1))])
    _table(folder / TO_FILL_IN, [[image_column_of(names), 'labels'], *([row.name, ''] for row in rows)])
    write_classes(facts, folder / CLASSES)
    write_label_studio(rows, facts, folder / STUDIO)
    write_label_studio_config(facts, folder / STUDIO_CONFIG)
    photos = _photos(suggested, facts, view)
    page = labelling_page(
        photos, names, image_column=image_column_of(names), model=model, notes=notes, total=len(suggested)
    )
    write_text(folder / PAGE, page)
    return len(photos)


def _photos(suggested: Sequence[Suggested], facts: Mapping[str, Any], view: View) -> list[LabelPhoto]:
    numbers = {name: number for number, name in enumerate(facts['class_names'])}
    is_calibrated = (facts.get('thresholds') or {}).get('rule') != 'none'
    most = bytes_of_photo(len(suggested))
    jpegs = [thumbnail(decoded(each.row.path, view)[0], most) for each in suggested]
    return [
        LabelPhoto(
            name=row.name,
            jpeg=jpeg,
            predicted=[numbers[name] for name in row.labels],
            scores=row.scores.tolist() if is_calibrated else [],
            why=why,
        )
        for (row, why), jpeg in zip(suggested[: photos_that_fit(jpegs)], jpegs, strict=False)
    ]


def reason(class_names: Sequence[str], thresholds: np.ndarray) -> Callable[[np.ndarray, np.ndarray], str]:
    """reason(...)(doubt (C,), scores (C,)) -> in words, which classes of a photo are in doubt."""

    def words(doubt: np.ndarray, scores: np.ndarray) -> str:
        best = [int(c) for c in np.argsort(-np.abs(doubt), kind='stable')[:3] if doubt[c]]
        if not best:
            return 'nothing in doubt'
        if np.isnan(thresholds).all():
            return f'may show {", ".join(class_names[c] for c in best)}'
        said = [
            f'{class_names[c]} {scores[c]:.2f}'
            + ('' if np.isnan(thresholds[c]) else f' (threshold {thresholds[c]:.2f})')
            for c in best
        ]
        return f'in doubt: {", ".join(said)}'

    return words


def _table(path: Path, rows: Sequence[Sequence[object]]) -> None:
    with text_file(path) as file:
        csv.writer(file, lineterminator='\n').writerows(rows)
