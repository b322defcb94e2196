"""Checkpoints of plain data only, so that `torch.load(weights_only=True)` reads them with nothing allow-listed."""

from __future__ import annotations

import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

PLAIN = (str, int, float, bool, type(None))


@HOOKS.register_module()
class PlainCheckpointHook(Hook):
    """Leaves mmengine's log buffers out of the checkpoint: classes that torch >= 2.6 refuses to load.

    Training does not depend on them; only the moving averages of the log start anew after a resume.
    """

    priority = 'VERY_LOW'

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the plain runtime information, such as the best score so far."""
        hub = checkpoint['message_hub']
        information = {key: _plain(value) for key, value in hub['runtime_info'].items()}
        information = {key: value for key, value in information.items() if isinstance(value, PLAIN)}
        resumed = {key: flag for key, flag in hub['resumed_keys'].items() if key in information}
        checkpoint['message_hub'] = dict(log_scalars={}, runtime_info=information, resumed_keys=resumed)


def _plain(value: object) -> object:
    """NumPy's scalars, float64 among them, look like Python's and are refused like any other class."""
    return value.item() if isinstance(value, np.generic) else value
