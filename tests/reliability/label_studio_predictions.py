"""Predictions go into a real Label Studio server as cssa predict writes them, and come back as labels.

What label_studio.json says must be what the server shows: predictions, their scores, the photos at their addresses, and
a filter by uncertainty. Then annotators agree with some and correct others, and the exports in JSON and JSON-MIN are
read by TableDataset. Oracle: the predicted rows, and what was annotated.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from label_studio_server import LabelStudio
from label_studio_sets import FILES, NAMES
from PIL import Image

from cssa_mm.apis.predicting.rows import PredictedImage
from cssa_mm.apis.predicting.writers.label_studio import model_version, write_label_studio, write_label_studio_config
from cssa_mm.datasets import TableDataset

COUNT = 24


def run_predictions(studio: LabelStudio, user: int, files: Path, seed: int) -> list[str]:
    """Send predictions and read the annotations back; print what was seen, and what differs, which is returned."""
    names = [*NAMES, 'labels', 'choices']
    facts: dict[str, Any] = dict(class_names=names, zero_shot_names=names[:2], tower=dict(model_name='RN50'))
    rows = _rows(names, files / 'photos', seed)
    tasks_file, config_file = files / 'label_studio.json', files / 'label_studio.xml'
    write_label_studio(rows, facts, tasks_file)
    write_label_studio_config(facts, config_file)
    tasks = json.loads(tasks_file.read_text('utf-8'))
    project = studio.new_project('predictions', config_file.read_text('utf-8'))
    ids = studio.import_tasks(project, tasks)
    studio.show_predictions(project, model_version(facts))
    studio.show_files(project, files / 'photos')
    wrong = _compare_tasks(studio, project, ids, tasks, rows)
    answers = _annotated(studio, user, ids, rows, names, seed)
    for kind in ('JSON', 'JSON_MIN'):
        export = files / f'{kind.lower()}.json'
        export.write_bytes(studio.export(project, kind, every_task=False))
        wrong += [f'{kind}: {line}' for line in _compare_labels(files, export, names, answers)]
    print(f'predictions: {"differ" if wrong else "equal"}; {len(rows)} tasks, {len(names)} classes')
    for line in wrong:
        print(f'        {line}', flush=True)
    return wrong


def _rows(names: Sequence[str], photos: Path, seed: int) -> list[PredictedImage]:
    draw, rows = np.random.default_rng(seed), []
    for number in range(COUNT):
        name = FILES[number % len(FILES)].format(number)
        path = photos / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((8, 8), 80 + number).save(path)
        scores = draw.uniform(size=len(names)).astype(np.float32) ** 4
        labels = tuple(np.array(names, object)[scores > 0.5])
        rows.append(PredictedImage(name, str(path), labels, scores, scores))
    return rows


def _compare_tasks(
    studio: LabelStudio,
    project: int,
    ids: Sequence[int],
    tasks: Sequence[Mapping[str, Any]],
    rows: Sequence[PredictedImage],
) -> list[str]:
    wrong = []
    for number, task, row in zip(ids, tasks, rows, strict=True):
        found = studio.task(number)
        said = [(each['model_version'], each['score'], each['result']) for each in found['predictions']]
        chosen = [
            sorted(result['value']['choices'])
            for _, _, results in said
            for result in results
            if result['type'] == 'choices'
        ]
        (prediction,) = task['predictions']
        if found['data'] != task['data']:
            wrong.append(f'{row.name!r}: data {found["data"]}')
        if [version for version, _, _ in said] != [prediction['model_version']]:
            wrong.append(f'{row.name!r}: predictions of {[version for version, _, _ in said]}')
        elif abs(said[0][1] - prediction['score']) > 1e-6:
            wrong.append(f'{row.name!r}: score {said[0][1]} instead of {prediction["score"]}')
        if chosen != ([sorted(row.labels)] if row.labels else []):
            wrong.append(f'{row.name!r}: predicted {chosen} instead of {row.labels}')
        if studio.fetch(task['data']['image']) != Path(row.path).read_bytes():
            wrong.append(f'{row.name!r}: another photo at {task["data"]["image"]}')
    middle = float(np.median([task['data']['uncertainty'] for task in tasks]))
    left = studio.tasks_above(project, 'data.uncertainty', middle)
    true = {task['data']['path'] for task in tasks if task['data']['uncertainty'] > middle}
    if {each['data']['path'] for each in left} != true:
        wrong.append(f'the filter of uncertainty above {middle} leaves {len(left)} tasks instead of {len(true)}')
    if any(each['predictions_score'] is None for each in left):
        wrong.append('the data manager shows no score of predictions')
    return wrong


def _annotated(
    studio: LabelStudio,
    user: int,
    ids: Sequence[int],
    rows: Sequence[PredictedImage],
    names: Sequence[str],
    seed: int,
) -> dict[str, set[str]]:
    """Annotate all tasks but the last: every third as predicted, the others otherwise; image -> labels."""
    draw, answers = random.Random(seed), {}
    for number, (task, row) in enumerate(zip(ids[:-1], rows, strict=False)):
        labels = list(row.labels) if number % 3 == 0 else draw.sample(names, draw.randint(0, 3))
        value = dict(from_name='labels', to_name='image', type='choices', value=dict(choices=labels))
        studio.annotate(task, [value] if labels else [], user)
        answers[row.name] = set(labels)
    return answers


def _compare_labels(files: Path, export: Path, names: Sequence[str], answers: Mapping[str, set[str]]) -> list[str]:
    data = TableDataset(data_root=str(files), img_dir='photos', ann_file=export.name, class_names=names)
    found = {
        Path(path).relative_to(files / 'photos').as_posix(): {names[c] for c in np.flatnonzero(labels == 1)}
        for path, labels in zip(data.img_paths, data.labels, strict=True)
        if (labels >= 0).all()
    }
    return [
        f'{name!r}: {found.get(name)} instead of {answers.get(name)}'
        for name in sorted(answers.keys() | found.keys())
        if found.get(name) != answers.get(name)
    ]
