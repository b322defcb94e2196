"""Compute a step again that was not finite, from the file that the training wrote."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

from cssa_mm.apis.loading import load_model
from cssa_mm.engine.checkpoints import read_checkpoint
from cssa_mm.engine.finite_steps import set_torch_generators
from cssa_mm.engine.replays import KEY, Findings, batch_of, examine
from cssa_mm.errors import CheckpointError
from cssa_mm.models.description import check_registered
from cssa_mm.models.objective import SemiSupervisedObjective
from cssa_mm.models.toolbox_losses import cell_loss


@dataclass(frozen=True)
class Replay:
    """A step, computed again.

    Attributes:
        step: its number, from 1.
        epoch: its epoch, from 1.
        image_ids: of its images.
        then: what was not finite in the training.
        now: what is not finite now.
    """

    step: int
    epoch: int
    image_ids: list[str]
    then: Findings
    now: Findings

    @property
    def is_reproduced(self) -> bool:
        """Whether the same losses, gradients, parameters and images are not finite."""
        return all(
            getattr(self.then, name) == getattr(self.now, name) for name in ('gradients', 'parameters', 'images')
        ) and [text.split('=')[0] for text in self.then.bad_losses] == [
            text.split('=')[0] for text in self.now.bad_losses
        ]

    def text(self) -> str:
        """The result in lines."""
        losses = [f'  {name:30}{value:g}' for name, value in self.now.losses.items()]
        return '\n'.join(
            [
                f'Step {self.step} of epoch {self.epoch}, {len(self.image_ids)} images',
                *losses,
                f'not finite then: {self.then.text()}',
                f'not finite now:  {self.now.text()}',
                f'likely cause: {self.then.cause()}'
                if self.is_reproduced
                else 'not reproduced: run it on the device and with the versions of the training',
            ]
        )


def replay(file: str | os.PathLike, *, tower: str | os.PathLike | None = None, device: str | None = None) -> Replay:
    """Compute the losses and gradients of a step that was not finite again.

    Args:
        file: `non_finite_step_N.pth`, which training wrote.
        tower: new path of the weights of the tower, if they were moved.
        device: 'cpu', 'cuda' or 'mps'; by default the best one that this machine has.

    Raises:
        CheckpointError: the file is missing or another one, or the tower is missing.
        ConfigError: the machine has no such device.

    Examples:
        >>> from cssa_mm.apis.replaying import replay
        >>> print(replay('work_dirs/cssa_demo/non_finite_step_17.pth').text())  # doctest: +SKIP
    """
    content: Any = read_checkpoint(file)
    content = content.get(KEY) if isinstance(content, dict) else None
    if not isinstance(content, dict):
        raise CheckpointError(
            f"replay: found '{file}' without a step, expected non_finite_step_N.pth of a training; take that file"
        )
    init_default_scope('mmpretrain')
    model = load_model(file, tower=tower, device=device).train()
    options = dict(content['loss'])
    loss = options.get('loss')
    if loss and 'type' in loss:
        check_registered('loss', loss, MODELS)
    weights = {key: float(options.get(key, 1.0)) for key in ('unlabelled_weight', 'context_weight')}
    model.objective = SemiSupervisedObjective(cell_loss(loss, model.class_names), **weights)
    with torch.random.fork_rng():
        set_torch_generators(content['generators'])
        now = examine(model, batch_of(content), content['parts'], content['half'])
    return Replay(content['step'], content['epoch'], content['image_ids'], Findings(**content['found']), now)
