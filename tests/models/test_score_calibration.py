"""The map from raw to calibrated scores, and what a checkpoint may say of it."""

import math

import numpy as np
import pytest
import torch

import cssa_mm  # noqa: F401
from cssa_mm.errors import CheckpointError
from cssa_mm.models.score_calibration import ScoreCalibration, ZeroShotCalibration

MAP = ScoreCalibration((0.5, 2.0), (0.3, -1.0), 'platt')


def test_it_is_the_sigmoid_of_a_line_of_the_logit():
    raw = torch.tensor([[0.1, 0.9], [0.5, 0.2]])
    for found, score, slope, offset in ((MAP(raw)[0, 0], 0.1, 0.5, 0.3), (MAP(raw)[1, 1], 0.2, 2.0, -1.0)):
        value = slope * math.log(score / (1 - score)) + offset
        assert float(found) == pytest.approx(1 / (1 + math.exp(-value)), rel=1e-6)
    assert MAP(raw).dtype == torch.float32


def test_no_calibration_returns_the_scores_themselves():
    raw = torch.rand(3, 2)
    assert ScoreCalibration.none(2)(raw) is raw


def test_the_ranking_stays_even_at_the_ends():
    ends = np.array([0, 1e-44, 1e-38, 1e-20, 0.4, 0.9999998, 0.99999994, 1], np.float32)
    raw = torch.from_numpy(np.stack([ends, ends], 1))
    assert (MAP(raw).diff(dim=0) >= 0).all()
    assert (MAP(raw)[:, 0].diff() > 0).all()
    assert MAP(raw).isfinite().all()


def test_plain_data_comes_back():
    assert ScoreCalibration.from_dict(MAP.to_dict(), 2) == MAP
    found = ZeroShotCalibration(30.0, -8.0, 0.3)
    assert ZeroShotCalibration.from_dict(found._asdict()) == found
    assert ZeroShotCalibration.from_dict(None) is None


@pytest.mark.parametrize(
    'content',
    [
        None,
        dict(slope=[1.0, 1.0], offset=[0.0, 0.0]),
        dict(slope=[1.0], offset=[0.0], rule='platt'),
        dict(slope=[1.0, -1.0], offset=[0.0, 0.0], rule='platt'),
        dict(slope=[1.0, 1.0], offset=[0.0, math.nan], rule='platt'),
        dict(slope=['steep', 1.0], offset=[0.0, 0.0], rule='platt'),
    ],
)
def test_a_broken_calibration_is_refused_in_one_line(content):
    with pytest.raises(CheckpointError) as error:
        ScoreCalibration.from_dict(content, 2)
    assert 'calibration' in str(error.value)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('content', [3, dict(slope=1.0), dict(slope=-1.0, offset=0.0, threshold=0.5)])
def test_a_broken_zero_shot_calibration_is_refused(content):
    with pytest.raises(CheckpointError, match='zero_shot'):
        ZeroShotCalibration.from_dict(content)
