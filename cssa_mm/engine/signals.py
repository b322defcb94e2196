"""SIGTERM and Ctrl-C during a training: a checkpoint after the step that is under way, one line, and exit."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.dist import all_reduce, get_world_size, is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.logging import print_log
from mmengine.runner import Runner

from cssa_mm.engine.calendar import Calendar
from cssa_mm.semi.pseudo_label_hook import PseudoLabelHook

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# A launcher hands on what the terminal has sent to each process already.
TOGETHER = 1.0


class StopOnSignal:
    """Within this context a signal stops the training after its step; the exit status is 128 + the signal.

    A second one ends the process at once. Where no step is under way and the last checkpoint has all steps (before
    training, in a validation, after the last epoch), the first one does. Handlers of others are back afterwards. In
    other threads than the main one, signals do as they did.

    Args:
        runner: whose training it is.
    """

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.asked = 0
        self.when = 0.0
        self.first = runner.iter
        self.before: dict[int, Any] = {}

    def __enter__(self) -> StopOnSignal:
        if threading.current_thread() is threading.main_thread():
            self.before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self.before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        # It came after the last step, or a loader's worker did not live to the next one.
        if self.asked and (kind is None or 'DataLoader worker' in str(error)):
            self._exit(_latest(self.runner))

    def stop_if_asked(self, in_epoch: bool = True) -> None:
        """Exit if a signal has come, with a checkpoint of the step that was just made; all ranks must call it.

        Args:
            in_epoch: False between two epochs, where an earlier checkpoint has all steps or the next step ends it.
        """
        asked = self.asked
        if get_world_size() > 1:
            flag = torch.tensor(float(asked), device=get_device())
            all_reduce(flag, 'max')
            asked = int(flag)
        if asked and (in_epoch or not self._loses_steps()):
            self.asked = asked
            self._exit(save_within_epoch(self.runner) if in_epoch else _latest(self.runner))

    def _handle(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self.asked:
            if get_world_size() > 1 and time.monotonic() - self.when < TOGETHER:
                return
            print(f'{name} again: stopped at once', file=sys.stderr, flush=True)
            os._exit(128 + number)  # an exception might be taken for a fault of what is under way; workers end with us
        self.asked, self.when = number, time.monotonic()
        if get_world_size() == 1 and not self._loses_steps():
            self._exit(_latest(self.runner))
        if is_main_process() and sys.stderr.isatty():
            # Not into the log, which may be in use where the signal came.
            print(f'{name}: stopping after the next step; once more: at once', file=sys.stderr, flush=True)

    def _loses_steps(self) -> bool:
        """Whether steps of this run are in no checkpoint yet."""
        runner, hook = self.runner, _checkpoint_hook(self.runner)
        if runner.iter == self.first:
            return False
        path = runner.message_hub.get_info('last_ckpt')
        if hook is None or path is None:
            return True
        is_within = hook.by_epoch and runner.iter != Calendar.of(runner.train_loop).steps(runner.epoch)
        return is_within or Path(path).name != hook.filename_tmpl.format(runner.epoch if hook.by_epoch else runner.iter)

    def _exit(self, checkpoint: str | None) -> None:
        text = f'go on from {checkpoint} with --resume' if checkpoint else 'there is no checkpoint to go on from'
        print_log(f'{signal.Signals(self.asked).name}: stopped; {text}', 'current', logging.WARNING)
        raise SystemExit(128 + self.asked)


def save_within_epoch(runner: Runner) -> str | None:
    """Save a checkpoint of the step that a runner has just made; its path, or None where no hook saves any.

    All ranks must call it, before the loop counts the step. The hook that saves is of no use afterwards.
    """
    hook = _checkpoint_hook(runner)
    if hook is None:
        return None
    for other in runner.hooks:
        if isinstance(other, PseudoLabelHook):
            other.semi_supervision.refresh()  # a checkpoint can be predicted with, too
    if hook.by_epoch:
        hook.by_epoch, hook.filename_tmpl, hook.max_keep_ckpts = False, 'iter_{}.pth', -1
    hook.save_optimizer = hook.save_param_scheduler = True
    hook._save_checkpoint(runner)
    return hook.last_ckpt


def _checkpoint_hook(runner: Runner) -> CheckpointHook | None:
    return next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)


def _latest(runner: Runner) -> str | None:
    return runner.message_hub.get_info('last_ckpt')
