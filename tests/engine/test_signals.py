"""A signal ends a training after its step, with a checkpoint that it goes on from."""

import os
import signal
import threading
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook

from cssa_mm.engine import signals
from cssa_mm.engine.runner import CSSARunner
from cssa_mm.engine.signals import StopOnSignal
from cssa_mm.semi import PseudoLabelHook

ALONE = {'val_cfg': None, 'val_dataloader': None, 'val_evaluator': None, 'default_hooks.calibration': None}


class Send(Hook):
    """Sends signals to this process at an event of a step, counted from 1."""

    priority = 'VERY_LOW'

    def __init__(self, step, *numbers, event='before_train_iter'):
        self.step, self.numbers, self.event = step, numbers, event

    def _send(self, runner, event):
        if event == self.event and runner.iter + 1 == self.step:
            for number in self.numbers:
                os.kill(os.getpid(), number)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self._send(runner, 'before_train_iter')

    def before_train_epoch(self, runner):
        self._send(runner, 'before_train_epoch')

    def after_train_epoch(self, runner):
        self._send(runner, 'after_train_epoch')

    def after_train(self, runner):
        self._send(runner, 'after_train')


@pytest.fixture(autouse=True)
def unformatted(monkeypatch):
    monkeypatch.setattr('mmengine.config.config.FormatCode', lambda text, **options: (text, True), raising=False)


@pytest.fixture(autouse=True)
def handlers():
    """Whatever a test does, the handlers are the former ones, also afterwards."""
    before = {number: signal.getsignal(number) for number in signals.SIGNALS}
    yield
    assert {number: signal.getsignal(number) for number in signals.SIGNALS} == before
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def stopped(tiny_config, tmp_path):
    """stopped(hook, **overrides) -> the exit status of a training, its folder and its log."""

    def train(hook, **overrides):
        runner = CSSARunner.from_cfg(tiny_config(**ALONE | overrides))
        runner.register_hook(hook)
        with pytest.raises(SystemExit) as end:
            runner.train()
        folder = Path(runner.work_dir)
        (log,) = folder.glob('*/*.log')
        return end.value.code, folder, log.read_text()

    return train


@pytest.mark.smoke
@pytest.mark.parametrize(('number', 'status'), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_within_an_epoch_saves_its_step_and_training_goes_on_from_it(
    stopped, tiny_config, tmp_path, number, status
):
    code, folder, log = stopped(Send(4, number), **{'default_hooks.checkpoint.interval': 2})
    path = folder / 'iter_4.pth'
    assert code == status
    assert [line for line in log.splitlines() if 'stopped' in line] == [
        line for line in log.splitlines() if line.endswith(f'{number.name}: stopped; go on from {path} with --resume')
    ]
    assert (folder / 'last_checkpoint').read_text().strip() in (str(path), path.name)
    meta = torch.load(path)['meta']
    assert (meta['iter'], meta['epoch']) == (4, 1)
    runner = CSSARunner.from_cfg(tiny_config(**ALONE, resume=True))
    runner.train()
    assert runner.iter == 10
    assert not path.exists()  # epochs are counted again
    whole = CSSARunner.from_cfg(tiny_config(**ALONE, work_dir=str(tmp_path / 'whole')))
    whole.train()
    state = whole.model.state_dict()
    assert [n for n, value in runner.model.state_dict().items() if not torch.equal(value, state[n])] == []


def test_a_checkpoint_by_steps_keeps_its_names(stopped):
    options = dict(by_epoch=False, interval=100, filename_tmpl='step_{}.pth', save_optimizer=False)
    code, folder, _ = stopped(
        Send(3, signal.SIGTERM), **{f'default_hooks.checkpoint.{key}': value for key, value in options.items()}
    )
    assert code == 143
    assert [path.name for path in folder.glob('*.pth')] == ['step_3.pth']
    assert 'optimizer' in torch.load(folder / 'step_3.pth')


def test_the_evidence_of_that_checkpoint_is_fitted(tiny_config):
    """After a step it is stale until somebody fits it again."""
    runner = CSSARunner.from_cfg(tiny_config(**ALONE, **{'model.evidence': dict(type='DiscriminantEvidence')}))
    runner.register_hook(Send(4, signal.SIGTERM))
    with pytest.raises(SystemExit):
        runner.train()
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, PseudoLabelHook))
    assert not hook.semi_supervision.state.evidence_is_stale


@pytest.mark.parametrize(
    ('event', 'step', 'files'),
    [
        ('before_train_epoch', 1, []),  # nothing is trained yet
        ('before_train_epoch', 3, ['epoch_1.pth']),  # the scoring of an epoch may take long, and its steps are saved
        ('after_train_epoch', 7, ['epoch_1.pth', 'epoch_2.pth']),  # after the last step of epoch 2
        ('after_train', 11, ['epoch_2.pth', 'epoch_3.pth']),
    ],
)
def test_where_no_step_would_be_lost_nothing_is_saved_again(stopped, event, step, files):
    code, folder, log = stopped(Send(step, signal.SIGTERM, event=event))
    assert code == 143
    assert sorted(path.name for path in folder.glob('*.pth')) == files
    told = f'go on from {folder / files[-1]} with --resume' if files else 'there is no checkpoint to go on from'
    assert f'SIGTERM: stopped; {told}' in log


def test_without_checkpoints_it_says_so(stopped):
    code, folder, log = stopped(Send(2, signal.SIGINT), **{'default_hooks.checkpoint': None})
    assert (code, list(folder.glob('*.pth'))) == (130, [])
    assert 'SIGINT: stopped; there is no checkpoint to go on from' in log


def test_a_second_signal_ends_the_process_at_once(stopped, monkeypatch, capsys):
    class EndedError(Exception):
        pass

    def end(code):
        raise EndedError(code)

    monkeypatch.setattr(signals.os, '_exit', end)
    with pytest.raises(EndedError, match='130'):
        stopped(Send(4, signal.SIGTERM, signal.SIGINT))
    assert capsys.readouterr().err.splitlines()[-1] == 'SIGINT again: stopped at once'


def test_in_another_thread_signals_are_left_alone(tiny_config):
    runner = CSSARunner.from_cfg(tiny_config(**ALONE, **{'train_cfg.semi_epochs': 0, 'train_cfg.val_begin': 1}))
    found = []

    def enter():
        with StopOnSignal(runner) as stop:
            found.append(stop.before)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [{}]


TWO_RANKS = """
import os, signal, sys
from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from cssa_mm.engine.runner import CSSARunner
class Send(Hook):
    priority = 'VERY_LOW'
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 3 and get_rank() == 1:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)  # as a launcher hands on what the terminal has sent already
runner = CSSARunner.from_cfg(Config.fromfile(sys.argv[1]))
runner.register_hook(Send())
try:
    runner.train()
except SystemExit as end:
    assert (end.code, runner.iter) == (143, 3), (end.code, runner.iter)
else:
    raise SystemExit(5)
"""


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason='where there is CUDA, each process has a GPU of its own')
def test_a_signal_to_one_process_stops_all_of_them_at_its_step(two_ranks, tiny_config, tmp_path):
    tiny_config(**ALONE, launcher='pytorch', work_dir=str(tmp_path / 'two')).dump(tmp_path / 'config.py')
    two_ranks(TWO_RANKS, tmp_path / 'config.py')
    assert torch.load(tmp_path / 'two' / 'iter_4.pth')['meta']['iter'] == 4
