"""Which files a prediction writes, and the rows that they are written from."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cssa_mm.apis.chosen_labels import LabelChoice
from cssa_mm.apis.predicting.rows import PredictedImage
from cssa_mm.apis.predicting.shards import Ledger, Shards
from cssa_mm.files import replacing, write_json, write_text

Rows = Callable[[], Iterator[PredictedImage]]
Write = Callable[[Iterable[PredictedImage], Mapping[str, Any], Path, LabelChoice], None]


def _predictions(rows: Iterable[PredictedImage], facts: Mapping[str, Any], path: Path, choice: LabelChoice) -> None:
    with replacing(path) as partial, partial.open('w', newline='', encoding='utf-8') as file:
        table = csv.writer(file, lineterminator='\n')
        table.writerow(['image', 'labels'])
        table.writerows([row.name, ';'.join(row.labels) or 'none'] for row in rows)


def _model(rows: Iterable[PredictedImage], facts: Mapping[str, Any], path: Path, choice: LabelChoice) -> None:
    write_json(path, dict(facts))


# Format -> file -> what writes it.
FORMATS: dict[str, dict[str, Write]] = {
    'csv': {'predictions.csv': _predictions},
    'model': {'model.json': _model},
}
BAD_IMAGES = 'bad_images.txt'


def good_rows(ledger: Ledger, shards: Shards, class_names: list[str], choice: LabelChoice) -> Iterator[PredictedImage]:
    """The predictions of the images that could be read, in the order of the list."""
    names = np.array(class_names, object)
    last, reached = None, np.zeros(0)
    for position, shard, row in ledger.rows(shards):
        if shard.reasons[row]:
            continue
        if shard is not last:
            last, reached = shard, choice.reached(shard.scores)
        labels = tuple(names[reached[row]])
        name, path = ledger.images.names[position], ledger.images.path(position)
        yield PredictedImage(name, path, labels, shard.scores[row], shard.raw_scores[row])


def write_bad_images(ledger: Ledger, shards: Shards, path: Path) -> int:
    """Write path and reason of each bad image, a line each, if there is one; returns their number."""
    lines = [
        f'{ledger.images.path(position)}\t{shard.reasons[row]}\n'
        for position, shard, row in ledger.rows(shards)
        if shard.reasons[row]
    ]
    if lines:
        write_text(path, ''.join(lines))
    return len(lines)
