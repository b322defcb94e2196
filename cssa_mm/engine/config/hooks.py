"""Hooks of mmengine and mmpretrain in a config: those that would do harm are refused, and rules are filled in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.hooks import CheckpointHook, EarlyStoppingHook, EMAHook, Hook, SyncBuffersHook
from mmpretrain.registry import HOOKS

from cssa_mm.engine.monitored import direction
from cssa_mm.errors import ConfigError, nearest
from cssa_mm.names import component_of

RULES = ('greater', 'less')
# What metrics of ours and of mmpretrain give.
RESULTS = [
    *(f'{who}/{name}' for who in ('ema', 'student') for name in ('mAP', 'CF1', 'OF1')),
    *(f'multi-label/{name}' for name in ('precision', 'recall', 'f1-score', 'mAP')),
]
REFUSED = {
    'PreciseBNHook': 'no batch norm is trained: the tower is frozen',
    'SwitchRecipeHook': (
        'pipeline, loss and batch augmentation are those of the whole training, in which features are kept and labels '
        'may be unknown; train twice, the second time with load_from'
    ),
    'WarmupParamHook': 'it counts epochs of one length, and the epochs of the warm-up are shorter here',
    'ClassNumCheckHook': 'the classes of all data sets are compared with those of the model, names and order, anyway',
    'SetAdaptiveMarginsHook': 'it belongs to ArcFaceClsHead',
    'DenseCLHook': 'it belongs to DenseCL',
    'SimSiamHook': 'it belongs to SimSiam',
    'SwAVHook': 'it belongs to SwAV',
    'PrepareProtoBeforeValLoopHook': 'it belongs to image retrieval',
}


def check_hooks(config: Config) -> None:
    """Refuse hooks that would do harm, and give `save_best` and early stopping the rule that their metric implies.

    Raises:
        ConfigError: a hook is refused, or no rule is known.
    """
    for path, hook in _hooks(config):
        kind = hook.get('type')
        found = component_of(kind, HOOKS)
        if not isinstance(found, type):
            continue
        _refuse(found, path)
        if issubclass(found, CheckpointHook):
            _check_checkpoint_hook(hook, path)
        elif issubclass(found, EarlyStoppingHook):
            if not isinstance(hook.get('monitor'), str):
                raise ConfigError(
                    f"{path}.monitor: found {hook.get('monitor')!r}, expected the name of a metric, e.g. 'ema/mAP'"
                )
            _fill_rule(hook, path, [hook['monitor']], is_list=False)


def _hooks(config: Config) -> Iterator[tuple[str, Any]]:
    custom = config.get('custom_hooks') or []
    if isinstance(custom, Mapping | str) or not isinstance(custom, Sequence):
        raise ConfigError(f"custom_hooks: found {custom!r}, expected a list, e.g. [dict(type='EmptyCacheHook')]")
    named = [(f'default_hooks.{name}', hook) for name, hook in (config.get('default_hooks') or {}).items()]
    for path, hook in [*named, *((f'custom_hooks[{number}]', hook) for number, hook in enumerate(custom))]:
        if isinstance(hook, Mapping):
            yield path, hook
        elif not (isinstance(hook, Hook) or (hook is None and path.startswith('default_hooks.'))):
            raise ConfigError(f"{path}: found {hook!r}, expected a hook such as dict(type='EmptyCacheHook')")


def _refuse(hook: type, path: str) -> None:
    reason = REFUSED.get(hook.__name__)
    if issubclass(hook, EMAHook):
        reason = (
            'its average would take the place of the student, whose average is the teacher already; set '
            'model.ema=dict(decay=..., warm_up=...)'
        )
    elif issubclass(hook, SyncBuffersHook):
        reason = 'the buffers are the same on every rank'
    if reason is not None:
        raise ConfigError(f'{path}: found {hook.__name__}, expected none: {reason}; take it out')


def _check_checkpoint_hook(hook: Any, path: str) -> None:
    best = hook.get('save_best')
    names = [best] if isinstance(best, str) else best
    if names is not None and (
        not isinstance(names, list | tuple) or not all(isinstance(name, str) and name for name in names)
    ):
        raise ConfigError(
            f"{path}.save_best: found {best!r}, expected the name of a metric such as 'ema/mAP', a list of names, "
            "'auto' or None"
        )
    if names and 'auto' in names and len(names) > 1:
        raise ConfigError(f"{path}.save_best: found 'auto' among {len(names)} names, expected it alone")
    if names and len(set(names)) < len(names):
        raise ConfigError(f'{path}.save_best: found a name twice in {best!r}, expected each once')
    if names:
        _fill_rule(hook, path, list(names), is_list=not isinstance(best, str))
    published = hook.get('published_keys')
    if published is not None and 'state_dict' not in ([published] if isinstance(published, str) else published):
        raise ConfigError(
            f"{path}.published_keys: found {published!r}, expected 'state_dict' among them, without which nothing can "
            "be loaded; add it, e.g. ['state_dict', 'meta']"
        )


def _fill_rule(hook: Any, path: str, names: list[str], is_list: bool) -> None:
    """Set the rule of a hook where it has none; mmengine knows few names, and takes parts of class names for them."""
    rule = hook.get('rule')
    rules = [rule] if isinstance(rule, str) else rule
    if rules is not None:
        if (
            not isinstance(rules, list | tuple)
            or any(one not in RULES for one in rules)
            or len(rules) not in (1, len(names))
        ):
            raise ConfigError(f"{path}.rule: found {rule!r}, expected 'greater' or 'less', or a list of one a name")
        return
    if names == ['auto'] or hook.get('greater_keys') or hook.get('less_keys'):
        return
    known = [direction(name) for name in names]
    if None in known:
        raise ConfigError(
            f"{path}.rule: found none for '{names[known.index(None)]}', expected 'greater' or 'less', whichever is "
            f'better; or another name.{nearest(names[known.index(None)], RESULTS)}'
        )
    hook['rule'] = known if is_list else known[0]
