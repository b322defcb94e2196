"""What happens where a loss, a gradient or the model itself is NaN or infinite."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.dist import all_gather_object, broadcast_object_list, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

from cssa_mm.engine.finite_steps import Fault
from cssa_mm.engine.replays import save_replay
from cssa_mm.errors import ConfigError, NonFiniteError, nearest, require_whole_number
from cssa_mm.semi.pseudo_label_hook import bare_model

ACTIONS = ('stop', 'skip')


@HOOKS.register_module()
class NonFiniteHook(Hook):
    """Stops a training within the step whose loss or gradients are not finite, before the optimiser moves.

    A file of the step goes into the work directory, and the message ends with the command that computes it again
    (`cssa replay`). The last checkpoint is good. With mixed precision, gradients that overflow while the scale of the
    loss is looked for are normal.

    Args:
        action: 'stop', or 'skip' to leave such steps out, with a warning, and to count them. A step that is left out
            moves neither teacher nor schedules.
        most_skipped: training stops at the step after so many.

    Raises:
        ConfigError: an option is invalid.
    """

    priority = 'HIGH'

    def __init__(self, action: str = 'stop', most_skipped: int = 10) -> None:
        if action not in ACTIONS:
            raise ConfigError(
                f'default_hooks.non_finite.action: found {action!r}, expected one of {", ".join(ACTIONS)}.'
                f'{nearest(str(action), ACTIONS)}'
            )
        require_whole_number('default_hooks.non_finite.most_skipped', most_skipped)
        self.action = action
        self.most_skipped = most_skipped
        self.skipped: list[int] = []  # numbers of steps, from 1

    def on_fault(self, runner: Runner, fault: Fault, where: str) -> None:
        """Stop before a step, or return so that it is left out; all ranks must call it."""
        step = runner.iter + 1
        place = where or f'step {step} of epoch {runner.epoch + 1}'
        is_last = self.action == 'stop' or len(self.skipped) >= self.most_skipped
        text = 'a loss or gradient that is not finite'
        if is_last or not self.skipped:
            text = self._save(runner, fault, where)
        if is_last:
            before = f', after {len(self.skipped)} that were skipped' if self.skipped else ''
            raise NonFiniteError(f'{place}: {text}{before}')
        self.skipped.append(step)
        left = self.most_skipped - len(self.skipped)
        print_log(
            f'{place}: {text}; skipped, as {len(self.skipped)} so far; training stops after {left} more',
            'current',
            logging.WARNING,
        )

    def _save(self, runner: Runner, fault: Fault, where: str) -> str:
        """Write the replay files; what was found by the first rank that has the fault, and how to compute it again."""
        step, rank = runner.iter + 1, get_rank()
        name = f'non_finite_{where.lower().replace(" ", "_") or f"step_{step}"}'
        path = Path(runner.work_dir, name + (f'_rank_{rank}' if get_world_size() > 1 else '') + '.pth')
        findings = save_replay(path, fault, bare_model(runner), runner.cfg, (step, runner.epoch + 1))
        told = [
            f'found {findings.text()}, expected finite ones; {findings.cause()}; compute it again: cssa replay {path}'
        ]
        guilty = all_gather_object(fault.is_here)
        broadcast_object_list(told, src=guilty.index(True) if any(guilty) else 0)
        return told[0]

    def after_train_epoch(self, runner: Runner) -> None:
        """Check the model, before a checkpoint is written of it: its last step may have gone to infinity.

        Raises:
            NonFiniteError: a parameter is not finite.
        """
        learned = {name: p for name, p in bare_model(runner).named_parameters() if p.requires_grad}
        if not all(flag for flag in torch.stack([torch.isfinite(p).all() for p in learned.values()]).tolist()):
            bad = next(name for name, p in learned.items() if not torch.isfinite(p).all())
            raise NonFiniteError(
                f'end of epoch {runner.epoch + 1}: found a model that is not finite ({bad}), expected finite '
                'parameters; the last step was too long: lower optim_wrapper.optimizer.lr'
            )

    def after_train(self, runner: Runner) -> None:
        """Say how many steps were skipped."""
        if self.skipped:
            numbers = ', '.join(map(str, self.skipped))
            text = f'{len(self.skipped)} steps were skipped, whose loss or gradients were not finite: {numbers}'
            print_log(text, 'current', logging.WARNING)


def on_fault(runner: Runner, where: str = '') -> Callable[[Fault], None] | None:
    """What a runner's `NonFiniteHook` does about a fault; None without the hook.

    Args:
        where: where it is, if not in a step of the training.
    """
    hook = next((hook for hook in runner.hooks if isinstance(hook, NonFiniteHook)), None)
    return None if hook is None else lambda fault: hook.on_fault(runner, fault, where)
