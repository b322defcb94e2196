"""Checkpoints that survive: at each moment of a save a whole one is there, under the name that is written down."""

import logging
import os
import resource
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import config as texts
from mmengine.fileio import LocalBackend
from mmengine.hooks import Hook
from mmengine.logging import MessageHub

from cssa_mm.engine import CSSACheckpointHook, CSSARunner
from cssa_mm.errors import CheckpointError, ConfigError

BLIND = {'val_cfg': None, 'val_dataloader': None, 'val_evaluator': None}
# 2 + 4 + 4 steps; a checkpoint after each.
BY_STEP = {'by_epoch': False, 'interval': 1, 'max_keep_ckpts': 1}


@pytest.fixture
def train(tiny_config, tmp_path, monkeypatch):
    """train(checkpoint options, hooks, **overrides) -> the runner of a training in tmp_path / 'run'."""
    monkeypatch.setattr(texts, 'FormatCode', lambda text, **_: (text, True), raising=False)  # takes seconds

    def run(options=None, hooks=(), **overrides):
        keys = {'default_hooks.calibration.rule': 'none'}
        keys |= {f'default_hooks.checkpoint.{key}': value for key, value in (options or {}).items()}
        runner = CSSARunner.from_cfg(tiny_config(**(keys | overrides)))
        for hook in hooks:
            runner.register_hook(hook)
        runner.train()
        return runner

    return run


def checkpoints(tmp_path):
    return sorted(path.name for path in (tmp_path / 'run').glob('*.pth'))


class StopAfter(Hook):
    """Ends a training as ctrl-c does."""

    priority = 'LOWEST'

    def __init__(self, epoch):
        self.epoch = epoch

    def after_train_epoch(self, runner):
        if runner.epoch + 1 == self.epoch:
            raise KeyboardInterrupt


def test_each_moment_of_a_save_has_a_whole_checkpoint_under_its_name(train, tmp_path, monkeypatch):
    run, moments, synced, whole = tmp_path / 'run', [], set(), set()

    def look(when):
        found = [path for path in run.glob('*.pth') if not path.name.startswith(('.', 'best_'))]
        best = list(run.glob('best_*.pth'))
        for path in [*found, *best]:
            facts = path, path.stat().st_ino, path.stat().st_size
            if facts not in whole:
                torch.load(path, weights_only=True)
            whole.add(facts)
        named = run / 'last_checkpoint'
        if named.is_file():
            assert (run / named.read_text()).is_file(), when
        assert len(found) <= 2, when
        assert len(best) <= 2, when
        had = moments[-1][1:] if moments else (False, False)
        moments.append((when, had[0] or named.is_file(), had[1] or bool(best)))
        assert named.is_file() == moments[-1][1], when  # once there is one, there is one
        assert bool(best) == moments[-1][2], when

    def watched(module, name):
        real = getattr(module, name)

        def call(*arguments):
            place = str(arguments[0 if module is os else 1])
            if name == 'fsync':
                place = os.readlink(f'/proc/self/fd/{arguments[0]}')
                synced.add(place)
            if str(run) not in place or 'jsonl' in place:
                return real(*arguments)
            if name == 'replace':
                assert place in synced  # a name is given to what is on the disk
            look(f'before {name} {place}')
            result = real(*arguments)
            look(f'after {name} {place}')
            return result

        monkeypatch.setattr(module, name, call)

    for module, name in ((os, 'fsync'), (os, 'replace'), (LocalBackend, 'remove')):
        watched(module, name)
    monkeypatch.setattr(CSSACheckpointHook, 'rule_map', dict(greater=lambda *_: True))  # each is the best so far
    options = BY_STEP | dict(interval=2, save_best='ema/mAP')
    train(options, **{'train_cfg.val_begin': 1, 'train_cfg.val_interval': 1})
    kinds = {when.split()[1] for when, *_ in moments}
    assert kinds == {'fsync', 'replace', 'remove'}
    assert str(run) in synced  # and the name, too
    last, best = checkpoints(tmp_path)[::-1][:1], checkpoints(tmp_path)[:1]
    assert last == ['iter_10.pth']
    assert best[0].startswith('best_ema_mAP_iter_')
    assert len(checkpoints(tmp_path)) == 2


class LimitFiles(Hook):
    """Lets no file grow beyond half of a checkpoint in some steps, as a full disk does."""

    priority = 'VERY_HIGH'

    def __init__(self, steps):
        self.steps, self.limits = steps, resource.getrlimit(resource.RLIMIT_FSIZE)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        soft = self.limits[0]
        if runner.iter + 1 in self.steps:
            soft = self.half(runner)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, self.limits[1]))

    @staticmethod
    def half(runner):
        return min(path.stat().st_size for path in Path(runner.work_dir).glob('iter_*.pth')) // 2


@pytest.fixture
def file_limit():
    """Afterwards files grow again."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_ends_the_training_in_one_line_and_leaves_the_previous_checkpoint(train, tmp_path, file_limit):
    run = tmp_path / 'run'
    with pytest.raises(CheckpointError) as error:
        train(BY_STEP, [LimitFiles({3})], **BLIND)
    assert str(error.value) == (
        f"checkpoint: cannot write '{run / 'iter_3.pth'}' (File too large), expected room for it; "
        f"'{run / 'iter_2.pth'}' is whole; make room and go on with --resume, or train on without it: "
        'default_hooks.checkpoint.on_failed_save=go_on'
    )
    assert checkpoints(tmp_path) == ['iter_2.pth']
    assert (run / 'last_checkpoint').read_text() == 'iter_2.pth'
    assert torch.load(run / 'iter_2.pth', weights_only=True)['progress']['epoch'] == 0


def test_by_a_key_training_goes_on_and_tries_again_at_the_next_checkpoint(train, tmp_path, file_limit):
    options = BY_STEP | dict(on_failed_save='go_on', interval=2, save_best='ema/mAP')
    runner = train(options, [LimitFiles({4, 6, 7, 8})], **{'train_cfg.val_begin': 1})
    assert runner.iter == 10
    assert checkpoints(tmp_path) == ['best_ema_mAP_iter_10.pth', 'iter_10.pth']
    assert runner.message_hub.get_info('last_ckpt').endswith('iter_10.pth')
    (log,) = (tmp_path / 'run').glob('*/*.log')
    failed = [line for line in log.read_text().splitlines() if 'cannot write' in line]
    assert [line.partition('/run/')[2].partition("'")[0] for line in failed] == [
        'iter_4.pth',
        'iter_6.pth',
        'iter_8.pth',
    ]
    assert all("iter_2.pth' is whole; training goes on, and tries again at the next one" in line for line in failed)


def test_a_training_whose_last_checkpoint_fails_ends_with_an_error(train, tmp_path, file_limit):
    run = tmp_path / 'run'
    with pytest.raises(CheckpointError) as error:
        train(BY_STEP | dict(on_failed_save='go_on', interval=2), [LimitFiles({8, 10})], **BLIND)
    assert str(error.value) == (
        f"checkpoint: cannot write '{run / 'iter_10.pth'}' (File too large), expected room for it; "
        f"'{run / 'iter_6.pth'}' is whole; make room and go on with --resume"
    )
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.getrlimit(resource.RLIMIT_FSIZE)[1],) * 2)
    runner = train(BY_STEP | dict(interval=2), resume=True, **BLIND)
    assert runner.iter == 10
    assert 'iter_10.pth' in checkpoints(tmp_path)


class Better(Hook):
    """Each validation is better than the one before."""

    priority = 'HIGHEST'
    best = None

    def after_val_epoch(self, runner, metrics=None):
        metrics['ema/mAP'] = float(runner.epoch)

    def before_train_epoch(self, runner):
        self.best = sorted(path.name for path in Path(runner.work_dir).glob('best_*'))


def test_a_better_checkpoint_takes_the_place_of_the_best_one_where_no_other_is_written(train, tmp_path):
    hook = Better()
    train(dict(save_best='ema/mAP', interval=9), [hook], **{'train_cfg.val_begin': 1, 'train_cfg.val_interval': 1})
    assert hook.best == ['best_ema_mAP_epoch_2.pth']
    assert checkpoints(tmp_path) == ['best_ema_mAP_epoch_3.pth', 'epoch_3.pth']


def test_max_keep_ckpts_holds_after_a_resume_and_half_written_files_go(train, tmp_path):
    run = tmp_path / 'run'
    options = dict(max_keep_ckpts=2)
    with pytest.raises(KeyboardInterrupt):
        train(options, [StopAfter(2)], resume=True, **BLIND)
    assert "Nothing to resume: '" in next(run.glob('*/*.log')).read_text()
    assert checkpoints(tmp_path) == ['epoch_1.pth', 'epoch_2.pth']
    (run / '.epoch_3.77.tmp.pth').write_bytes(b'half')
    train(options, resume=True, **BLIND)
    assert checkpoints(tmp_path) == ['epoch_2.pth', 'epoch_3.pth']


def test_a_shorter_run_leaves_none_of_the_longer_one_before_and_other_files_stay(train, tmp_path):
    run, keep = tmp_path / 'run', dict(max_keep_ckpts=-1, save_best='ema/mAP')
    train(keep, **{'train_cfg.val_begin': 3})
    assert checkpoints(tmp_path) == ['best_ema_mAP_epoch_3.pth', *(f'epoch_{epoch}.pth' for epoch in (1, 2, 3))]
    (run / 'mine.pth').write_bytes(b'')
    change = {'train_cfg.semi_epochs': 1, **BLIND, 'default_hooks.checkpoint.save_best': None}
    with pytest.raises(ConfigError, match='of another config'):
        train(keep, **change)
    assert len(checkpoints(tmp_path)) == 5
    train(keep, on_used_work_dir='overwrite', **change)
    assert checkpoints(tmp_path) == ['epoch_1.pth', 'epoch_2.pth', 'mine.pth']


def test_a_run_that_starts_from_a_checkpoint_of_its_folder_keeps_it(train, tmp_path):
    short = {'train_cfg.semi_epochs': 1, **BLIND}
    train(**short)
    train(
        load_from=str(tmp_path / 'run' / 'epoch_2.pth'),
        **{'train_cfg.semi_epochs': 0},
        **BLIND,
        on_used_work_dir='overwrite',
    )
    assert checkpoints(tmp_path) == ['epoch_1.pth', 'epoch_2.pth']


def test_a_resumed_run_replaces_what_came_after_its_checkpoint(train, tmp_path):
    run = tmp_path / 'run'
    train(dict(max_keep_ckpts=-1), **BLIND)
    with pytest.raises(KeyboardInterrupt):
        train(dict(max_keep_ckpts=-1), [StopAfter(2)], resume=True, load_from=str(run / 'epoch_1.pth'), **BLIND)
    assert checkpoints(tmp_path) == ['epoch_1.pth', 'epoch_2.pth']
    assert (run / 'last_checkpoint').read_text() == 'epoch_2.pth'


@pytest.mark.parametrize('several', [False, True])
def test_a_copied_run_takes_its_best_checkpoint_along(tmp_path, several):
    """Else it would remove that of the run that it was copied from."""
    names = ['ema/mAP', 'ema/CF1'] if several else 'ema/mAP'
    hook = CSSACheckpointHook(save_best=names, rule='greater')
    keys = [f'best_ckpt_{name}' for name in names] if several else ['best_ckpt']
    hub = MessageHub.get_instance(f'copied_{several}')
    for key in keys:
        hub.update_info(key, '/elsewhere/best_epoch_3.pth')
    hook.before_train(SimpleNamespace(work_dir=str(tmp_path), message_hub=hub, logger=logging.getLogger()))
    found = hook.best_ckpt_path_dict.values() if several else [hook.best_ckpt_path]
    assert set(found) == {str(tmp_path / 'best_epoch_3.pth')}


@pytest.mark.parametrize('kind', ['CheckpointHook', 'mmengine.CheckpointHook', 'CSSACheckpointHook'])
def test_the_runner_puts_it_in_the_place_of_mmengine_s_own(tiny_config, kind):
    config = tiny_config(**{'default_hooks.checkpoint.type': kind, 'default_hooks.checkpoint.interval': 7})
    config.custom_hooks = [dict(type=kind, by_epoch=False, interval=3)]
    found = [hook for hook in CSSARunner.from_cfg(config).hooks if isinstance(hook, CSSACheckpointHook)]
    assert sorted(hook.interval for hook in found) == [3, 7]


@pytest.mark.parametrize(
    ('options', 'line'),
    [
        (
            dict(on_failed_save='goon'),
            "on_failed_save: found 'goon', expected 'stop' or 'go_on'. Did you mean 'go_on'",
        ),
        (dict(max_keep_ckpt=1), "found the unknown key 'max_keep_ckpt', .* Did you mean 'max_keep_ckpts'"),
    ],
)
def test_what_it_does_not_know_is_refused(options, line):
    with pytest.raises(ConfigError, match=f'^default_hooks.checkpoint.*{line}'):
        CSSACheckpointHook(**options)
