"""The untrained model as training would begin it: nothing learned, but bias, contexts and thresholds from labels.

That is CLIP's own answer. A config with evidence (`cssa_plus`) gives it without evidence and without neighbours, which
training fits: what "zero-shot" means in every table. A config with neighbours and no evidence gives zero-shot with
neighbours, which need no label.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmpretrain.registry import DATASETS, HOOKS

from cssa_mm.engine.bad_image_hook import BadImageHook
from cssa_mm.engine.calibration_hook import CalibrationHook
from cssa_mm.models import CSSAClassifier
from cssa_mm.semi import PseudoLabelHook

NAMES = ('bad_images', 'pseudo_labels', 'calibration')


def start_untrained(
    model: CSSAClassifier,
    config: Config,
    hooks: Iterable[Hook] | None = None,
    fit_neighbours: Callable[[CSSAClassifier], None] | None = None,
) -> None:
    """Set what labelled images say of an untrained model, and its neighbours if it has some; all ranks must call it.

    Args:
        model: the model of the config, in which nothing is trained.
        config: its config, whose training set has the labelled images.
        hooks: those of a runner; by default those of the config are built.
        fit_neighbours: gives the model its neighbours, before thresholds are found on scores that lean on them. By
            default they are the training images, without their labels, if the model has neighbours and no evidence.

    Raises:
        DataError: images, labels or class names are missing or don't fit.
    """
    if hooks is None:
        found = (config.get('default_hooks') or {}).items()
        hooks = [HOOKS.build(dict(hook)) for name, hook in found if name in NAMES and hook is not None]
    try:
        _prepare(model, config, list(hooks), fit_neighbours)
    finally:
        centring = model.head.centring
        if centring is not None and not bool(centring.is_fitted):
            print_log(
                f"Centring: no training images have fitted weight='auto', which is {float(centring.weight):g} now; "
                'model.head.centring.weight=NUMBER sets it',
                'current',
                logging.WARNING,
            )


def _prepare(
    model: CSSAClassifier,
    config: Config,
    hooks: Sequence[Hook],
    fit_neighbours: Callable[[CSSAClassifier], None] | None,
) -> None:
    algorithms = [hook for hook in hooks if isinstance(hook, PseudoLabelHook)]
    if not algorithms:
        return
    train = DATASETS.build(config.train_dataloader.dataset)
    for guard in hooks:
        if isinstance(guard, BadImageHook):
            guard.inspect(train)
    algorithm = algorithms[0].algorithm(model, train, config)
    algorithm.features.fill_from_folder()
    algorithm.prepare()
    if fit_neighbours is not None:
        fit_neighbours(model)
    elif model.evidence is None:
        algorithm.refresh()
    for calibration in hooks:
        if isinstance(calibration, CalibrationHook):
            calibration.calibrate_untrained(algorithm)
