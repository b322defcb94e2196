"""Glue to MMEngine's runner: the train loop, checkpoints, guards and bad images."""

from cssa_mm.engine.bad_image_hook import BadImageHook
from cssa_mm.engine.calibration_hook import CalibrationHook
from cssa_mm.engine.checkpoint_hook import CSSACheckpointHook
from cssa_mm.engine.checkpoints import PlainCheckpointHook
from cssa_mm.engine.collapse_hook import CollapseHook
from cssa_mm.engine.guard_hook import GuardHook
from cssa_mm.engine.live_view_hook import LiveViewHook
from cssa_mm.engine.loop import SemiSupervisedTrainLoop
from cssa_mm.engine.non_finite_hook import NonFiniteHook
from cssa_mm.engine.picture_hook import LabelPictureHook
from cssa_mm.engine.progress_hook import ProgressHook
from cssa_mm.engine.runner import CSSARunner
from cssa_mm.engine.schedule_hook import StepSchedulerHook
from cssa_mm.engine.step_logger_hook import StepLoggerHook

__all__ = [
    'BadImageHook',
    'CSSACheckpointHook',
    'CSSARunner',
    'CalibrationHook',
    'CollapseHook',
    'GuardHook',
    'LabelPictureHook',
    'LiveViewHook',
    'NonFiniteHook',
    'PlainCheckpointHook',
    'ProgressHook',
    'SemiSupervisedTrainLoop',
    'StepLoggerHook',
    'StepSchedulerHook',
]
