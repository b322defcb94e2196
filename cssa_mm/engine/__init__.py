"""Glue to MMEngine's runner: the train loop, checkpoints, guards and bad images."""

from cssa_mm.engine.bad_image_hook import BadImageHook
from cssa_mm.engine.checkpoints import PlainCheckpointHook
from cssa_mm.engine.guard_hook import GuardHook
from cssa_mm.engine.loop import SemiSupervisedTrainLoop

__all__ = ['BadImageHook', 'GuardHook', 'PlainCheckpointHook', 'SemiSupervisedTrainLoop']
