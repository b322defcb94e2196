"""A step that went wrong, as plain data that computes it again: `cssa replay FILE`.

A replay file is a checkpoint of the model before the step, which `load_model` opens, with one more entry:

    step, epoch     where it was, counted from 1
    inputs          pixels of the B images, where their features are not known, else None
    features        local (B, N, D) and global (B, D), else None
    targets         labels, weights, is_labelled, is_readable, is_semi_supervised
    parts           in how many parts the gradients accumulate
    image_ids       of the B images
    generators      states of the random numbers
    loss            config of the loss and its weights
    half            the type of mixed precision on the GPU, else None
    found           the findings of the step itself
    config          the text of the whole config, for people
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmpretrain.structures import DataSample
from torch import Tensor

from cssa_mm.engine.finite_steps import Batch, Fault
from cssa_mm.engine.optimiser_steps import split
from cssa_mm.files import replacing
from cssa_mm.models import CSSAClassifier
from cssa_mm.models.objective import Targets
from cssa_mm.models.plain_data import as_data

KEY = 'replay'
LOSS = ('loss', 'unlabelled_weight', 'context_weight')
TARGETS = ('labels', 'weights', 'is_labelled', 'is_readable', 'is_semi_supervised')


@dataclass(frozen=True)
class Findings:
    """What is not finite in a step.

    Attributes:
        losses: each loss by its name, over all parts.
        gradients: names of parameters whose gradients are not finite.
        parameters: names of parameters that are not finite before the step.
        images: ids of images whose pixels or features are not finite.
    """

    losses: dict[str, float]
    gradients: list[str]
    parameters: list[str]
    images: list[str]

    @property
    def is_finite(self) -> bool:
        """Whether the step is sound."""
        return not (self.gradients or self.parameters or self.images or self.bad_losses)

    @property
    def bad_losses(self) -> list[str]:
        """The losses that are not finite, with their values."""
        return [f'{name}={value:g}' for name, value in self.losses.items() if not abs(value) < float('inf')]

    def text(self) -> str:
        """What is not finite, in words."""
        parts = [('', self.bad_losses), ('gradients of ', self.gradients), ('parameters ', self.parameters)]
        told = [f'{what}{_some(names)}' for what, names in [*parts, ('images ', self.images)] if names]
        return ', '.join(told) or 'nothing'

    def cause(self) -> str:
        """The likely cause, and what to do."""
        if self.parameters:
            return 'an earlier step has spoiled the model: lower optim_wrapper.optimizer.lr'
        if self.images:
            return 'the image tower gives no finite features of these images: look at them, and at its precision'
        return 'the training diverges: lower optim_wrapper.optimizer.lr, or set optim_wrapper.clip_grad.max_norm=1'


def examine(model: CSSAClassifier, batch: Batch, parts: int = 1, half: str | None = None) -> Findings:
    """Compute the losses and gradients of a step again; the model stays as it is. All ranks must call it.

    Args:
        model: in training mode.
        batch: of the step, with its targets.
        parts: in how many parts its gradients accumulate.
        half: the type of mixed precision on the GPU.
    """
    learned = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    sums = {name: torch.zeros_like(parameter) for name, parameter in learned.items()}
    losses: dict[str, float] = {}
    for part in split(batch, parts):
        with _precision(half):
            found = model(**model.data_preprocessor(part, True), mode='loss')
        total, values = model.parse_losses(found)
        for name, value in values.items():
            losses[name] = losses.get(name, 0.0) + float(value.detach()) / parts
        gradients = torch.autograd.grad(total, list(learned.values()), allow_unused=True)
        for name, gradient in zip(learned, gradients, strict=True):
            if gradient is not None:
                sums[name] += gradient / parts
    model.unfold()
    return Findings(losses, _not_finite(sums), _not_finite(learned), _bad_images(batch))


def save_replay(path: Path, fault: Fault, model: CSSAClassifier, config: Config, where: tuple[int, int]) -> Findings:
    """Write the replay file of a fault that came in a step and epoch, counted from 1; returns what is not finite.

    All ranks must call it, each with a path of its own.
    """
    with fault.random_numbers():
        findings = examine(model, fault.batch, fault.parts, fault.half)
    batch, targets = fault.batch, fault.batch['targets']
    features = batch.get('features')
    section = dict(config.model)
    content = dict(
        step=where[0],
        epoch=where[1],
        inputs=None if features is not None else [pixels.cpu() for pixels in batch['inputs']],
        features=None if features is None else [tensor.cpu() for tensor in features],
        targets={name: _on_cpu(getattr(targets, name)) for name in TARGETS},
        parts=fault.parts,
        image_ids=[str(sample.image_id) for sample in batch['data_samples']],
        generators=fault.generators,
        loss={key: as_data(section[key]) for key in LOSS if section.get(key) is not None},
        half=fault.half,
        found=asdict(findings),
        config=config.pretty_text,
    )
    state = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
    with replacing(path) as partial:
        torch.save({'state_dict': state, KEY: content}, partial)
    return findings


def batch_of(content: Mapping[str, Any]) -> Batch:
    """The batch of a replay file, as the loop handed it on."""
    samples = [DataSample(metainfo=dict(image_id=image_id)) for image_id in content['image_ids']]
    features = None if content['features'] is None else tuple(content['features'])
    inputs = content['inputs'] or [torch.empty(3, 1, 1) for _ in samples]
    return dict(inputs=inputs, data_samples=samples, targets=Targets(**content['targets']), features=features)


def _precision(half: str | None) -> AbstractContextManager:
    if half is None or not torch.cuda.is_available():
        return nullcontext()
    return torch.autocast('cuda', getattr(torch, half))


def _on_cpu(value: Tensor | bool) -> Tensor | bool:
    return value.detach().cpu() if isinstance(value, Tensor) else value


def _not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    return [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]


def _bad_images(batch: Batch) -> list[str]:
    features = batch.get('features')
    parts = batch['inputs'] if features is None else zip(*features, strict=True)
    rows = [part if isinstance(part, tuple) else (part,) for part in parts]
    return [
        str(sample.image_id)
        for sample, row in zip(batch['data_samples'], rows, strict=True)
        if not all(bool(torch.isfinite(tensor).all()) for tensor in row)
    ]


def _some(names: list[str], most: int = 3) -> str:
    rest = f' and {len(names) - most} more' if len(names) > most else ''
    return ', '.join(names[:most]) + rest
