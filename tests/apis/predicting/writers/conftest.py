"""Predicted images that a test makes up."""

from pathlib import Path

import numpy as np
import pytest

from cssa_mm.apis.predicting.rows import PredictedImage


def facts_of(class_names, **more):
    """Facts of a made-up model."""
    count = len(class_names)
    return (
        dict(
            made_by='cssa_mm 1.0',
            class_names=list(class_names),
            prompts=[f'a {name}' for name in class_names],
            zero_shot_names=[],
            thresholds=dict(values=[0.5] * count, rule='f1', positives=[3] * count, sources=['own'] * count),
            calibration=dict(slope=[1.0] * count, offset=[0.0] * count, rule='platt'),
            view=dict(size=224),
            input_size=[224, 224],
            tower=dict(model_name='RN50', pretrained='openai', weights_hash='abc'),
        )
        | more
    )


def rows_of(class_names, labels, folder='/photos', names=None, seed=0):
    """A row for each list of labels; classes with the label are scored above .5, the others below."""
    draw = np.random.default_rng(seed)
    rows = []
    for index, shown in enumerate(labels):
        is_label = np.array([name in shown for name in class_names])
        scores = (draw.uniform(0.01, 0.49, len(class_names)) + 0.5 * is_label).astype(np.float32)
        name = names[index] if names else f'{index:03}.jpg'
        ordered = tuple(each for each in class_names if each in shown)
        rows.append(PredictedImage(name, str(Path(folder, name)), ordered, scores, scores**2))
    return rows


@pytest.fixture
def make_facts():
    return facts_of


@pytest.fixture
def make_rows():
    return rows_of
