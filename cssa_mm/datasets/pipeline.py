"""The pipeline of a data set; its loader reads from the data set's storage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mmengine.dataset import Compose
from mmpretrain.registry import TRANSFORMS

from cssa_mm.errors import ConfigError


def build_pipeline(pipeline: Sequence, backend_args: dict | None) -> Compose:
    """Compose transforms, or their configs; a step whose ``backend_args`` is None gets those of the data set.

    Raises:
        ConfigError: A step is neither, or refuses its options.
    """
    for step in pipeline:
        if not (callable(step) or (isinstance(step, dict) and 'type' in step)):
            raise ConfigError(
                f"pipeline: found the step {step!r}, expected a transform such as dict(type='RandomFlip')"
            )
    steps: list[Any] = [_built(step) if isinstance(step, dict) else step for step in pipeline]
    for step in steps:
        if getattr(step, 'backend_args', 'none of this kind') is None:
            step.backend_args = backend_args
    return Compose(steps)


def _built(step: dict) -> Callable:
    try:
        return TRANSFORMS.build(step)
    # What other packages raise where an option has a wrong type or value.
    except (TypeError, ValueError, AssertionError) as error:
        reason = ' '.join(str(error).split())
        raise ConfigError(
            f'pipeline: found the step {dict(step)}, whose options are refused ({reason}); correct it'
        ) from error
