"""Predictions as they were written: labels or scores of images, and how labels are chosen from the scores."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from cssa_mm.apis.chosen_labels import LabelChoice
from cssa_mm.apis.predicting.parquet_scores import read_score_table
from cssa_mm.apis.truth_labels import classes_beside, labels_for
from cssa_mm.datasets.discovery import LocalFiles
from cssa_mm.datasets.readers import read_labels
from cssa_mm.datasets.readers.source import LabelSource, ReadOptions
from cssa_mm.errors import CheckpointError, DataError
from cssa_mm.models.thresholds import ClassThresholds

TABLES = ('scores.parquet', 'scores.csv', 'predictions.csv')  # of a folder, the first that is there


@dataclass
class WrittenPredictions:
    """What a file says of n images and C classes.

    Attributes:
        path: the file.
        class_names: C names.
        images: n names.
        scores: float32 (n, C) in 0..1; None in a table of labels.
        labels: int8 (n, C), 1, 0 or -1 (the table does not say): the file's, or those that `choice` gives to scores.
            None for scores before calibration, for which there are no thresholds.
        choice: how labels were chosen, in words.
        zero_shot_names: the classes that were never trained.
        threshold: class -> its threshold; empty where there is none.
    """

    path: Path
    class_names: list[str]
    images: list[str]
    scores: np.ndarray | None
    labels: np.ndarray | None
    choice: str
    zero_shot_names: list[str] = field(default_factory=list)
    threshold: dict[str, float] = field(default_factory=dict)


def read_predictions(path: str | os.PathLike) -> WrittenPredictions:
    """Read a folder that `cssa predict` wrote, one of its tables, or labels in any form of docs/formats.md.

    Raises:
        DataError: there is no such file, it is none of these, or its scores are those of another model than that of
            the `model.json` beside it.
    """
    path = Path(path)
    if path.is_dir():
        found = next((path / name for name in TABLES if (path / name).is_file()), None)
        if found is None:
            raise DataError(
                f'{path}: found none of {", ".join(TABLES)}, expected what cssa predict wrote; name a file.'
            )
        path = found
    if not path.is_file():
        raise DataError(f'{path}: found no such file, expected predictions: a folder or a table of cssa predict.')
    model = _model_beside(path)
    if path.suffix == '.parquet':
        result = _of_parquet(path, model)
    else:
        scores = _scores_of_csv(path) if path.suffix == '.csv' else None
        result = _of_labels(path, model) if scores is None else _of_scores(path, *scores, model)
    doubled = len(result.images) - len(set(result.images))
    if doubled:
        raise DataError(f'{path}: found {doubled} images twice, expected a row an image; remove one of each.')
    return result


def _model_beside(path: Path) -> dict[str, Any] | None:
    beside = path.with_name('model.json')
    if not beside.is_file():
        return None
    try:
        return _checked_model(json.loads(beside.read_text('utf-8')))
    except (ValueError, RecursionError) as error:
        raise DataError(
            f'{beside}: found no description of a model ({error}), expected that of cssa predict; remove it.'
        ) from error


def _checked_model(content: Any) -> dict[str, Any]:
    """The description of a model; a ValueError says what is wrong with it."""
    if not isinstance(content, dict):
        raise ValueError('no object')
    for key in ('class_names', 'zero_shot_names'):
        names = content.get(key) or []
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(f'{key} is no list of texts')
    if not content.get('class_names'):
        raise ValueError('class_names is missing')
    if not isinstance(content.get('choice') or {}, dict):
        raise ValueError('choice is no object')
    return content


def _of_parquet(path: Path, model: dict[str, Any] | None) -> WrittenPredictions:
    class_names, images, scores, says = read_score_table(path)
    facts = says.get('facts') or None
    try:
        facts = facts and _checked_model(facts)
    except ValueError as error:
        raise DataError(
            f'{path}: found no description of a model in its metadata ({error}), expected that of cssa predict; '
            'write it again.'
        ) from error
    if facts and model:
        other = next((key for key in facts if facts[key] != model.get(key)), None)
        if other is not None:
            raise DataError(
                f"{path}: found scores of another model than that of model.json beside it (their '{other}' differ), "
                'expected the scores that were written with it; keep each in its own folder.'
            )
    return _of_scores(path, class_names, images, scores, model or facts, says.get('scores') == 'raw')


def _scores_of_csv(path: Path) -> tuple[list[str], list[str], np.ndarray] | None:
    """Class names, images and scores (n, C) of a CSV that holds them; None of another one."""
    with path.open(encoding='utf-8-sig', newline='', errors='replace') as file:
        header = next(csv.reader(file), [])
    if len(header) < 2 or len(set(header)) < len(header):
        return None
    options = pa.csv.ConvertOptions(column_types={header[0]: pa.string()}, strings_can_be_null=False)
    try:
        table = pa.csv.read_csv(
            path, parse_options=pa.csv.ParseOptions(newlines_in_values=True), convert_options=options
        )
        images, *columns = (table.column(index) for index in range(len(header)))
        names = images.to_pylist()
    except (pa.ArrowException, UnicodeDecodeError):
        return None  # the readers of labels say what is wrong
    is_number = [pa.types.is_floating(column.type) or pa.types.is_integer(column.type) for column in columns]
    if not all(is_number) or not any(pa.types.is_floating(column.type) for column in columns):
        return None
    scores = np.stack([column.to_numpy() for column in columns], axis=1).astype(np.float32)
    return (header[1:], names, scores) if (scores % 1 != 0).any() else None


def _of_scores(
    path: Path,
    class_names: Sequence[str],
    images: Sequence[str],
    scores: np.ndarray,
    model: Mapping[str, Any] | None,
    is_raw: bool = False,
) -> WrittenPredictions:
    wrong = int((~((scores >= 0) & (scores <= 1))).sum())
    if wrong:
        raise DataError(
            f'{path}: found {wrong} scores that are no number from 0 to 1, expected scores of cssa predict, or '
            'probabilities; correct them.'
        )
    result = WrittenPredictions(path, list(class_names), list(images), scores, None, '')
    if model is not None:
        unknown = [name for name in class_names if name not in model['class_names']]
        if unknown:
            raise DataError(
                f"{path}: found the class '{unknown[0]}' ({len(unknown)} of {len(class_names)}), which is none of the "
                'model described beside or in it, expected its classes; keep the files of a model together.'
            )
        result.zero_shot_names = list(model.get('zero_shot_names') or ())
    if is_raw:
        result.choice = 'none: scores before calibration have no thresholds'
        return result
    choice = LabelChoice(ClassThresholds.default(len(class_names)))
    result.choice = '.5 for every class: nothing beside or in the file tells thresholds'
    if model is not None:
        choice = _choice_of(path, class_names, model)
        result.choice = choice.describe()
    result.labels = choice.reached(scores).astype(np.int8)
    if choice.top is None and choice.thresholds.rule != 'none':
        result.threshold = dict(zip(class_names, choice.thresholds.values, strict=True))
    return result


def _choice_of(path: Path, class_names: Sequence[str], model: Mapping[str, Any]) -> LabelChoice:
    """The choice of a model's description, for the classes of a table, which may be some of them in another order."""
    known = list(model['class_names'])
    said = model.get('choice') or dict(thresholds=model.get('thresholds'))
    try:
        thresholds = ClassThresholds.from_dict(said.get('thresholds'), len(known))
    except CheckpointError as error:
        raise DataError(f'{path}: the description of its model has no thresholds: {error}') from error
    values = tuple(thresholds.values[known.index(name)] for name in class_names)
    return LabelChoice(ClassThresholds(values, thresholds.rule), said.get('top'))


def _of_labels(path: Path, model: Mapping[str, Any] | None) -> WrittenPredictions:
    names = tuple(model['class_names'] if model else classes_beside(path))
    source = LabelSource(LocalFiles(str(path.parent)), str(path))
    table = read_labels(source, ReadOptions(class_names=names, unannotated='negative'))
    class_names = list(names) or table.class_names
    labels, left = labels_for(table, class_names, names)
    if left:
        raise DataError(
            f"{path}: found the class '{left[0]}', which is none of the {len(names)} of model.json or classes.txt "
            'beside it, expected its classes; keep the files of a model together.'
        )
    says: np.ndarray = np.any(labels >= 0, axis=1)
    images = [image for image, is_said in zip(table.paths, says, strict=True) if is_said]
    choice = (model.get('choice') or {}).get('how') if model else None
    zero_shot = list(model.get('zero_shot_names') or ()) if model else []
    return WrittenPredictions(
        path, class_names, images, None, labels[says], choice or 'the labels of the table', zero_shot
    )
