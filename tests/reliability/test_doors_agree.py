"""The doors on twelve images; `tools/acceptance.sh doors` compares them on 200, ONNX and the commands among them."""

import importlib.util
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from cssa_mm.cli.main import main
from cssa_mm.cli.toolbox import run_tool
from cssa_mm.models import CSSAClassifier

NAMES = [f'{number}.png' for number in range(500, 512)]
_numbers = itertools.count()


@pytest.fixture(scope='module')
def doors():
    """The module of the comparison."""
    path = Path(__file__).with_name('doors_agree.py')
    spec = importlib.util.spec_from_file_location('doors_agree', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def agreements(doors, config, make_model, toy_data, tmp_path, monkeypatch):
    """agreements() -> name -> agreement of every door that needs no process of its own."""
    # The runner writes its config several times, and most of its time would go into beautiful line breaks.
    monkeypatch.setattr('mmengine.config.config.FormatCode', lambda text, **style: (text, True), raising=False)
    monkeypatch.setattr('sys.argv', [])
    model = make_model(view=dict(type='View', size=None))
    with torch.no_grad():
        model.head.bias.copy_(torch.linspace(-2, 2, 6))
        model.teacher.reset(model.scorer())
    own = tmp_path / 'own.py'
    own.write_text(config.read_text().replace("'flip')", "'flip', 'img_path')"))
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'model.pth')

    def test(arguments):
        assert main(['test', *arguments, '--device', 'cpu']) == 0

    def call():
        name = f'experiment_name=doors_{next(_numbers)}'  # runs of one second would share their logs
        return {
            each.door: each
            for each in doors.agreements(
                own,
                tmp_path / 'model.pth',
                [str(toy_data / 'test' / name) for name in NAMES],
                tmp_path,
                {'cssa test': test, 'toolbox test': lambda arguments: run_tool('test', arguments)},
                ['--work-dir', str(tmp_path / 'work'), '--cfg-options', name],
                batch_size=8,
                with_onnx=False,
            )
        }

    return call


def test_every_door_gives_the_same_scores_and_labels(agreements):
    found = agreements()
    assert len(found) == 10
    assert {name: str(each) for name, each in found.items() if not each.is_good} == {}


def test_a_door_that_forgets_calibration_or_thresholds_is_found(agreements, monkeypatch):
    def forgetful(self, inputs, data_samples=None):
        samples = original(self, inputs, data_samples)
        for sample in samples:
            sample.set_pred_score(sample.raw_score)
        return samples

    original = CSSAClassifier.predict
    monkeypatch.setattr(CSSAClassifier, 'predict', forgetful)
    found = agreements()
    assert {name for name, each in found.items() if not each.is_good} == {'cssa test', 'toolbox test'}
    assert found['cssa test'].scores > 0.05

    def halfway(self, inputs, data_samples=None):
        samples = original(self, inputs, data_samples)
        for sample in samples:
            sample.set_pred_label((sample.pred_score >= 0.5).nonzero().flatten())
        return samples

    monkeypatch.setattr(CSSAClassifier, 'predict', halfway)
    found = agreements()
    assert {name for name, each in found.items() if not each.is_good} == {'cssa test', 'toolbox test'}
    assert found['cssa test'].labels > 10


def test_the_verdict_is_by_the_tolerance(doors):
    thresholds = doors.ClassThresholds((0.5, 0.5))
    expected = doors.Answers(np.array([[0.4, 0.5000001]]), np.array([[0.1, 0.2]]), np.array([[False, True]]))
    near = expected._replace(scores=expected.scores + 5e-7, labels=np.array([[False, False]]))
    assert doors.compare('near', near, expected, thresholds, 1e-6).is_good
    assert not doors.compare('far', near, expected, thresholds, 1e-7).is_good
    wrong = expected._replace(labels=np.array([[True, True]]))
    assert doors.compare('wrong', wrong, expected, thresholds, 1e-6).labels == 1
    raw = expected._replace(raw=expected.raw + 1e-3)
    assert not doors.compare('raw', raw, expected, thresholds, 1e-6).is_good
