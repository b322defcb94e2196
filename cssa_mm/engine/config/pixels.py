"""One set of pixels for tower, pseudo-labels, tests and exports, in configs that are written the toolbox's way.

mmpretrain's data set files load images as BGR (`LoadImageFromFile`), and turn them into RGB and normalise them by a
`data_preprocessor` beside the model. Here loaders give RGB, and a frozen tower has statistics of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from cssa_mm.errors import ConfigError
from cssa_mm.features.view import LOADERS, pipelines
from cssa_mm.models import CSSAClassifier

LOADER = 'LoadImageFromFile'
# Its options that change pixels or storage, and the values that LoadRGBImage stands for.
LOADER_OPTIONS: dict[str, tuple] = dict(
    to_float32=(False,),
    color_type=('color',),
    imdecode_backend=('cv2', 'pillow', 'turbojpeg', None),
    file_client_args=(None,),
)
# Options of the preprocessor that checkpoints and exports don't carry: their one value, and why.
FIXED: dict[str, tuple[Any, str]] = dict(
    to_rgb=(False, 'images are RGB from their loader on'),
    batch_augments=(None, 'a pseudo-label belongs to one image'),
    pad_size_divisor=(1, 'predictions and exports do not pad'),
    pad_value=(0, 'predictions and exports do not pad'),
)
SAMPLE_KEYS = ('image_id', 'is_labelled', 'img_path', 'ori_shape', 'img_shape', 'flip')


def apply_pixels(config: Config) -> None:
    """Give mmpretrain's way of loading and normalising images its meaning here, in place.

    `LoadImageFromFile` becomes `LoadRGBImage`; `PackInputs` without `meta_keys` packs the keys that training reads; a
    `data_preprocessor` at the top level, which belongs to another model, is left out. Each is said in the log.

    Raises:
        ConfigError: an option would change pixels in training alone, or a pipeline has no step.
    """
    if config.get('data_preprocessor') is not None:
        found = config.pop('data_preprocessor')
        print_log(
            f'data_preprocessor: left out ({", ".join(found) if isinstance(found, Mapping) else found}), as images are '
            'RGB here and the frozen tower normalises them by its own statistics',
            'current',
            logging.WARNING,
        )
    options = (config.get('model') or {}).get('data_preprocessor')
    for key, (value, reason) in FIXED.items():
        if isinstance(options, Mapping) and options.get(key, value) != value:
            raise ConfigError(
                f'model.data_preprocessor.{key}: found {options[key]!r}, expected {value!r}, as {reason}; leave it out'
            )
    for name in LOADERS:
        for where, pipeline in pipelines(config, name):
            if not pipeline:
                raise ConfigError(
                    f"{where}: found no step, expected such as [dict(type='View', size=224), dict(type='PackInputs')]"
                )
            _mend(pipeline, where)
    _mend(config.get('tta_pipeline'), 'tta_pipeline')


def _mend(steps: Any, where: str) -> None:
    """Mend a pipeline, and the steps that others of it hold."""
    for step in steps if isinstance(steps, list | tuple) else ():
        if isinstance(step, list | tuple):
            _mend(step, where)
        elif isinstance(step, dict) and step.get('type') == LOADER:
            _load_rgb(step, where)
        elif isinstance(step, dict) and step.get('type') == 'PackInputs' and 'meta_keys' not in step:
            step['meta_keys'] = SAMPLE_KEYS
        elif isinstance(step, dict):
            _mend(step.get('transforms'), where)


def _load_rgb(step: dict, where: str) -> None:
    for key, values in LOADER_OPTIONS.items():
        if step.get(key, values[0]) not in values:
            raise ConfigError(
                f'{where}: found {LOADER} with {key}={step[key]!r}, expected {values[0]!r}; write '
                "dict(type='LoadRGBImage'), which gives RGB of 8 bits and has backend_args for storage"
            )
    storage = {key: step[key] for key in ('backend_args',) if step.get(key) is not None}
    step.clear()
    step.update(dict(type='LoadRGBImage') | storage)
    print_log(f'{where}: LoadRGBImage in place of {LOADER}, which gives BGR', 'current')


def check_statistics(model: CSSAClassifier) -> None:
    """Check that a model to be trained normalises pixels as its tower wants: checkpoints don't carry other numbers.

    Raises:
        ConfigError: mean or std is another one.
    """
    for key, expected in dict(mean=model.backbone.clip.mean, std=model.backbone.clip.std).items():
        found = getattr(model.data_preprocessor, key, None)
        numbers = None if found is None else [round(float(value), 3) for value in found.flatten()]
        wanted = [round(255 * value, 3) for value in expected]
        if numbers is None or any(abs(a - b) > 0.01 for a, b in zip(numbers, wanted, strict=True)):
            raise ConfigError(
                f'model.data_preprocessor.{key}: found {numbers}, expected {wanted}, those of the frozen tower, which '
                'predictions and exports use; leave it out'
            )
