"""Every value of a config compared with what takes it, before anything is built.

Our components tell which values fit by the annotations of their constructors (`cssa_mm/values`); for those of the
toolbox `toolbox_values.py` does. Components of the user's own, and options that neither tells of, are left to whoever
takes them.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mmengine.config import Config

from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.engine.config.section_readers import GIVEN, reader_of, sections_of, without_places
from cssa_mm.engine.config.toolbox_values import COMPONENTS, Hints, hints_at
from cssa_mm.errors import ConfigError
from cssa_mm.semi.policies import POLICIES
from cssa_mm.values import check_values, described, hints_of, require_value

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
GIVEN_BY_LOADER = {'dataset', 'sampler', 'batch_size'}
# What must be a dict, if it is there, before anything else of a config can be looked at.
SECTIONS = (
    'model', 'model.backbone', 'model.head', 'model.head.prompts', 'model.head.centring', 'train_cfg', 'val_cfg',
    'test_cfg', 'view', 'default_hooks', 'optim_wrapper', 'auto_scale_lr', 'randomness', 'env_cfg', 'visualizer',
    *LOADERS, *(f'{name}.{part}' for part in ('dataset', 'sampler') for name in LOADERS),
)  # fmt: skip


def check_sections(config: Mapping[str, Any]) -> None:
    """Check that each section that is there is a dict, so that its keys can be looked at.

    Raises:
        ConfigError: one is not.
    """
    for path in SECTIONS:
        value: Any = config
        for name in path.split('.'):
            value = value.get(name) if isinstance(value, Mapping | Config) else None
        require_value(path, value, Mapping | None)


def check_component_values(config: Config) -> None:
    """Check the values of all sections.

    Raises:
        ConfigError: one line with the first that does not fit, and what is expected.
    """
    plain = config.to_dict() if isinstance(config, Config) else config
    for place, section in [('', plain), *sections_of(plain)]:
        path = re.sub(r'\[(\d+)\]', r'.\1', place)  # as overrides write it
        for hints in _tables(place, section):
            for key, hint in hints.items():
                if key in section:
                    require_value(f'{path}.{key}' if path else key, section[key], hint)
        if place:
            _check_component(place, section, path)


def _tables(path: str, section: Mapping[str, Any]) -> Iterator[Hints]:
    yield hints_at(without_places(path))
    reader = reader_of(path, section)
    if inspect.isclass(reader):
        yield from (hints for kind, hints in COMPONENTS.items() if issubclass(reader, kind))


def _check_component(place: str, section: Mapping[str, Any], path: str) -> None:
    reader: Any = reader_of(place, section)
    if without_places(place).endswith('.policy'):
        reader = POLICIES.get(section['name']) if isinstance(section.get('name'), str) else None
    is_ours = callable(reader) and reader.__module__.startswith('cssa_mm.')
    if not (is_ours or inspect.isclass(reader)):
        return
    for key in _required(reader) if is_ours else ():
        if key not in section:
            raise ConfigError(f'{path}.{key}: found none, expected {described(hints_of(reader)[key])}')
    is_dataset = inspect.isclass(reader) and issubclass(reader, SemiMultiLabelDataset)
    # What is not said of a data set is found.
    said = {key: value for key, value in section.items() if key != 'type' and not (is_dataset and value is None)}
    check_values(reader, said, path, takes_digits=is_dataset)


def _required(reader: Callable) -> list[str]:
    """What a config must say to a component of ours."""
    parameters = inspect.signature(reader).parameters
    return [key for key in hints_of(reader) if key in parameters and _is_needed(parameters[key])]


def _is_needed(parameter: inspect.Parameter) -> bool:
    return parameter.default is parameter.empty and parameter.name not in GIVEN | GIVEN_BY_LOADER
