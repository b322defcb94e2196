"""Test-time augmentation in a config: `tta_model` around the model, `tta_pipeline` in place of the test pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.model import BaseTTAModel
from mmpretrain.registry import MODELS

from cssa_mm.datasets import LoadRGBImage, View
from cssa_mm.datasets.scaled_view import ScaledView
from cssa_mm.errors import ConfigError
from cssa_mm.features.view import view_of
from cssa_mm.models.test_time import AverageViewsTTA
from cssa_mm.names import component_of

WRAPPER = dict(type='AverageViewsTTA')


def augment_tests(config: Config) -> None:
    """Let the config test on the views of its `tta_pipeline`, in place, as mmpretrain's test.py does.

    Raises:
        ConfigError: the config has no `tta_pipeline`, or its `tta_model` is another.
    """
    if not config.get('tta_pipeline'):
        raise ConfigError(
            '--tta: found no tta_pipeline in the config, expected one with a TestTimeAug, as '
            'configs/_base_/runtime.py has it; inherit it, or add one'
        )
    config.model = ConfigDict(**(config.get('tta_model') or WRAPPER), module=config.model)
    config.test_dataloader.dataset.pipeline = config.tta_pipeline
    _check(config.model)


@contextmanager
def bare_config(config: Config) -> Iterator[None]:
    """Within it, `config.model` is the classifier's, without a model for test-time augmentation around it.

    Raises:
        ConfigError: what is around it is another one than ours, whose predictions lack raw scores and labels.
    """
    model = config.get('model')
    if not isinstance(model, Mapping) or not isinstance(model.get('module'), Mapping):
        yield
        return
    _check(model)
    around = {key: value for key, value in model.items() if key != 'module'}
    config.model = model['module']
    try:
        yield
    finally:
        config.model = ConfigDict(**around, module=config.model)


def complete_views(config: Config) -> None:
    """Give the options of the config's `view` to each `ScaledView` of its test views, and to the loader before it.

    Raises:
        ConfigError: the config's `tta_model` is not ours.
    """
    if isinstance(config.get('tta_model'), Mapping):
        _check(config.tta_model)
    view = view_of(config)
    loader = (config.get('test_dataloader') or {}).get('dataset') or {}
    for pipeline in (config.get('tta_pipeline'), loader.get('pipeline')):
        steps = list(_steps(pipeline))
        if any(step.get('type') in ('ScaledView', ScaledView) for step in steps):
            for step in steps:
                _complete(step, view)


def _complete(step: Any, view: View) -> None:
    own = {key: step[key] for key in ('type', 'factor', 'stride', 'backend_args') if key in step}
    if own.get('type') in ('ScaledView', ScaledView):
        step.clear()
        step.update(view.as_config() | own)
    elif own.get('type') in ('LoadRGBImage', LoadRGBImage):
        step.clear()
        step.update(view.decoding() | own)


def _check(wrapper: Mapping) -> None:
    kind = wrapper.get('type')
    built = component_of(kind, MODELS)
    if isinstance(built, type) and issubclass(built, BaseTTAModel) and not issubclass(built, AverageViewsTTA):
        raise ConfigError(
            f"tta_model: found '{built.__name__}', which gives no labels, expected dict(type='AverageViewsTTA'), which "
            'averages views, then calibrates and chooses labels; set it, or leave tta_model out'
        )


def _steps(pipeline: Any) -> Iterator[Any]:
    """All steps of a pipeline, those in lists and in other steps, too."""
    if isinstance(pipeline, Mapping):
        yield pipeline
        pipeline = pipeline.get('transforms')
    if isinstance(pipeline, list | tuple):
        for step in pipeline:
            yield from _steps(step)
