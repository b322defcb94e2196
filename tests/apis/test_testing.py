import json
import pickle

import numpy as np
import pytest
import torch
from mmpretrain.visualization import UniversalVisualizer
from PIL import Image

import cssa_mm
from cssa_mm.errors import CheckpointError, ConfigError


@pytest.fixture
def settings(tiny_overrides, toy_data, tmp_path, plainly_written):
    overrides = tiny_overrides(**{'model.context_head.num_contexts': 2})
    return dict(config='cssa_coco_p05', data_root=toy_data, overrides=overrides, work_dir=tmp_path, device='cpu')


def average_precision(scores, truth):
    """Mean over the positives of the precision at their rank."""
    order = truth[np.argsort(-scores, kind='stable')]
    ranks = np.flatnonzero(order) + 1
    return np.mean(np.arange(1, len(ranks) + 1) / ranks)


@pytest.mark.smoke
def test_a_test_returns_its_metrics(run):
    scores = np.stack([np.asarray(sample['pred_score']) for sample in run.predictions])
    truth = np.stack([np.asarray(sample['gt_score']) for sample in run.predictions])
    shown = np.flatnonzero((truth == 1).any(0))
    expected = 100 * np.mean([average_precision(scores[:, c], truth[:, c]) for c in shown])
    assert run.metrics['ema/mAP'] == pytest.approx(expected, abs=1e-3)


def test_metrics_can_be_written(settings, run, tmp_path):
    checkpoint, out = run.result.checkpoint, tmp_path / 'new' / 'metrics.json'
    found = cssa_mm.test(**settings, checkpoint=checkpoint, out=out, out_item='metrics')
    assert found == pytest.approx(run.metrics)
    assert json.loads(out.read_text()) == pytest.approx(found)


def test_pictures_show_the_labels_that_reach_their_thresholds(settings, run, tmp_path, monkeypatch):
    scores = np.stack([np.asarray(sample['pred_score']) for sample in run.predictions])
    model = cssa_mm.load_model(run.result.checkpoint, device='cpu')
    middle = tuple((np.median(scores, 0) + 1e-4).tolist())
    model.thresholds = model.thresholds._replace(values=middle)
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'model.pth')
    texts, written = [], []

    def watched(self, image, data_sample, **options):
        original(self, image, data_sample, **options)
        texts.append(self.ax_save.texts[-1].get_text().split('Prediction:')[1])
        written.append(options['out_file'])

    original = UniversalVisualizer.visualize_cls
    monkeypatch.setattr(UniversalVisualizer, 'visualize_cls', watched)
    settings['overrides'] |= {'experiment_name': 'pictures'}
    cssa_mm.test(**settings, checkpoint=tmp_path / 'model.pth', show_dir=tmp_path / 'pictures')
    names = model.class_names
    shown = [[name for name in names if f'({name})' in text] for text in texts]
    assert shown == [[name for name, is_one in zip(names, row, strict=True) if is_one] for row in scores >= middle]
    assert len(written) == 12
    assert min(len(labels) for labels in shown) != max(len(labels) for labels in shown)
    with Image.open(written[0]) as picture:
        assert min(picture.size) == 480


def scores_in(path) -> np.ndarray:
    return np.stack([np.asarray(sample['raw_score']) for sample in pickle.loads(path.read_bytes())])


def test_without_a_checkpoint_the_model_is_tested_as_training_would_begin(settings, run, toy_data, tmp_path):
    found = cssa_mm.test(**settings, out=tmp_path / 'start.pkl')
    assert found.keys() == run.metrics.keys()
    assert found['ema/mAP'] == found['student/mAP'] != run.metrics['ema/mAP']
    # The bias is calibrated on the labelled images: mean scores come near the rates, and no order changes.
    settings['overrides'] |= {'default_hooks.pseudo_labels.calibrate_bias': False, 'experiment_name': 'uncalibrated'}
    without = cssa_mm.test(**settings, out=tmp_path / 'uncalibrated.pkl')
    assert without['ema/mAP'] == pytest.approx(found['ema/mAP'])
    shown = json.loads((toy_data / 'train.json').read_text())['annotations']
    rate = len(shown) / (40 * 6)
    calibrated, plain = (scores_in(tmp_path / name).mean() for name in ('start.pkl', 'uncalibrated.pkl'))
    assert abs(calibrated - rate) < 0.1 < abs(plain - rate)


@pytest.mark.parametrize(
    ('arguments', 'error', 'message'),
    [
        (dict(out_item='metrics'), ConfigError, '--out-item: found no --out'),
        (dict(out='scores.csv'), ConfigError, "--out: found 'scores.csv', expected a name that ends with .pkl"),
        (dict(checkpoint='nowhere.pth'), CheckpointError, "checkpoint: found no file 'nowhere.pth'"),
    ],
)
def test_arguments_that_cannot_be_are_refused_in_one_line(settings, arguments, error, message):
    with pytest.raises(error) as found:
        cssa_mm.test(**(settings | arguments))
    assert str(found.value).startswith(message)
    assert '\n' not in str(found.value)


def test_a_checkpoint_of_another_method_is_refused(settings, plus_run):
    with pytest.raises(CheckpointError, match='trained with model.head.shared_prompts true, expected false'):
        cssa_mm.test(**settings, checkpoint=plus_run.result.checkpoint)


def test_where_the_config_has_no_tower_the_one_of_the_checkpoint_is_named(settings, run, tmp_path):
    missing = {'model.backbone.model_name': 'RN50-quickgelu', 'model.backbone.pretrained': str(tmp_path / 'none.pt')}
    settings['overrides'] = settings['overrides'] | missing
    with pytest.raises(
        CheckpointError, match='found no file.*; the checkpoint was trained with another tower: --tower '
    ):
        cssa_mm.test(**settings, checkpoint=run.result.checkpoint)
    with pytest.raises(CheckpointError) as error:
        cssa_mm.test(**settings)
    assert 'another tower' not in str(error.value)
