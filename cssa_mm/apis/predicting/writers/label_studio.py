"""`label_studio.json` and `label_studio.xml`: tasks with predictions for Label Studio, and the config that fits."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr  # nosec B406 # it writes XML

import numpy as np

from cssa_mm.apis.predicting.rows import PredictedImage
from cssa_mm.apis.predicting.sources import is_address
from cssa_mm.apis.predicting.writers.streams import (
    LabelColumns,
    refused_in_one_line,
    rounded_score,
    text_file,
    zero_shot_names,
)
from cssa_mm.errors import ConfigError
from cssa_mm.files import write_text

LOCAL_FILES = '/data/local-files/?d='
SHOWN_SCORES = 20  # in a task: a table of hundreds of classes helps nobody
QUESTION, IMAGE = 'labels', 'image'


def write_label_studio(
    rows: Iterable[PredictedImage],
    facts: Mapping[str, Any],
    path: Path,
    *,
    document_root: str | os.PathLike | None = None,
    prefix: str = LOCAL_FILES,
) -> None:
    """Write a JSON list of tasks, one a line, each with a prediction.

    A task's `data` holds `image` (its address), `path` (the image's name), `uncertainty`, which the data manager can
    sort and filter by, `scores` (the best labels, for the eye) and, where labels were never trained, `zero_shot` with
    their names. `score` of the prediction is how probable it is that the least certain of its decisions is right: the
    smallest of p over the labels and 1 - p over the other classes; `uncertainty` is 1 - `score`.

    Args:
        rows: the images.
        facts: those of the model.
        path: the file.
        document_root: the folder that the server has as LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT; addresses count from
            it. None: the server's own default, '/'. It shows files if LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED is true
            and the project has the folder of the images as a local storage, which must not be synced. The addresses of
            images in other storages stay as they are.
        prefix: what stands before that path, percent-encoded, in an address; for images that a web server shows.

    Raises:
        ConfigError: the file cannot be written, or an image lies outside of `document_root`.
    """
    columns, untrained, version = LabelColumns(facts['class_names']), zero_shot_names(facts), model_version(facts)
    root = Path(os.path.abspath(document_root or os.sep))
    with text_file(path) as file:
        file.write('[')
        for number, row in enumerate(rows):
            score = certainty(row, columns)
            data = dict(
                image=row.path if is_address(row.path) else f'{prefix}{quote(os.fsencode(_below(root, row)))}',
                path=row.name,
                uncertainty=rounded_score(1 - score),
                scores=_shown(row, columns),
            )
            if marked := [name for name in row.labels if name in untrained]:
                data['zero_shot'] = marked
            result = dict(from_name=QUESTION, to_name=IMAGE, type='choices', value=dict(choices=list(row.labels)))
            prediction = dict(model_version=version, score=rounded_score(score), result=[result] if row.labels else [])
            task = json.dumps(dict(data=data, predictions=[prediction]), ensure_ascii=False)
            file.write(f'{"," if number else ""}\n{task}')
        file.write('\n]\n')


def write_label_studio_config(facts: Mapping[str, Any], path: Path) -> None:
    """Write the labelling config: the image, a choice of any number of the classes, and the table of scores.

    Raises:
        ConfigError: it cannot be written.
    """
    untrained = zero_shot_names(facts)
    choices = [
        f'    <Choice value={quoteattr(name)}{" hint=" + quoteattr("zero-shot") if name in untrained else ""}/>'
        for name in facts['class_names']
    ]
    lines = [
        '<View>',
        f'  <Image name="{IMAGE}" value="$image" zoom="true"/>',
        f'  <Choices name="{QUESTION}" toName="{IMAGE}" choice="multiple" showInline="true">',
        *choices,
        '  </Choices>',
        '  <Table name="scores" value="$scores"/>',
        '</View>',
    ]
    with refused_in_one_line(path):
        write_text(path, '\n'.join(lines) + '\n')


def model_version(facts: Mapping[str, Any]) -> str:
    """What the server calls the model: its tower, and eight letters that change with anything in its facts."""
    tower = (facts.get('tower') or {}).get('model_name') or 'model'
    return f'{tower} {hashlib.sha256(json.dumps(dict(facts), sort_keys=True).encode()).hexdigest()[:8]}'


def certainty(row: PredictedImage, columns: LabelColumns) -> float:
    """How probable it is, by the calibrated scores, that the least certain decision on an image is right."""
    right = 1 - np.asarray(row.scores, np.float64)
    labels = columns.of(row)
    right[labels] = 1 - right[labels]
    return float(right.min())


def _shown(row: PredictedImage, columns: LabelColumns) -> dict[str, float]:
    """Class -> score of the labels and the other best classes, the highest first."""
    order = np.argsort(-row.scores, kind='stable')
    labels = set(columns.of(row))
    kept = [c for place, c in enumerate(order.tolist()) if place < SHOWN_SCORES or c in labels]
    return {columns.names[c]: rounded_score(row.scores[c]) for c in kept}


def _below(root: Path, row: PredictedImage) -> str:
    path = Path(os.path.abspath(row.path))
    if not path.is_relative_to(root):
        raise ConfigError(
            f"label_studio: found the image '{path}' outside of the document root '{root}', expected all images below "
            'it; give the folder that the server has as LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT.'
        )
    return path.relative_to(root).as_posix()
