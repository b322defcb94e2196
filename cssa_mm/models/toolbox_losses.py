"""mmpretrain's losses in `model.loss`: computed cell by cell, on known cells only.

`CrossEntropyLoss` with `use_sigmoid=True`, `AsymmetricLoss`, `FocalLoss` and `LabelSmoothLoss` with
`mode='multi_label'` take part, and any other loss of that interface whose cells (image, class) do not depend on each
other. Losses that couple the classes, as a softmax does, have no meaning where labels are unknown and are refused.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.logging import print_log
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from cssa_mm.errors import ConfigError, nearest
from cssa_mm.models.losses import REDUCTIONS, MaskedAsymmetricLoss, check_cells
from cssa_mm.names import component_of

CELL_LOSSES = ('CrossEntropyLoss', 'AsymmetricLoss', 'FocalLoss', 'LabelSmoothLoss')
CLASS_WEIGHTS = ('class_weight', 'pos_weight')
INSTEAD = (
    'plain binary cross-entropy is CrossEntropyLoss with use_sigmoid=True, or MaskedAsymmetricLoss with '
    'gamma_negative=0 and clip=0'
)


class ToolboxLoss(nn.Module):
    """A loss of mmpretrain on the known cells of logits (B, C).

    Its `loss_weight`, `class_weight` and `pos_weight` mean what they mean there. `reduction` is that of
    `SemiSupervisedObjective`: `'mean'` over the unmasked cells, each of the labelled and of the unlabelled part of the
    global batch, or `'sum'`. On fully known cells the value is mmpretrain's.

    Args:
        options: config of the loss.
        num_classes: C.

    Raises:
        ConfigError: an option is invalid, or the loss is not computed cell by cell.
    """

    def __init__(self, options: Mapping[str, Any], num_classes: int) -> None:
        super().__init__()
        self.options = dict(options)
        self.num_classes = num_classes
        self.name = self.options['type'] if isinstance(self.options['type'], str) else self.options['type'].__name__
        self._check_options()
        given = {key: value for key, value in self.options.items() if key not in ('reduction', 'num_classes')}
        try:
            self.loss = MODELS.build(given)
        except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise ConfigError(f'model.loss: {self.name} refuses its options: {" ".join(str(error).split())}') from error
        self.reduction = self.options.get('reduction', getattr(self.loss, 'reduction', 'mean'))
        if self.loss.state_dict():
            raise ConfigError(
                f'model.loss: found {self.name} with a state ({next(iter(self.loss.state_dict()))}), expected a loss '
                'without one, as no checkpoint would hold it; register buffers with persistent=False'
            )
        self._check_cells_are_separate()

    def forward(
        self, logits: Tensor, targets: Tensor, mask: Tensor | None = None, weight: Tensor | None = None
    ) -> Tensor:
        """The sum of the loss over the known cells, a scalar in float32; half-precision logits are cast.

        Args:
            logits: (B, C).
            targets: (B, C), 1 positive, 0 negative, -1 unknown. Unknown cells give exactly zero loss and gradient.
            mask: (B, C), non-zero where a cell counts.
            weight: (B, C), factor for each cell.
        """
        check_cells(logits, targets, mask=mask, weight=weight)
        known = targets >= 0
        if mask is not None:
            known = known & (mask != 0)
        with torch.autocast(logits.device.type, enabled=False):
            # Masked before the mathematics: 0 * inf afterwards would leave nan in the gradient.
            x = torch.where(known, logits.to(torch.promote_types(logits.dtype, torch.float32)), 0.0)
            loss = self.cells(x, torch.where(known, targets, 0).to(x.dtype))
            if weight is not None:
                loss = loss * weight.to(loss.dtype)
            return torch.where(known, loss, 0.0).sum()

    def cells(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of each cell (B, C) for targets in {1, 0}."""
        columns = logits.shape[1]
        if columns == 1:  # a single column would be read as the numbers of classes
            logits, targets = logits.repeat(1, 2), targets.repeat(1, 2)
        if hasattr(self.loss, 'num_classes'):  # LabelSmoothLoss keeps that of its first call, classes or contexts
            self.loss.num_classes = logits.shape[1]
        loss = self.loss(logits, targets, reduction_override='none')
        return loss[:, :columns] if columns == 1 else loss

    def for_contexts(self) -> ToolboxLoss:
        """The loss of contexts (B, K): the same one without weights of classes."""
        options = {key: value for key, value in self.options.items() if key not in CLASS_WEIGHTS}
        return self if options == self.options else ToolboxLoss(options, self.num_classes)

    def extra_repr(self) -> str:
        """The options, for printed models."""
        return ', '.join(f'{key}={value!r}' for key, value in self.options.items())

    def _check_options(self) -> None:
        reduction = self.options.get('reduction', 'mean')
        if reduction not in REDUCTIONS:
            raise ConfigError(
                f'model.loss.reduction: found {reduction!r}, expected one of {", ".join(REDUCTIONS)}.'
                f'{nearest(str(reduction), REDUCTIONS)}'
            )
        if self.options.get('num_classes') not in (None, self.num_classes):
            raise ConfigError(
                f'model.loss.num_classes: found {self.options["num_classes"]}, expected {self.num_classes}, the '
                'number of classes of the model; leave it out'
            )
        for key in CLASS_WEIGHTS:
            value = self.options.get(key)
            weights = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
            if value is None:
                continue
            if not all(isinstance(w, int | float) and w >= 0 for w in weights) or (
                weights is value and len(weights) != self.num_classes
            ):
                raise ConfigError(
                    f'model.loss.{key}: found {value!r}, expected {self.num_classes} numbers from 0, one for each class'
                )

    def _check_cells_are_separate(self) -> None:
        """Try the loss: each cell has a value of its own, and the right label costs less than the wrong one."""
        shape = 3, self.num_classes
        logits = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        targets = (torch.arange(3 * self.num_classes).reshape(shape) % 2).float()
        moved = logits.clone()
        moved[0, 0] += 1
        two = torch.full(shape, 2.0)
        try:
            with torch.no_grad():
                before, after = self.cells(logits, targets), self.cells(moved, targets)
                is_separate = before.shape == shape and int((before != after).sum()) <= 1
                costs = {
                    label: [float(self.cells(sign * two, torch.full(shape, label)).sum()) for sign in signs]
                    for label, signs in ((1.0, (1, -1)), (0.0, (-1, 1)))
                }
        # A loss of another task fails as it likes.
        except Exception as error:
            raise ConfigError(
                f'model.loss: found {self.name}, which cannot be computed for each image and class '
                f'({" ".join(str(error).split()) or type(error).__name__}); {INSTEAD}'
            ) from error
        if not is_separate:
            raise ConfigError(
                f'model.loss: found {self.name}, which couples the classes of an image (a softmax), expected a loss of '
                f'each image and class for itself, as labels may be unknown; {INSTEAD}'
            )
        for label, (right, wrong) in costs.items():
            if not right < wrong:
                raise ConfigError(
                    f'model.loss: found {self.name}({self.extra_repr()}), by which a logit of 2 that is right about a '
                    f'label {label:g} costs {right:.3g} in total and one that is wrong {wrong:.3g}; {INSTEAD}'
                )


def check_loss(model: Mapping[str, Any]) -> None:
    """Refuse, before anything is built, mmpretrain's losses for other tasks, and keys of ours in a loss of theirs.

    Raises:
        ConfigError: `model.loss` is or has one of these.
    """
    loss = model.get('loss')
    if not isinstance(loss, Mapping):
        return
    kind = loss.get('type')
    found: Any = component_of(kind, MODELS)
    if not str(getattr(found, '__module__', '')).startswith('mmpretrain.'):
        return
    _refuse_other_task(found)
    own = inspect.signature(found).parameters
    inherited = [key for key in inspect.signature(MaskedAsymmetricLoss).parameters if key in loss and key not in own]
    if inherited:
        raise ConfigError(
            f'model.loss: found {", ".join(inherited)} of MaskedAsymmetricLoss in a {found.__name__}, expected its own '
            f"keys alone; inherited keys stay unless it is dict(_delete_=True, type='{found.__name__}', ...)"
        )


def _refuse_other_task(loss: Any) -> None:
    if loss.__module__.startswith('mmpretrain.') and loss.__name__ not in CELL_LOSSES:
        raise ConfigError(
            f'model.loss: found {loss.__name__}, which is no loss of several labels an image, expected one that is '
            f'computed for each image and class; {INSTEAD}'
        )


def cell_loss(loss: Mapping[str, Any] | None, class_names: Sequence[str]) -> MaskedAsymmetricLoss | ToolboxLoss:
    """The loss of a cell from its config, ours by default.

    Raises:
        ConfigError: it is no loss that fits.
    """
    options = {'type': 'MaskedAsymmetricLoss'} | dict(loss or {})
    kind = options['type']
    kind = component_of(kind, MODELS)
    if kind is None:
        raise ConfigError(
            f"model.loss: found the unknown component '{options['type']}', expected a registered one."
            f'{nearest(options["type"], MODELS.module_dict)}'
        )
    _refuse_other_task(kind)
    # A loss that takes a mask knows what an unknown cell is.
    if 'mask' in inspect.signature(kind.forward).parameters:
        return MODELS.build(options)
    built = ToolboxLoss(options, len(class_names))
    means = {
        'mean': 'the mean over the known cells, each of the labelled and of the unlabelled part of the global batch',
        'sum': 'the sum over the known cells of the global batch',
        'batch_mean': 'the sum over the known cells by the number of images, each of the labelled and unlabelled part',
    }
    default = '' if 'reduction' in options else f" ({built.name}'s default; MaskedAsymmetricLoss has 'sum')"
    print_log(
        f"Loss: {built.name} of mmpretrain, reduction='{built.reduction}'{default}: {means[built.reduction]}",
        'current',
        logging.INFO,
    )
    return built
