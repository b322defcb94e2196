"""Test-time augmentation: one prediction of an image from several views of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from mmengine.model import BaseTTAModel
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from cssa_mm.errors import ConfigError
from cssa_mm.values import OneOf

AVERAGES = ('logits', 'scores')


@MODELS.register_module()
class AverageViewsTTA(BaseTTAModel):
    """Averages what a classifier says of the views of an image, then calibrates and chooses labels (ours).

    So scores, labels and raw scores of a prediction belong together as those of a single view do. A config names it as
    `tta_model`, and the views as `tta_pipeline`; `cssa test --tta` and mmpretrain's own `test.py --tta` read both.

    Args:
        module: a `CSSAClassifier` or its config (given by the runner).
        average: of 'logits' or 'scores'.

    Raises:
        ConfigError: the average is unknown.
    """

    def __init__(self, module: dict | nn.Module, average: Annotated[str, OneOf(AVERAGES)] = 'logits') -> None:
        if average not in AVERAGES:
            raise ConfigError(f"tta_model.average: found {average!r}, expected 'logits' or 'scores'")
        super().__init__(module if isinstance(module, nn.Module) else MODELS.build(module))
        self.average = average

    @torch.no_grad()
    def test_step(self, data: dict[str, Any]) -> list[DataSample]:
        """The samples of B images, each with the prediction of all of its V views.

        Args:
            data: `inputs` and `data_samples`: V lists or tensors of the B images of one view each.
        """
        ema, student = [], []
        for inputs, samples in zip(data['inputs'], data['data_samples'], strict=True):
            batch = self.module.data_preprocessor(dict(inputs=inputs, data_samples=samples), False)
            features = self._encode(batch['inputs'])
            ema.append(self.module.logits(*features))
            student.append(self.module.logits(*features, 'student'))
            if len(ema) == 1:
                answered = batch['data_samples']
        return self.module.answer(self._mean(ema), self._mean(student), answered)

    def _encode(self, images: Tensor) -> Any:
        try:
            return self.module.backbone(images)
        except ConfigError as error:  # a tower of one size
            raise ConfigError(
                f'tta_pipeline: found a view of {images.shape[-2]} x {images.shape[-1]}, which the tower refuses, '
                f'expected views of its own size; leave the ScaledView with another factor than 1 out ({error})'
            ) from error

    def _mean(self, logits: Sequence[Tensor]) -> Tensor:
        """Logits (B, C) of the average of V views."""
        views = torch.stack(list(logits))
        if self.average == 'logits':
            return views.mean(0)
        # In float64: scores near 1 have lost their digits in float32.
        kind = torch.float32 if views.device.type == 'mps' else torch.float64
        return torch.logit(torch.sigmoid(views.to(kind)).mean(0), eps=1e-12).to(views.dtype)

    def merge_preds(self, data_samples_list: Any) -> Any:
        """Not used: views are averaged before they become predictions."""
        raise NotImplementedError('test_step averages views before they become predictions')
