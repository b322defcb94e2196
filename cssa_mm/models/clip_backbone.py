"""The frozen open_clip image tower: images (B, 3, H, W) -> local features (B, N, D) and a global one (B, D)."""

from __future__ import annotations

from contextlib import nullcontext
from functools import cached_property
from typing import Annotated

import torch
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor

from cssa_mm.errors import ConfigError
from cssa_mm.models.frozen import Frozen
from cssa_mm.models.open_clip_loader import load_open_clip
from cssa_mm.models.towers import feature_function
from cssa_mm.models.towers.layout import CellLayout, cell_layout
from cssa_mm.values import OneOf

AUTOCAST = {'fp32': None, 'bf16': torch.bfloat16, 'fp16': torch.float16}


@MODELS.register_module()
class OpenCLIPBackbone(BaseModule):
    """Frozen image tower of any open_clip model (paper; the dense path is DualCoOp's, a reconstruction here).

    Args:
        model_name: open_clip name, `hf-hub:ORG/NAME` or `local-dir:FOLDER`; weights that were trained with QuickGELU
            need the `-quickgelu` one.
        pretrained: tag, checkpoint file, `'demo'`, or None for random weights.
        config_dir: folder of open_clip model JSON files that define `model_name`.
        dense: `'value'` projects each position by the value and output projections of the attention pool;
            `'attention'` lets each position be a query of the pool. ResNet towers only.
        global_token: whether the pooled token is one of the N local features (first).
        precision: `'fp32'`, or autocast of the tower in `'bf16'` or `'fp16'`. Features leave in float32.
        activation: `'gelu'` or `'quickgelu'`, whatever name, tag and file say; None goes by them, and asks.
        allow_torchscript: open a TorchScript archive, which holds code, as weights.
        channels_last: whether the channels of a pixel lie side by side in memory; the features differ by rounding
            alone. None does so on a CPU, where convolutions take a tenth to a half less time.
    """

    def __init__(
        self,
        model_name: str,
        pretrained: str | None = None,
        config_dir: str | None = None,
        dense: Annotated[str, OneOf(('value', 'attention'))] = 'value',
        global_token: bool = True,
        precision: Annotated[str, OneOf(tuple(AUTOCAST))] = 'fp32',
        activation: str | None = None,
        allow_torchscript: bool = False,
        channels_last: bool | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if dense not in ('value', 'attention'):
            raise ConfigError(f"backbone.dense: found '{dense}', expected 'value' or 'attention'")
        if precision not in AUTOCAST:
            raise ConfigError(f"backbone.precision: found '{precision}', expected one of {', '.join(AUTOCAST)}")
        self.clip = load_open_clip(model_name, pretrained, config_dir, activation, allow_torchscript)
        self.dense = dense
        self.global_token = global_token
        self.precision = precision
        self.channels_last = channels_last
        self.tower = Frozen(self.clip.model)
        self._features = feature_function(self.clip.visual, model_name)

    @property
    def identity(self) -> dict[str, str]:
        """The tower's name and the hash of its weights."""
        return dict(model_name=self.clip.name, weights_hash=self.clip.weights_hash)

    def description(self) -> dict[str, object]:
        """What a checkpoint must match, and where to find the tower again."""
        return dict(
            **self.identity,
            dense=self.dense,
            global_token=self.global_token,
            precision=self.precision,
            **self.clip.source,
        )

    @cached_property
    def layout(self) -> CellLayout:
        """Where the local features lie in the image, and how the tower pools them; found at the first use."""
        visual = self.clip.visual
        return cell_layout(visual, lambda images: self._features(visual, images, self.dense, False))

    @torch.no_grad()
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Encode normalised images.

        Args:
            images: (B, 3, H, W), H and W any multiple of the tower's stride.

        Returns:
            Local features (B, N, D) and global features (B, D), float32, not normalised.
        """
        if images.device.type == 'cpu' if self.channels_last is None else self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        dtype = AUTOCAST[self.precision]
        with torch.autocast(images.device.type, dtype) if dtype else nullcontext():
            local, pooled = self._features(self.clip.visual, images, self.dense, self.global_token)
        return local.float(), pooled.float()
