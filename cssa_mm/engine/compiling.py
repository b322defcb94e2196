"""`compile` in a config: torch.compile for the frozen tower, where the time of a training goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.logging import print_log

from cssa_mm.errors import ConfigError
from cssa_mm.models import CSSAClassifier
from cssa_mm.models.towers.sizes import image_size


def compile_options(option: Any) -> dict[str, Any] | None:
    """The keywords of torch.compile that a config's `compile` stands for; None for none.

    Raises:
        ConfigError: it is neither a bool nor a dict.
    """
    if option is None or option is False:
        return None
    if option is not True and not isinstance(option, Mapping):
        raise ConfigError(
            f"compile: found {option!r}, expected True, False or a dict such as dict(mode='max-autotune')"
        )
    return {} if option is True else dict(option)


def compile_tower(model: CSSAClassifier, option: Any) -> None:
    """Compile the model's tower, and encode two images to see that this machine can.

    mmengine compiles the whole step, optimiser included, which torch cannot do with ours; what surrounds the tower
    takes milliseconds.

    Raises:
        ConfigError: the option is invalid, or nothing can be compiled here.
    """
    options = compile_options(option)
    if options is None:
        return
    tower = model.backbone
    size = model.view.size if model.view is not None else None
    height, width = size or image_size(tower.clip.visual)
    device = next(model.parameters()).device
    try:
        tower.forward = torch.compile(tower.forward, **options)  # type: ignore[method-assign]
        tower(torch.zeros(2, 3, height, width, device=device))
    except Exception as error:  # of torch, of a compiler, of a driver: whatever is missing on a machine
        reason = ' '.join(str(error).split())[:200]
        raise ConfigError(
            f'compile: found {option!r}, which fails here ({type(error).__name__}: {reason}), expected a compiler that '
            'torch.compile can call; leave compile out'
        ) from error
    print_log('compile: the frozen tower is compiled; the first images of each size take long', 'current')
