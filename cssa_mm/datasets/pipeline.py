"""The pipeline of a data set; its loader reads from the data set's storage."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.dataset import Compose
from mmpretrain.registry import TRANSFORMS


def build_pipeline(pipeline: Sequence, backend_args: dict | None) -> Compose:
    """Compose transforms, or their configs; a step whose ``backend_args`` is None gets those of the data set."""
    steps = [TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline]
    for step in steps:
        if getattr(step, 'backend_args', 'none of this kind') is None:
            step.backend_args = backend_args
    return Compose(steps)
