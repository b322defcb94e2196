"""The optimiser of a config: what cannot work is refused in one line, and its rate is that of the global batch."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmpretrain.registry import OPTIM_WRAPPERS

from cssa_mm.compat import mend_scalars
from cssa_mm.engine.optimiser_steps import accumulation_of, count_in_steps
from cssa_mm.errors import ConfigError, is_whole_number, nearest
from cssa_mm.names import component_of

# What clips gradients, by the `type` of `clip_grad`, with the option that each needs.
CLIPS: dict[str, tuple[Callable, str]] = {
    'norm': (torch.nn.utils.clip_grad_norm_, 'max_norm'),
    'value': (torch.nn.utils.clip_grad_value_, 'clip_value'),
}
EXAMPLE = "optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-3))"


def check_optimiser(config: Config) -> None:
    """Check what mmengine would refuse late, or without saying where.

    Raises:
        ConfigError: the optimiser is missing, there are several, or an option of it cannot work.
    """
    section = config.get('optim_wrapper')
    if section is None:
        if config.get('train_cfg') is not None and config.get('train_dataloader') is not None:
            raise ConfigError(f'optim_wrapper: found none beside train_cfg, expected an optimiser, such as {EXAMPLE}')
        return
    accumulation_of(section)
    optimizer = section.get('optimizer')
    if not isinstance(optimizer, Mapping) or 'type' not in optimizer:
        raise ConfigError(f'optim_wrapper.optimizer: found {optimizer!r}, expected a dict with its type: {EXAMPLE}')
    if optimizer['type'] in ('LBFGS', torch.optim.LBFGS):
        raise ConfigError(
            'optim_wrapper.optimizer.type: found LBFGS, which computes a step several times, expected one that takes '
            "it from one gradient, such as 'AdamW'"
        )
    if 'LearningRateDecay' in str(section.get('constructor')) or 'layer_decay_rate' in (
        section.get('paramwise_cfg') or {}
    ):
        raise ConfigError(
            'optim_wrapper.constructor: found rates that decay by layers of the backbone (layer_decay_rate), which is '
            'frozen here; leave constructor and layer_decay_rate out, and set rates of parts by '
            'paramwise_cfg.custom_keys'
        )
    _check_clip(section.get('clip_grad'))


def _check_clip(clip: Any) -> None:
    if clip is None:
        return
    where = 'optim_wrapper.clip_grad'
    if not isinstance(clip, Mapping) or clip.get('type', 'norm') not in CLIPS:
        raise ConfigError(
            f'{where}: found {clip!r}, expected dict(max_norm=1.0), or dict(type="value", clip_value=0.5)'
        )
    function, needed = CLIPS[clip.get('type', 'norm')]
    known = set(inspect.signature(function).parameters) - {'parameters'} | {'type'}
    for key in clip:
        if key not in known:
            raise ConfigError(
                f"{where}: found the unknown key '{key}', expected one of {', '.join(sorted(known))}."
                f'{nearest(key, known)}'
            )
    if needed not in clip:
        raise ConfigError(f'{where}.{needed}: found none, expected a number above 0')


def build_optimiser(section: OptimWrapper | Mapping, build: Callable[[Any], Any]) -> OptimWrapper:
    """Build the optimiser of a config by mmengine's function; it counts steps where mmengine's counts batches.

    Raises:
        ConfigError: an option is wrong, or the machine lacks what it needs.
    """
    try:
        built = count_in_steps(build(section))
        mend_scalars(built.optimizer)
        return built
    # Optimisers check their options as they like, and mmengine asserts.
    except (AssertionError, AttributeError, ImportError, KeyError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(section, Mapping) and _is_amp(section.get('type')) and not torch.cuda.is_available():
            raise ConfigError(
                f'optim_wrapper.type: found {section["type"]}, mixed precision, on a machine without CUDA, expected '
                "'OptimWrapper' there; leave it or --amp out"
            ) from error
        reason = ' '.join(str(error).split())[:300] or type(error).__name__
        raise ConfigError(
            f'optim_wrapper: found options that build no optimiser ({reason}), expected those of its classes; correct '
            'them'
        ) from error


def _is_amp(kind: Any) -> bool:
    found = component_of(kind, OPTIM_WRAPPERS)
    return isinstance(found, type) and issubclass(found, AmpOptimWrapper)


def scale_rates(optimiser: OptimWrapper, options: Mapping[str, Any] | None, batch_size: int) -> None:
    """Scale the rates by the images of a step, which all processes share, if the options (`auto_scale_lr`) enable it.

    mmengine multiplies `batch_size` by the number of processes; here it is that of all processes already.

    Raises:
        ConfigError: the options do not tell the batch size that the rates are meant for.
    """
    if not options or not options.get('enable', False):
        return
    base, parts = options.get('base_batch_size'), accumulation_of(optimiser)
    if not is_whole_number(base, 1):
        raise ConfigError(
            f'auto_scale_lr.base_batch_size: found {base!r}, expected the number of images of a step that the learning '
            'rate is meant for, such as 64'
        )
    factor = parts * batch_size / base
    print_log(
        f'The learning rate is meant for {base} images a step (auto_scale_lr.base_batch_size); it is multiplied by '
        f'{factor:g}, as a step is on {parts * batch_size}'
        f'{f", {parts} batches of {batch_size}" if parts > 1 else ""}, whatever the number of processes',
        'current',
    )
    for group in optimiser.param_groups:  # among them that of the rate in the log
        group['lr'] *= factor
