"""`analysis_tools/get_flops`: multiply-adds and parameters of the tower and the head together.

The tool counts by tracing `extract_feat`, the tower alone, as a child of the model, which it is not here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from mmengine.analysis import ActivationAnalyzer, FlopAnalyzer
from mmengine.analysis.print_helper import complexity_stats_table
from mmengine.config import Config
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from cssa_mm.apis.config import load_config
from cssa_mm.apis.loading import untrained_model
from cssa_mm.errors import ConfigError
from cssa_mm.models import CSSAClassifier

ATTENTION = 'aten::scaled_dot_product_attention'


class Scored(nn.Module):
    """What scores an image: the tower and the head, as children that are counted; the text side is folded."""

    def __init__(self, model: CSSAClassifier) -> None:
        super().__init__()
        self.tower = model.backbone.clip.visual
        self.head = model.head
        self._score = model.score
        self._encode = model.backbone.forward

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (B, C) of images (B, 3, H, W), and global features (B, D): a trace drops what nobody returns."""
        local, pooled = self._encode(images)
        return self._score(local, pooled), pooled


def run(tool: ModuleType) -> str:
    """The same arguments, counts and table as the tool."""
    options = tool.parse_args()
    if len(options.shape) > 2:
        raise ConfigError(f'--shape: found {options.shape}, expected a side, or height and width')
    return report(load_config(options.config), options.shape[0], options.shape[-1])


def report(config: Config, height: int, width: int) -> str:
    """Multiply-adds, parameters and activations of one image of this size, module by module and in all."""
    if config.model.backbone.get('pretrained') != 'demo':
        config.model.backbone.pretrained = None  # counts don't depend on weights, which may have to be fetched
    logging.disable(logging.WARNING)  # of random weights
    try:
        model = untrained_model(config, device='cpu')
    finally:
        logging.disable(logging.NOTSET)
    flops, activations = counters(model, height, width)
    tower = sum(p.numel() for p in model.backbone.clip.visual.parameters())
    text = sum(p.numel() for p in model.text_encoder.tower.held.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    by_operator = ', '.join(f'{name} {_short(count)}' for name, count in flops.by_operator().most_common() if count)
    line = '=' * 30
    return '\n'.join(
        [
            complexity_stats_table(flops=flops, activations=activations, show_param_shapes=True),
            line,
            f'Input shape: {(3, height, width)}',
            f'Flops: {_short(flops.total())} (one multiply-add is one; tower {_short(flops.by_module()["tower"])}; '
            f'{by_operator})',
            f'Params: {_short(tower + trained)}: image tower {tower:,} (frozen), trained {trained:,}',
            f'Text tower: {text:,} (frozen; its features are constants once the model is trained, and not counted)',
            f'Activation: {_short(activations.total())}',
            line,
            'Tower and head are counted. Check the figures before you use them in a paper.',
        ]
    )


def counters(model: CSSAClassifier, height: int, width: int) -> tuple[FlopAnalyzer, ActivationAnalyzer]:
    """mmengine's counters of multiply-adds and activations for one image (3, height, width)."""
    image = torch.zeros(1, 3, height, width)
    scored = Scored(model.eval()).eval()
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), _without_fast_path():
        scored(image)  # folds the text side, which is no part of an image
        flops, activations = FlopAnalyzer(scored, (image,)), ActivationAnalyzer(scored, (image,))
        flops.set_op_handle(ATTENTION, _attention_flops)
        for counter in (flops, activations):
            counter.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings('none').total()
    return flops, activations


def _attention_flops(inputs: list[Any], outputs: list[Any]) -> int:
    """Of both products of an attention: queries (..., Q, E) with keys (..., K, E), weights with values (..., K, V)."""
    query, key, value = (each.type().sizes() for each in inputs[:3])
    weights = query[-2] * key[-2]
    for size in query[:-2]:
        weights *= size
    return weights * (query[-1] + value[-1])


@contextmanager
def _without_fast_path() -> Iterator[None]:
    # A fused layer of attention is one operator that nothing counts.
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    logger = logging.getLogger('mmengine.analysis.jit_analysis')
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)
        logger.setLevel(level)


def _short(count: float) -> str:
    for unit, size in (('G', 1e9), ('M', 1e6), ('K', 1e3)):
        if count >= size:
            return f'{count / size:.3f}{unit}'
    return f'{count:.0f}'
