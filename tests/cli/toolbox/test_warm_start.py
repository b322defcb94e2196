"""`load_from` and `--resume`: what a training takes over from a checkpoint, and what it refuses."""

import pytest
import torch
from mmengine.runner import EpochBasedTrainLoop
from mmpretrain.registry import MODELS

from cssa_mm.engine.runner import CSSARunner
from cssa_mm.errors import CheckpointError

AREA = 'Warm start and resume'
NAMES = ['dog', 'cat', 'traffic light', 'red bicycle', 'table', 'window frame']
CONTEXT = 'head.class_prompts.context'


@pytest.fixture
def start(tiny_config, tmp_path, monkeypatch):
    """start(trained_names, **overrides) -> prompts of a checkpoint, and the model that a training has started from it.

    The training takes no step.
    """
    monkeypatch.setattr(EpochBasedTrainLoop, 'run', lambda loop: None)

    def make(trained_names, **overrides):
        config = tiny_config()
        model = MODELS.build(dict(config.model, class_names=trained_names))
        with torch.no_grad():
            model.head.class_prompts.context.add_(1)
            model.head.bias_is_calibrated.fill_(True)
            model.context_head.assignment.fill_(0)
        state = {name: value.clone() for name, value in model.state_dict().items()}
        torch.save(dict(state_dict=state, meta=dict(epoch=1, iter=2), message_hub={}, optimizer={}), tmp_path / 'c.pth')
        runner = CSSARunner.from_cfg(tiny_config(load_from=str(tmp_path / 'c.pth'), **overrides))
        runner.train()
        return state[CONTEXT], runner.model

    return make


@pytest.mark.toolbox(
    AREA,
    '`load_from=C` with the same classes',
    'works',
    "prompts, temperature and the teacher's averages are kept; bias, contexts, taught classes, evidence, thresholds "
    'and calibration are found anew from the labels of this run; optimiser and step count start anew; one line says so',
)
def test_prompts_are_kept_and_what_rests_on_labels_is_not(start):
    prompts, model = start(NAMES)
    assert torch.equal(model.head.class_prompts.context, prompts)
    assert not bool(model.head.bias_is_calibrated)
    assert model.context_head.assignment.tolist() == [-1] * 6


@pytest.mark.toolbox(
    AREA,
    '`load_from=C` with other classes',
    'refused',
    "the line names the difference: `'zebra' is new; 'cat' is missing`, or another order",
)
@pytest.mark.parametrize('names', [[*NAMES[:5], 'door'], NAMES[::-1]])
def test_other_classes_are_refused_by_their_difference(start, names):
    with pytest.raises(CheckpointError, match=r"'window frame' is new; 'door' is missing|the same 6 names in another"):
        start(names)


@pytest.mark.toolbox(
    AREA,
    '`load_from=C strict_classes=False`',
    'works',
    'prompts of the classes of the same name are kept in any order; new classes start as in a fresh model',
)
def test_classes_are_matched_by_name(start):
    prompts, model = start(['door', *NAMES[:0:-1]], strict_classes=False)
    context = model.head.class_prompts.context
    assert torch.equal(context[1:], prompts.flip(0)[:5])
    assert not torch.equal(context[0], prompts[0])


@pytest.mark.toolbox(
    AREA,
    '`--resume` or `cssa test` with other classes',
    'refused',
    'with the difference, whatever `strict_classes` says',
)
def test_a_resume_needs_the_same_classes(start):
    for names in ([*NAMES[:5], 'door'], [*NAMES[:5], 'door', 'window frame']):
        with pytest.raises(CheckpointError, match="'door' is missing"):
            start(names, resume=True, strict_classes=False)


@pytest.mark.toolbox(
    AREA,
    "`load_from` with weights of another model (mmpretrain's ResNet)",
    'refused',
    'only checkpoints of cssa_mm fit',
)
def test_foreign_weights_are_refused(tiny_config, tmp_path, monkeypatch):
    torch.save(dict(state_dict={'backbone.conv1.weight': torch.zeros(64, 3, 7, 7)}), tmp_path / 'resnet.pth')
    runner = CSSARunner.from_cfg(tiny_config(load_from=str(tmp_path / 'resnet.pth')))
    with pytest.raises(CheckpointError, match='found 1 entries that are not of a CSSAClassifier'):
        runner.train()
