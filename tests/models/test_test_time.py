"""One prediction from several views: the mean of their logits, calibrated and labelled as one view's are."""

import numpy as np
import pytest
import torch
from mmpretrain.structures import DataSample

from cssa_mm.errors import ConfigError
from cssa_mm.models import AverageViewsTTA
from cssa_mm.models.score_calibration import ScoreCalibration
from cssa_mm.models.thresholds import ClassThresholds

SLOPES, OFFSETS = (0.5, 1.0, 1.5, 2.0, 0.8, 1.2), (0.3, -0.2, 0.0, 0.1, -0.4, 0.2)


@pytest.fixture(scope='module')
def model(make_model):
    model = make_model().eval()
    model.teacher.steps += 1
    with torch.no_grad():  # so that teacher and student differ
        model.head.log_temperature += 0.3
        model.head.bias += torch.linspace(-1, 1, 6)
    model.adopt(ScoreCalibration(SLOPES, OFFSETS, 'platt'), ClassThresholds.default(6))
    return model


@pytest.fixture(scope='module')
def views():
    """Three views of four images; the third one larger than the others."""
    generator = torch.Generator().manual_seed(0)
    sizes = (64, 64, 96)
    return [torch.randint(0, 256, (4, 3, side, side), generator=generator, dtype=torch.uint8) for side in sizes]


def samples():
    return [DataSample(metainfo=dict(image_id=str(index))) for index in range(4)]


def logit(score):
    score = score.double()
    return torch.log(score) - torch.log1p(-score)


def of_each_view(model, views, field):
    """What the model predicts of each view alone: (views, images, classes)."""
    found = [model.test_step(dict(inputs=list(view), data_samples=samples())) for view in views]
    return torch.stack([torch.stack([sample.get(field) for sample in view]) for view in found])


@pytest.mark.parametrize('as_lists', [True, False])
@pytest.mark.parametrize('average', ['logits', 'scores'])
def test_views_are_averaged_before_calibration_and_labels(model, views, average, as_lists):
    inputs = [list(view) for view in views] if as_lists else views
    found = AverageViewsTTA(model, average=average).test_step(dict(inputs=inputs, data_samples=[samples()] * 3))
    assert [sample.image_id for sample in found] == ['0', '1', '2', '3']
    for field in ('raw_score', 'student_score'):
        scores = of_each_view(model, views, field)
        mean = torch.sigmoid(logit(scores).mean(0)) if average == 'logits' else scores.double().mean(0)
        assert torch.allclose(torch.stack([sample.get(field) for sample in found]).double(), mean, atol=2e-6)
    raw = torch.stack([sample.raw_score for sample in found])
    calibrated = torch.sigmoid(torch.tensor(SLOPES).double() * logit(raw) + torch.tensor(OFFSETS).double())
    assert torch.allclose(torch.stack([sample.pred_score for sample in found]).double(), calibrated, atol=1e-5)
    for sample in found:
        assert sample.pred_label.tolist() == np.flatnonzero(sample.pred_score.numpy() >= 0.5).tolist()


def test_the_two_averages_differ(model, views):
    scores = []
    for average in ('logits', 'scores'):
        data = dict(inputs=views, data_samples=[samples()] * 3)
        found = AverageViewsTTA(model, average=average).test_step(data)
        scores.append(torch.stack([sample.raw_score for sample in found]))
    first, second = scores
    assert (first - second).abs().max() > 1e-5


def test_one_view_is_predicted_as_without(model, views):
    found = AverageViewsTTA(model).test_step(dict(inputs=views[:1], data_samples=[samples()]))
    for field in ('pred_score', 'raw_score', 'student_score'):
        assert torch.equal(
            torch.stack([sample.get(field) for sample in found]), of_each_view(model, views[:1], field)[0]
        )


def test_a_view_that_the_tower_refuses_is_named_with_the_key(model, views, monkeypatch):
    def refuse(images):
        raise ConfigError('view.size: found images of 96 x 96, which this tower cannot take')

    monkeypatch.setattr(model.backbone, 'forward', refuse)
    with pytest.raises(ConfigError, match='tta_pipeline: found a view of 96 x 96, which the tower refuses, expected'):
        AverageViewsTTA(model).test_step(dict(inputs=views[2:], data_samples=[samples()]))


def test_an_unknown_average_is_refused(model):
    with pytest.raises(ConfigError, match="tta_model.average: found 'mean', expected 'logits' or 'scores'"):
        AverageViewsTTA(model, average='mean')
