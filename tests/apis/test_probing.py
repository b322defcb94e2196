"""The linear probe on the images of a config."""

import numpy as np
import pytest
from mmengine.config import Config
from mmpretrain.registry import DATASETS
from sklearn.metrics import average_precision_score

from cssa_mm.apis.probing import linear_probe
from cssa_mm.cli.main import main
from cssa_mm.errors import ConfigError, DataError


@pytest.fixture
def scores(monkeypatch):
    """The calls of `probe_scores`, and scores of its stead."""
    calls = []
    made = np.random.default_rng(1).random((12, 6))

    def fake(*arguments):
        calls.append(arguments)
        return made if len(calls) == 1 else np.random.default_rng(len(calls)).random((len(arguments[2]), 6))

    monkeypatch.setattr('cssa_mm.engine.cross_fitted_probe.probe_scores', fake)
    return calls, made


def test_it_fits_on_the_labelled_and_tests_on_the_test_images(config, scores):
    """Oracle: scikit-learn's average precision on the labels of the data set."""
    calls, made = scores
    found = linear_probe(config=config, penalty=0.3, device='cpu')
    features, labels, test_features, penalty = calls[0]
    assert [len(fitted) + len(others) for fitted, _, others, _ in calls[1:]] == [16, 16]  # two folds
    settings = Config.fromfile(config)
    train, test = (DATASETS.build(settings[f'{name}_dataloader'].dataset) for name in ('train', 'test'))
    np.testing.assert_array_equal(labels, train.labels[train.is_labelled])
    assert (features.shape, test_features.shape, penalty) == ((16, 16), (12, 16), 0.3)
    np.testing.assert_allclose(np.linalg.norm(np.concatenate([features, test_features]), axis=1), 1, rtol=1e-5)
    shown = [c for c in range(6) if (test.labels[:, c] == 1).any()]
    expected = [average_precision_score(test.labels[:, c], made[:, c]) for c in shown]
    assert found['mAP'] == pytest.approx(100 * np.mean(expected))
    assert found['num_labelled'] == 16
    assert set(found) == {'mAP', 'CF1', 'OF1', 'num_labelled'}


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(penalty=0), '--penalty: found 0, expected a number above 0'),
        (dict(device='gpu'), "device: found 'gpu', expected one of cpu, cuda, mps"),
        (dict(overrides={'model.head.temprature': 1}), "unknown key 'model.head.temprature'"),
    ],
)
def test_wrong_arguments_are_refused(config, options, message):
    with pytest.raises(ConfigError, match=message):
        linear_probe(config=config, **options)


@pytest.mark.parametrize('part', ['train', 'test'])
def test_data_with_the_classes_in_another_order_are_refused(config, part):
    names = Config.fromfile(config).model.class_names[::-1]
    with pytest.raises(DataError, match=f'^{part}_dataloader.dataset: found the classes '):
        linear_probe(config=config, device='cpu', overrides={f'{part}_dataloader.dataset.class_names': names})


@pytest.mark.cli
def test_the_command_prints_the_figures(config, capsys):
    found = linear_probe(config=config, device='cpu')
    capsys.readouterr()
    assert main(['linear-probe', str(config), '--device', 'cpu']) == 0
    expected = '  '.join(f'{name} {found[name]:.2f}' for name in ('mAP', 'CF1', 'OF1'))
    assert capsys.readouterr().out == f'Linear probe, 16 labelled images: {expected}\n'
