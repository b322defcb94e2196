"""Which files a prediction writes, and the rows that they are written from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cssa_mm.apis.chosen_labels import LabelChoice
from cssa_mm.apis.predicting.rows import PredictedImage
from cssa_mm.apis.predicting.shards import OPEN, Ledger, Shards
from cssa_mm.apis.predicting.writers.fiftyone import write_fiftyone
from cssa_mm.apis.predicting.writers.label_studio import write_label_studio, write_label_studio_config
from cssa_mm.apis.predicting.writers.label_table import write_classes, write_predictions
from cssa_mm.apis.predicting.writers.model_file import write_model
from cssa_mm.apis.predicting.writers.score_table import write_scores, write_scores_csv
from cssa_mm.errors import ConfigError, nearest

Rows = Callable[[], Iterator[PredictedImage]]
Write = Callable[[Rows, Mapping[str, Any], Path, LabelChoice], None]


def _of_rows(writer: Callable[[Iterable[PredictedImage], Mapping[str, Any], Path], None]) -> Write:
    return lambda rows, facts, path, choice: writer(rows(), facts, path)


def _of_facts(writer: Callable[[Mapping[str, Any], Path], None]) -> Write:
    return lambda rows, facts, path, choice: writer(facts, path)


def _model(rows: Rows, facts: Mapping[str, Any], path: Path, choice: LabelChoice) -> None:
    write_model(rows(), facts, path, choice=choice)


# File -> what writes it.
ALWAYS: dict[str, Write] = {
    'predictions.csv': _of_rows(write_predictions),
    'classes.txt': _of_facts(write_classes),
    'model.json': _model,
}
SCORES: dict[str, dict[str, Write]] = {
    'parquet': {'scores.parquet': _of_rows(write_scores)},
    'csv': {'scores.csv': _of_rows(write_scores_csv)},
    'none': {},
}
RAW: dict[str, Write] = {
    'raw_scores.parquet': lambda rows, facts, path, choice: write_scores(rows(), facts, path, is_raw=True)
}
FORMATS: dict[str, dict[str, Write]] = {
    'label_studio': {
        'label_studio.json': _of_rows(write_label_studio),
        'label_studio.xml': _of_facts(write_label_studio_config),
    },
    'fiftyone': {'fiftyone/labels.json': _of_rows(write_fiftyone)},
}
BAD_IMAGES = 'bad_images.txt'


def good_rows(ledger: Ledger, shards: Shards, class_names: list[str], choice: LabelChoice) -> Iterator[PredictedImage]:
    """The predictions of the images that could be read, in the order of the list."""
    names = np.array(class_names, object)
    reached: dict[int, np.ndarray] = {}  # of the shards that were met last
    for position, shard, row in ledger.rows(shards):
        if shard.reasons[row]:
            continue
        number = int(ledger.shard[position])
        if number not in reached:
            if len(reached) == OPEN:
                del reached[next(iter(reached))]
            reached[number] = choice.reached(shard.scores)
        labels = tuple(names[reached[number][row]])
        name, path = ledger.images.names[position], ledger.images.path(position)
        yield PredictedImage(name, path, labels, shard.scores[row], shard.raw_scores[row])


def bad_lines(ledger: Ledger, shards: Shards) -> Iterator[str]:
    """Path and reason of each image that could not be read, a line each, in the order of the list."""
    for position, shard, row in ledger.rows(shards):
        if shard.reasons[row]:
            path = ledger.images.path(position)
            yield f'{path if path.isprintable() else ascii(path)}\t{shard.reasons[row]}\n'


def outputs_of(scores: str, formats: Sequence[str] | None, raw_scores: bool = False) -> dict[str, Write]:
    """File -> what writes it.

    Args:
        scores: one of `SCORES`.
        formats: some of `FORMATS`; None for all of them.
        raw_scores: whether the scores before calibration get a table of their own.

    Raises:
        ConfigError: one is unknown.
    """
    if scores not in SCORES:
        raise ConfigError(f"scores: found '{scores}', expected one of {', '.join(SCORES)}.{nearest(scores, SCORES)}")
    for name in formats or ():
        if name not in FORMATS:
            raise ConfigError(
                f"formats: found '{name}', expected some of {', '.join(FORMATS)}.{nearest(name, FORMATS)}"
            )
    result = ALWAYS | SCORES[scores] | (RAW if raw_scores else {})
    for name, files in FORMATS.items():
        if formats is None or name in formats:
            result |= files
    return result
