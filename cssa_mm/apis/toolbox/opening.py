"""The model of a tool's arguments: its config, and a checkpoint or none."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from mmengine.config import Config

from cssa_mm.apis.loading import untrained_model
from cssa_mm.engine.checkpoints import read_checkpoint
from cssa_mm.errors import CheckpointError
from cssa_mm.models import CSSAClassifier


def opened(config: Config, checkpoint: str | None, device: str | None = None) -> CSSAClassifier:
    """The model of a config in eval mode, with the weights of a checkpoint, or as training would start.

    Raises:
        CheckpointError: the checkpoint is missing, unreadable or that of another config.
    """
    model = untrained_model(config, device=device)
    if checkpoint is not None:
        state_dict = read_checkpoint(checkpoint).get('state_dict')
        if not isinstance(state_dict, Mapping):
            raise CheckpointError(
                f"checkpoint: found '{checkpoint}' without a state_dict, expected one that training wrote"
            )
        model.load_state_dict(state_dict)
    return model.eval()


def leave_log(logger: logging.Logger) -> None:
    """Let a logger write to no file any more: its folder is removed, and the process may log again."""
    for handler in list(logger.handlers):
        if isinstance(handler, logging.FileHandler):
            handler.close()
            logger.removeHandler(handler)
