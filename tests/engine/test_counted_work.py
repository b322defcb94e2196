"""What is frozen is computed once: passes of the towers and decodes of images in a whole training, counted."""

from collections import Counter

import pytest
from mmengine.hooks import Hook

from cssa_mm.datasets.view import View
from cssa_mm.engine.runner import CSSARunner
from cssa_mm.models.alignment_head import LabelAlignmentHead
from cssa_mm.models.clip_backbone import OpenCLIPBackbone


class Steps(Hook):
    """Clears the counts where steps begin, and keeps those of the steps alone."""

    priority = 'VERY_LOW'

    def __init__(self, counts: Counter) -> None:
        self.counts, self.in_steps, self.steps = counts, Counter(), 0

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.before = Counter(self.counts)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.in_steps += self.counts - self.before
        self.steps += 1


@pytest.fixture
def counted(tiny_config, monkeypatch):
    """counted(**overrides) -> the runner after a training without validation, its `Steps`, and all counts."""
    counts: Counter = Counter()

    def count(owner, name):
        original = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *args, **kw: counts.update([name]) or original(*args, **kw))

    count(OpenCLIPBackbone, 'forward')
    count(LabelAlignmentHead, 'text_features')
    count(View, 'transform')

    def train(**overrides):
        config = tiny_config(**overrides)
        config.val_dataloader = config.val_cfg = config.val_evaluator = None
        runner = CSSARunner.from_cfg(config)
        steps = Steps(counts)
        runner.register_hook(steps)
        runner.train()
        return runner, steps, counts

    return train


def test_training_from_kept_features_runs_no_tower_and_reads_no_image(counted):
    runner, steps, counts = counted()
    images = len(runner.train_dataloader.dataset)
    assert steps.steps == 10
    assert steps.in_steps['forward'] == steps.in_steps['transform'] == 0
    assert steps.in_steps['text_features'] == steps.steps
    # Beside the steps: plain and mirrored views once, and one image to know how large features are.
    assert counts['transform'] <= 2 * images + 3


def test_where_nothing_is_kept_a_step_encodes_its_views_once_and_decodes_each_image_once(counted):
    nothing = {'default_hooks.pseudo_labels.feature_cache.gib': 0, 'default_hooks.calibration': None}
    runner, steps, counts = counted(**nothing)
    assert steps.in_steps['forward'] == steps.in_steps['text_features'] == steps.steps == 10
    data = runner.train_dataloader.dataset
    drawn, scored = 10 * 8, 2 * len(data.unlabelled_indices)
    tried = counts['transform'] - drawn - scored - len(data.labelled_indices)  # these calibrate the bias
    assert 0 <= tried <= 3
