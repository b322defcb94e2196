"""Which settings of a config differ from those that a checkpoint was trained with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cssa_mm.engine.config_text import UNREADABLE, read_sections

# What decides the course of a training, beside the hook of the algorithm.
SECTIONS = (
    'param_scheduler', 'optim_wrapper', 'auto_scale_lr', 'train_cfg', 'train_dataloader', 'randomness', 'model',
)  # fmt: skip
# Keys that change how fast a step is, or where a file lies.
INDIFFERENT = {
    'num_workers', 'persistent_workers', 'pin_memory', 'pin_memory_device', 'prefetch_factor', 'timeout', 'val_begin',
    'val_interval', 'data_root', 'pretrained', 'config_dir',
}  # fmt: skip
LONGEST = 60
Settings = dict[str, Any]


def settings_of_checkpoint(content: Mapping[str, Any]) -> Settings | None:
    """Dotted key -> value of the config that a checkpoint was trained with; None where it holds no readable one."""
    text = (content.get('meta') or {}).get('cfg')
    try:
        return settings_of(read_sections(text, (*SECTIONS, 'default_hooks'))) if text else None
    except UNREADABLE:
        return None


def settings_of(config: Mapping[str, Any]) -> Settings:
    """Dotted key -> value of a config."""
    sections = {name: config[name] for name in SECTIONS if name in config}
    algorithm = dict((config.get('default_hooks') or {}).get('pseudo_labels') or {})
    algorithm.pop('batch_size', None)  # of scoring, which changes its speed
    cache = dict(algorithm.pop('feature_cache', None) or {})
    defaults = dict(dtype='float32', strong_views=0)  # the keys that change more than the speed
    algorithm |= {f'feature_cache.{key}': cache[key] for key, v in defaults.items() if cache.get(key, v) != v}
    return dict(_leaves(sections | dict(default_hooks=dict(pseudo_labels=algorithm)), ''))


def differences(before: Settings, now: Settings) -> list[str]:
    """Each setting that differs, as `optim_wrapper.optimizer.lr 0.001 -> 1e-06`."""
    keys = [key for key in before if key not in now] + list(now)
    changed = [key for key in keys if key not in before or key not in now or before[key] != now[key]]
    return [f'{key} {_shown(before, key)} -> {_shown(now, key)}' for key in changed]


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            if key not in INDIFFERENT:
                yield from _leaves(item, f'{path}.{key}' if path else str(key))
    elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
        for index, item in enumerate(value):
            yield from _leaves(item, f'{path}[{index}]')
    elif value is None or isinstance(value, str | int | float | bool):
        yield path, value
    elif isinstance(value, list | tuple | Mapping):
        yield path, str(_plain(value))
    elif isinstance(value, type):  # MMEngine writes its name
        yield path, f'{value.__module__}.{value.__qualname__}'


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _shown(settings: Settings, key: str) -> str:
    if key not in settings:
        return 'none'
    text = str(settings[key])
    return text if len(text) <= LONGEST else f'{text[: LONGEST - 3]}...'
