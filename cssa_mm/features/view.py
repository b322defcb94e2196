"""The plain view, named once in the config, and its mirror image: the views that are scored, cached and tested."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmcv.transforms import BaseTransform, RandomFlip
from mmengine.config import Config
from mmengine.logging import print_log
from mmpretrain.datasets.transforms import PackInputs

from cssa_mm.datasets.view import View
from cssa_mm.errors import ConfigError
from cssa_mm.models import CSSAClassifier

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
META_KEYS = ('image_id', 'flip')  # of a view that is encoded


def view_of(config: Mapping) -> View:
    """The plain view of a config.

    Raises:
        ConfigError: the config names no view.
    """
    options = config.get('view')
    if not isinstance(options, Mapping):
        raise ConfigError(
            f"view: found {options!r}, expected the plain view of the images, such as view=dict(type='View', size=224)"
        )
    return View(**{key: value for key, value in options.items() if key != 'type'})


def model_view(model: CSSAClassifier) -> View:
    """The plain view that a model scores images on.

    Raises:
        ConfigError: the model has no view.
    """
    if model.view is None:
        raise ConfigError(
            "model.view: found none, expected the view that images are scored on, such as dict(type='View', "
            'size=224); build the model by load_model, or by load_config and its config.model'
        )
    return model.view


def apply_view(config: Config) -> None:
    """Make every `View` step of the config's pipelines, and the model's view, that of the key `view`, in place.

    A config file names its view once and builds its pipelines from it; an override of `view` reaches them here.

    Raises:
        ConfigError: a pipeline, or the model, has a `View` of its own, while others have that of the key.
    """
    view = view_of(config)
    steps = [found for name in LOADERS for found in _view_steps(config, name)]
    model_view = (config.get('model') or {}).get('view')
    if isinstance(model_view, Mapping):
        steps.append(('model.view', model_view))
    own = [(name, step) for name, step in steps if View(**_options(step)) != view]
    if own and len(own) < len(steps):
        name, step = own[0]
        raise ConfigError(
            f'{name}: found {View(**_options(step))}, expected {view}, the `view` of the config, '
            'which training, pseudo-labels and tests share; override view alone, e.g. view.size=448'
        )
    if own:
        print_log(f'view: {view} in all pipelines, in place of {View(**_options(own[0][1]))}', 'current')
    for _, step in own:
        storage = {key: step[key] for key in ('backend_args',) if key in step}
        step.clear()
        step.update(view.as_config() | storage)
    if config.get('model'):
        config.model.view = view.as_config()


def pipelines(config: Mapping, name: str) -> Iterator[tuple[str, list]]:
    """Path and steps of the pipelines of a loader's data set, also of those inside its wrappers."""
    yield from _pipelines_below((config.get(name) or {}).get('dataset'), f'{name}.dataset')


def _pipelines_below(dataset: Any, path: str) -> Iterator[tuple[str, list]]:
    if not isinstance(dataset, Mapping):
        return
    if isinstance(dataset.get('pipeline'), list):
        yield f'{path}.pipeline', dataset['pipeline']
    yield from _pipelines_below(dataset.get('dataset'), f'{path}.dataset')
    for number, part in enumerate(dataset.get('datasets') or ()):
        yield from _pipelines_below(part, f'{path}.datasets[{number}]')


def _view_steps(config: Mapping, name: str) -> list[tuple[str, Any]]:
    return [
        (where, step)
        for where, pipeline in pipelines(config, name)
        for step in pipeline
        if isinstance(step, Mapping) and step.get('type') == 'View'
    ]


def _options(step: Mapping) -> dict:
    return {key: value for key, value in step.items() if key not in ('type', 'backend_args')}


def scoring_pipeline(view: View, mirrored: bool = False) -> list[dict]:
    """The transforms that lead from an image file to a packed plain view, or to its mirror image."""
    flip = [dict(type='RandomFlip', prob=1.0, direction='horizontal')] if mirrored else []
    return [view.as_config(), *flip, dict(type='PackInputs', meta_keys=META_KEYS)]


def draws_view_or_mirror(transforms: Sequence[BaseTransform], view: View) -> bool:
    """Whether a training pipeline yields the plain view or its mirror image, records which, and does nothing else."""
    if len(transforms) != 3:
        return False
    first, flip, pack = transforms
    return (
        first == view
        and isinstance(flip, RandomFlip)
        and flip.direction == 'horizontal'
        and isinstance(pack, PackInputs)
        and 'flip' in pack.meta_keys
    )


def shows_view_alone(transforms: Sequence[BaseTransform], view: View) -> bool:
    """Whether a pipeline yields the plain view, and does nothing else."""
    return len(transforms) == 2 and transforms[0] == view and isinstance(transforms[1], PackInputs)
