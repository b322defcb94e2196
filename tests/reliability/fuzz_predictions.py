"""The readers of predictions that are fuzzed: tables, dumps of a test, thresholds."""

import json
import random
from pathlib import Path

import mmengine
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from cssa_mm.apis.predicting.read_back import read_predictions
from cssa_mm.apis.predicting.threshold_file import read_thresholds
from cssa_mm.apis.predicting.writers.score_table import METADATA
from cssa_mm.apis.toolbox import predictions
from cssa_mm.errors import CSSAError
from tests.reliability.fuzz_wounds import in_value
from tests.reliability.fuzzing import Reader

NAMES = ['sun', 'dining table', 'Müller']


def write_predictions(folder: Path) -> None:
    thresholds = dict(values=[0.5] * 3, rule='f1', positives=[1, 2, 3])
    facts = dict(
        class_names=NAMES, zero_shot_names=[], thresholds=thresholds, choice=dict(thresholds=thresholds, how='f1')
    )
    columns = dict(image=['a.jpg', 'b.jpg']) | {name: pa.array([0.25, 0.75], pa.float32()) for name in NAMES}
    says = dict(image_column='image', scores='calibrated', facts=facts)
    table = pa.table(columns).replace_schema_metadata({METADATA: json.dumps(says).encode()})
    pq.write_table(table, folder / 'scores.parquet')
    (folder / 'scores.csv').write_text(
        'image,' + ','.join(NAMES) + '\na.jpg,0.25,0.5,0.125\nb.jpg,0.75,0.5,0.25\n', 'utf-8'
    )
    (folder / 'predictions.csv').write_text('image,labels\na.jpg,sun;Müller\nb.jpg,none\n', 'utf-8')
    (folder / 'model.json').write_text(json.dumps(facts), 'utf-8')


def wound_parquet(rng: random.Random, folder: Path) -> None:
    """Another tree of facts in the metadata, or columns of another type or name."""
    table = pq.read_table(folder / 'scores.parquet')
    says = json.loads(table.schema.metadata[METADATA])
    if rng.random() < 0.5:
        try:
            says = json.dumps(in_value(rng, says)).encode()
        except (TypeError, ValueError):
            says = b'{'
        table = table.replace_schema_metadata({METADATA: says})
    else:
        kinds = [
            pa.array([None, None]),
            pa.array([[1.0], []]),
            pa.array(['a', None]),
            pa.array([2, 3]),
            pa.array([b'\xff', b'']),
        ]
        kinds += [
            pa.array([float('nan'), 0.5]),
            pa.array([None, 0.5]),
            pa.array([{'a': 1}, None]),
            pa.array(['a', 'b']),
        ]
        kinds += [pa.array(['x', 'y']).dictionary_encode(), pa.array([True, False]), pa.array([0.5, 0.5], pa.float64())]
        place = rng.randrange(len(table.column_names))
        name = rng.choice([*table.column_names, '', 'x'])
        table = table.set_column(place, name, rng.choice(kinds))
        table = table if rng.random() < 0.8 else table.slice(0, rng.randrange(2))
    pq.write_table(table, folder / 'scores.parquet')


def read_written(folder: Path) -> None:
    failure = None
    for name in ('scores.parquet', 'scores.csv', 'predictions.csv'):
        try:
            read_predictions(folder / name)
        except CSSAError as error:
            failure = error
    if failure is not None:
        raise failure


def write_pickle(folder: Path) -> None:
    sample = dict(
        image_id='a', img_path='a.jpg', gt_score=torch.tensor([1.0, 0, -1]), pred_score=torch.tensor([0.2, 0.9, 0.5])
    )
    mmengine.dump([sample | dict(pred_label=torch.tensor([1]))], folder / 'p.pkl')
    plain = {key: value.tolist() if hasattr(value, 'tolist') else value for key, value in sample.items()}
    mmengine.dump([plain | dict(pred_label=[1])], folder / 'p.json')


PREDICTIONS: dict[str, Reader] = {
    'predictions': Reader(write_predictions, read_written, wound_parquet),
    'dumped predictions': Reader(
        write_pickle, lambda folder: predictions.read(str(folder / 'p.pkl')) and None, suffixes=('.pkl',)
    ),
    'dumped json': Reader(
        write_pickle, lambda folder: predictions.read(str(folder / 'p.json')) and None, suffixes=('.json',)
    ),
    'thresholds': Reader(
        lambda folder: (folder / 't.csv').write_text('class,threshold\nsun,0.5\nmoon,0.25\n') and None,
        lambda folder: read_thresholds(str(folder / 't.csv')) and None,
    ),
}
