"""A run that stops anywhere and goes on ends like one that did not stop, bit by bit.

The tests resume a few of the cases; `bash tools/acceptance.sh resume` resumes each of them at ten points.
"""

import itertools
import json
import os
import random

import numpy as np
import pytest
import torch
from mmengine.config import config as texts
from mmengine.hooks import Hook

from cssa_mm.engine import CSSARunner
from cssa_mm.engine.progress import KEY
from cssa_mm.files import write_text
from cssa_mm.semi.semi_supervision import SemiSupervision

IS_FULL = 'CSSA_RESUME' in os.environ
PLUS = {
    'model.evidence': dict(type='DiscriminantEvidence'),
    'model.neighbours': dict(type='Neighbours', k=5),
    'model.context_head': None,
}
# One warm-up epoch of 2 steps, two later ones of 4; a checkpoint after each step.
STEPS = range(1, 11)
EVERY_STEP = dict(type='CheckpointHook', by_epoch=False, interval=1, max_keep_ckpts=-1)
COMMON = {
    'default_hooks.checkpoint': EVERY_STEP,
    'default_hooks.calibration.rule': 'none',
    'custom_hooks': [dict(type='EarlyStoppingHook', monitor='ema/mAP', patience=9, rule='greater')],
    'train_cfg.val_begin': 1,
    'train_cfg.val_interval': 1,
    'log_processor.window_size': 3,
}
METHODS = dict(cssa={}, cssa_plus=PLUS, calibrated={'default_hooks.pseudo_labels.policy.name': 'calibrated'})
CASES = [
    (method, workers, gib, tower)
    for method, workers, gib, tower in itertools.product(METHODS, (0, 2), (1.0, 0.0), ('tiny-rn', 'tiny-vit'))
    if method != 'calibrated' or (workers, gib, tower) == (0, 1.0, 'tiny-rn')
]
FAST = {
    ('cssa', 0, 1.0, 'tiny-rn'): (1, 5),
    ('cssa_plus', 2, 0.0, 'tiny-rn'): (6, 8),
    ('calibrated', 0, 1.0, 'tiny-rn'): (3, 10),
}


class Witness(Hook):
    """Writes down what each step sees, loses and draws."""

    priority = 'HIGH'

    def __init__(self):
        self.steps = {}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        seen = [(sample.image_id, sample.get('flip')) for sample in data_batch['data_samples']]
        # Nothing of ours draws from the global generators within a step: a user's head may.
        self.drawn = [torch.rand(1).item(), float(np.random.rand()), random.random()]
        self.now = [batch_idx, seen]

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        losses = {name: value.item() for name, value in outputs.items()}
        hub = runner.message_hub.log_scalars['train/loss']
        self.steps[runner.iter + 1] = [*self.now, self.drawn, losses, float(hub.mean(3))]


@pytest.fixture
def train(tiny_config, backbone_config, monkeypatch):
    """train(folder, case, resume=None) -> what each step of a training saw."""
    monkeypatch.setattr(texts, 'FormatCode', lambda text, **_: (text, True), raising=False)  # takes seconds

    def run(folder, case=('cssa', 0, 1.0, 'tiny-rn'), resume=None, **overrides):
        method, workers, gib, tower = case
        options = {
            'work_dir': str(folder),
            'resume': resume is not None,
            'load_from': None if resume in (None, True) else str(resume),
            'train_dataloader.num_workers': workers,
            'default_hooks.pseudo_labels.feature_cache': dict(gib=gib),
            'model.backbone': dict(backbone_config(tower), _delete_=True),
        }
        witness = Witness()
        config = tiny_config(**COMMON, **METHODS[method], **options)
        config.merge_from_dict(overrides)
        runner = CSSARunner.from_cfg(config)
        runner.register_hook(witness)
        runner.train()
        return witness.steps

    return run


@pytest.fixture(scope='module')
def whole_runs():
    return {}


@pytest.fixture
def whole(train, whole_runs, tmp_path_factory):
    """whole(case) -> folder and steps of a run that did not stop."""

    def get(case):
        if case not in whole_runs:
            folder = tmp_path_factory.mktemp('whole')
            whole_runs[case] = folder, train(folder, case)
        return whole_runs[case]

    return get


def content(path):
    """A checkpoint without times and paths."""
    found = torch.load(path, weights_only=True)
    for key in ('time', 'cfg', 'experiment_name'):
        del found['meta'][key]
    told = found['message_hub']['runtime_info']
    found['message_hub'] = {key: told[key] for key in told.keys() - {'cfg', 'experiment_name', 'last_ckpt', 'eta'}}
    history = found[KEY]['log_history']
    for name in [name for name in history if 'time' in name]:
        del history[name]
    return found


def assert_same(first, second, path=''):
    if isinstance(first, dict):
        assert first.keys() == second.keys(), path
        for key in first:
            assert_same(first[key], second[key], f'{path}.{key}')
    elif isinstance(first, list | tuple):
        assert len(first) == len(second), path
        for index, pair in enumerate(zip(first, second, strict=True)):
            assert_same(*pair, f'{path}[{index}]')
    elif isinstance(first, torch.Tensor):
        assert torch.equal(torch.nan_to_num(first), torch.nan_to_num(second)), path
    else:
        assert first == second, path


def records(folder):
    path = folder / 'pseudo_labels.jsonl'
    return [json.loads(line) for line in path.read_text().splitlines()]


def assert_goes_on(whole, folder, steps, step):
    """Whether a run that was resumed after a step went on like the whole one."""
    expected, wanted = whole
    assert steps == {number: wanted[number] for number in STEPS if number > step}
    for number in STEPS:
        if number > step:
            assert_same(content(expected / f'iter_{number}.pth'), content(folder / f'iter_{number}.pth'))


POINTS = [
    pytest.param(case, step, marks=[pytest.mark.smoke] * (case[0] == 'calibrated' and step == 3))
    for case in CASES
    for step in (STEPS if IS_FULL else FAST.get(case, ()))
]


@pytest.mark.parametrize(('case', 'step'), POINTS)
def test_a_run_goes_on_bitwise_after_any_step(train, whole, tmp_path, case, step):
    folder, _ = whole(case)
    steps = train(tmp_path, case, resume=folder / f'iter_{step}.pth')
    assert_goes_on(whole(case), tmp_path, steps, step)
    if step < 10:
        epoch = 1 if step <= 2 else 2 if step <= 6 else 3
        own = [record for record in records(folder) if record['epoch'] > epoch] if epoch < 3 else []
        assert (records(tmp_path) if own else []) == own


@pytest.mark.parametrize('point', ['scoring', 'epoch'])
def test_a_run_that_stops_in_scoring_or_between_epochs_goes_on_in_its_folder(
    train, whole, tmp_path, monkeypatch, point
):
    """The records of its epochs stand once."""
    case = ('calibrated', 0, 1.0, 'tiny-rn')
    folder, _ = whole(case)
    calls = itertools.count()

    def stop(self, *arguments):
        if next(calls) == 1:  # the second semi-supervised epoch
            raise KeyboardInterrupt
        return begin(self, *arguments)

    name = 'begin_epoch' if point == 'epoch' else 'score'
    begin = getattr(SemiSupervision, name)
    with monkeypatch.context() as patch:
        patch.setattr(SemiSupervision, name, stop)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, case)
    at = int((tmp_path / 'last_checkpoint').read_text().removeprefix('iter_').removesuffix('.pth'))
    assert at in (2, 6)
    steps = train(tmp_path, case, resume=True)
    assert_goes_on(whole(case), tmp_path, steps, at)
    assert records(tmp_path) == records(folder)


def test_zero_and_two_workers_agree_and_may_change_in_the_middle(train, whole, tmp_path):
    case = ('calibrated', 0, 1.0, 'tiny-rn')
    folder, _ = whole(case)
    steps = train(tmp_path, ('calibrated', 2, 1.0, 'tiny-rn'), resume=folder / 'iter_4.pth')
    assert_goes_on(whole(case), tmp_path, steps, 4)


def test_a_folder_that_was_copied_goes_on_in_itself(train, whole, tmp_path):
    case = ('calibrated', 0, 1.0, 'tiny-rn')
    folder, _ = whole(case)
    copied = tmp_path / 'copied'
    copied.mkdir()
    for name in ('iter_9.pth', 'pseudo_labels.jsonl'):
        (copied / name).write_bytes((folder / name).read_bytes())
    write_text(copied / 'last_checkpoint', str(folder / 'iter_9.pth'))  # as earlier versions wrote it
    before = (folder / 'iter_10.pth').stat().st_mtime_ns
    steps = train(copied, case, resume=True)
    assert_goes_on(whole(case), copied, steps, 9)
    assert (copied / 'last_checkpoint').read_text() == 'iter_10.pth'
    assert (folder / 'iter_10.pth').stat().st_mtime_ns == before
    assert records(copied) == records(folder)


def test_another_number_of_processes_goes_on_and_says_in_what_it_differs(in_two_ranks, fork_server, config, tmp_path):
    options = ['--cfg-options', 'default_hooks.checkpoint.by_epoch=False', 'default_hooks.checkpoint.interval=4']
    options += [
        'default_hooks.calibration.rule=none',
        'report=False',
        'train_cfg.val_begin=9',
        'train_cfg.semi_epochs=1',
    ]
    two, one = tmp_path / 'two', tmp_path / 'one'
    for done in in_two_ranks('tools/train.py', config, '--work-dir', two, '--launcher', 'pytorch', *options):
        assert done.returncode == 0, done.stderr[-3000:]
    resumed = [config, '--work-dir', one, '--resume', two / 'iter_4.pth', *options]
    (done,) = fork_server.run(['tools/train.py', *resumed])
    assert done.returncode == 0, done.stderr[-3000:]
    assert 'Resumed with 1 process from a checkpoint of 2 processes: global batches, their' in done.stdout
    first, second = (torch.load(folder / 'iter_6.pth', weights_only=True) for folder in (two, one))
    assert [len(content[KEY]['generators']) for content in (first, second)] == [2, 1]
    assert first[KEY]['order'] == second[KEY]['order']
    assert_same(first[KEY]['pseudo_labels']['labels'], second[KEY]['pseudo_labels']['labels'])
    for name, value in first['state_dict'].items():
        torch.testing.assert_close(value, second['state_dict'][name], atol=1e-4, rtol=1e-3)
    assert not (one / 'pseudo_labels.jsonl').is_file()  # the epoch is that of the checkpoint
