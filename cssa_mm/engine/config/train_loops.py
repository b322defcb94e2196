"""The loops of a config: mmengine's epochs become those of the semi-supervised loop, what has no meaning is refused."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, TestLoop, ValLoop
from mmpretrain.registry import LOOPS

from cssa_mm.datasets.questions import accepted_kinds
from cssa_mm.engine.loop import SemiSupervisedTrainLoop
from cssa_mm.errors import ConfigError
from cssa_mm.names import component_of
from cssa_mm.values import check_values

PHASES = ('warmup_epochs', 'semi_epochs')
# (R) The share of the epochs that warm up: 12 of 40, as in configs/_base_/schedules/cssa.py.
NO_EPOCH = 'no_epoch'  # what the key `accept` calls a training without an epoch
WARM_UP = 0.3


def apply_loops(config: Config) -> None:
    """Turn mmengine's epochs of `train_cfg` into those of the semi-supervised loop, in place, and check all loops.

    `max_epochs` are the epochs of both phases: without `warmup_epochs` or `semi_epochs`, a share of .3 warms up.
    Schedule files of mmpretrain leave out the loops of validation and test, or their types; data for them is enough.

    Raises:
        ConfigError: the training counts iterations, numbers of epochs contradict each other, or a value is invalid.
    """
    for part, kind in (('val', ValLoop), ('test', TestLoop)):
        if config.get(f'{part}_dataloader') is not None and f'{part}_cfg' not in config:
            config[f'{part}_cfg'] = {}
        _check_evaluation(config.get(f'{part}_cfg'), f'{part}_cfg', kind)
    if 'warmup_epochs' in config:
        print_log(
            f'warmup_epochs={config.pop("warmup_epochs")}: a variable of a schedule file, which nothing else reads; '
            'the epochs over the labelled images alone are train_cfg.warmup_epochs',
            'current',
        )
    section = config.get('train_cfg')
    if section is None:
        return
    _refuse_iterations(section, config.get('train_dataloader') or {})
    kind = component_of(section.get('type', EpochBasedTrainLoop), LOOPS)
    if kind is EpochBasedTrainLoop:
        section.type = 'SemiSupervisedTrainLoop'
    elif not (isinstance(kind, type) and issubclass(kind, SemiSupervisedTrainLoop)):
        return  # a loop of the user, or an unknown one, which is told where components are checked
    section.pop('by_epoch', None)  # for loops without a type
    if 'max_epochs' in section:
        _divide(section)
    check_values(SemiSupervisedTrainLoop, section, 'train_cfg')  # those of a loop that took the place of mmengine's
    _refuse_nothing(section, accepted_kinds(config.get('accept')))
    _check_intervals(section.get('dynamic_intervals'))


def _refuse_iterations(section: Mapping[str, Any], loader: Mapping[str, Any]) -> None:
    kind = component_of(section.get('type'), LOOPS)
    counts = isinstance(kind, type) and issubclass(kind, IterBasedTrainLoop)
    if not counts and section.get('by_epoch', True) is True and 'max_iters' not in section:
        return
    what = f'max_iters={section["max_iters"]}' if 'max_iters' in section else 'iterations (by_epoch=False)'
    size, labelled = loader.get('batch_size'), (loader.get('sampler') or {}).get('labelled_per_batch', 4)
    steps = (
        f'the number of unlabelled images / {size - labelled}'
        if isinstance(size, int) and isinstance(labelled, int) and labelled < size
        else 'a pass over them'
    )
    raise ConfigError(
        f'train_cfg: found {what}, expected epochs, before each of which pseudo-labels are made; set '
        f"train_cfg=dict(type='SemiSupervisedTrainLoop', warmup_epochs=12, semi_epochs=28), where the steps of a "
        f'semi-supervised epoch are {steps}'
    )


def _divide(section: Any) -> None:
    """Put `warmup_epochs` and `semi_epochs` in place of `max_epochs`."""
    check_values(SemiSupervisedTrainLoop, section, 'train_cfg')
    total = section.pop('max_epochs')
    warm_up, semi = (section.get(name) for name in PHASES)
    if warm_up is not None and semi is not None and warm_up + semi != total:
        share = round(WARM_UP * total)
        raise ConfigError(
            f'train_cfg: found max_epochs={total} beside warmup_epochs={warm_up} and semi_epochs={semi}, which make '
            f'{warm_up + semi}, expected two of the three; for {total} epochs in all leave max_epochs out, and set '
            f'train_cfg.warmup_epochs={share} train_cfg.semi_epochs={total - share}, or others; numbers of an '
            f'inherited config go with train_cfg=dict(_delete_=True, max_epochs={total})'
        )
    for name, given in (('warmup_epochs', warm_up), ('semi_epochs', semi)):
        if given is not None and given > total:
            raise ConfigError(f'train_cfg.{name}: found {given} of max_epochs={total}, expected at most as many')
    is_chosen = warm_up is None and semi is None
    if warm_up is None:
        warm_up = round(WARM_UP * total) if semi is None else total - semi
    section.warmup_epochs, section.semi_epochs = warm_up, total - warm_up
    if is_chosen:
        print_log(
            f'train_cfg: of max_epochs={total}, warmup_epochs={warm_up} are over the labelled images, and '
            f'semi_epochs={total - warm_up} over the unlabelled ones; set the two to choose others',
            'current',
        )


def _refuse_nothing(section: Mapping[str, Any], accepted: Collection[str]) -> None:
    """Refuse a training without an epoch, unless it is meant: a study measures untrained models by the same way."""
    if NO_EPOCH not in accepted and section.get('warmup_epochs', 1) == 0 and section.get('semi_epochs', 1) == 0:
        raise ConfigError(
            'train_cfg: found warmup_epochs=0 and semi_epochs=0, which train nothing, expected an epoch at least; set '
            'one of the two, or measure the untrained model: cssa test CONFIG none'
        )


def _check_intervals(pairs: Any) -> None:
    """Check epochs and the intervals of validation from there on, in rising order."""
    if pairs is None:
        return
    if [pair[0] for pair in pairs] != sorted({pair[0] for pair in pairs}):
        raise ConfigError(
            f'train_cfg.dynamic_intervals: found {pairs!r}, expected rising pairs of a first epoch and the epochs '
            'between validations from there on, such as [(20, 2), (30, 1)]'
        )


def _check_evaluation(section: Any, where: str, expected: type) -> None:
    kind = component_of((section or {}).get('type'), LOOPS)
    # mmpretrain's own loops are for retrieval.
    if isinstance(kind, type) and (not issubclass(kind, expected) or kind.__module__.startswith('mmpretrain.')):
        raise ConfigError(
            f"{where}.type: found {kind.__name__}, expected '{expected.__name__}', which reads each image once; leave "
            'the type out'
        )
