"""Readings of labelled images by models that did not see their labels, for weights, thresholds and calibration.

The labelled images are dealt into folds. For each fold the training is done again from its start, with the fold among
the unlabelled images, and the model that results scores the fold. Everything is computed on kept features, so that a
fold costs the mathematics of a training and no image. The finished model comes back untouched.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor, nn
from tqdm import tqdm

from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.datasets.splits.stratified import stratified_indices
from cssa_mm.engine.non_finite_hook import on_fault
from cssa_mm.engine.optimiser_steps import OptimiserSteps
from cssa_mm.features.kept_items import known_samples
from cssa_mm.models import CSSAClassifier
from cssa_mm.semi.sampler import SemiSupervisedSampler
from cssa_mm.semi.semi_supervision import SemiSupervision, State

Snapshot = dict[str, Tensor]


def snapshot(model: nn.Module) -> Snapshot:
    """A copy of all that a model has learned: parameters and buffers of its checkpoint."""
    return {name: value.detach().clone() for name, value in _learned(model).items()}


def restore(model: CSSAClassifier, state: Snapshot) -> None:
    """Bring a model back to a snapshot."""
    if model.neighbours is not None:
        model.neighbours.make_room(len(state['neighbours.keys']))
    with torch.no_grad():
        for name, value in _learned(model).items():
            value.copy_(state[name])
    model.unfold()


def _learned(model: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in model.state_dict().items() if not name.endswith('_extra_state')}


def deal_folds(dataset: SemiMultiLabelDataset, folds: int, seed: int) -> list[np.ndarray]:
    """Deal the labelled images into folds whose label counts are alike; images of one group stay together.

    Large groups may leave fewer folds than asked for; none if they leave one, which would hold out every label.
    """
    labelled = dataset.labelled_indices
    labelled = labelled[(dataset.labels[labelled] >= 0).any(1)]  # a bad image has lost its labels
    order = labelled[stratified_indices(dataset.labels[labelled], len(labelled), seed)]
    keys: dict[object, int] = {}
    fold_of = np.empty(len(order), dtype=int)
    for position, index in enumerate(order):
        image_id = dataset.image_ids[index]
        group = (dataset.groups or {}).get(image_id)
        fold_of[position] = keys.setdefault(image_id if group is None else ('group', group), len(keys)) % folds
    dealt = [np.sort(order[fold_of == fold]) for fold in range(folds) if (fold_of == fold).any()]
    return dealt if len(dealt) > 1 else []


class FoldReadings(NamedTuple):
    """What a model reads in images whose labels it did not see; see `Reader.read`.

    held_out: indices (h,) of these labelled images.
    readings: of them.
    references: of the reference images.
    """

    held_out: np.ndarray
    readings: Tensor
    references: Tensor


def cross_fitted_readings(
    runner: Runner, algorithm: SemiSupervision, start: Snapshot, folds: list[np.ndarray], references: np.ndarray
) -> Iterator[FoldReadings]:
    """Train on all but one fold, and read that fold, for each fold; all ranks must call it.

    Args:
        runner: of the finished training; its model is trained again and comes back as it is.
        algorithm: of the finished training; its features must be kept.
        start: the model before the first step.
        folds: indices of labelled images.
        references: indices of the reference images.
    """
    model = algorithm.model
    finished = snapshot(model)
    generator = torch.get_rng_state()
    try:
        for number, held_out in enumerate(folds, start=1):
            restore(model, start)
            fold = _without_labels(algorithm, held_out)
            with _quiet():
                fold.prepare()
                _train(runner, fold, f'Fold {number} of {len(folds)}')
                fold.refresh()
                yield FoldReadings(held_out, fold.reader.read(held_out), fold.reader.read(references))
    finally:
        restore(model, finished)
        torch.set_rng_state(generator)
        model.train()


def _without_labels(algorithm: SemiSupervision, held_out: np.ndarray) -> SemiSupervision:
    """The algorithm on the same images, of which these are unlabelled; no truth of theirs reaches it."""
    dataset = copy.copy(algorithm.dataset)
    dataset.labels, dataset.hidden_labels = dataset.labels.copy(), dataset.hidden_labels.copy()
    dataset.is_labelled = dataset.is_labelled.copy()
    dataset.labels[held_out] = dataset.hidden_labels[held_out] = -1
    dataset.is_labelled[held_out] = False
    features = copy.copy(algorithm.features)
    features.dataset = dataset
    # The stored images stay the same: another number of them would not fit into the finished model.
    images = None if algorithm.images is None else algorithm.images.with_labels(dataset)
    return replace(algorithm, dataset=dataset, features=features, state=State(), images=images)


def _train(runner: Runner, fold: SemiSupervision, description: str) -> None:
    """The training of a runner's config, step by step as its loop does it, without hooks."""
    loop = runner.train_loop
    theirs = loop.dataloader.batch_sampler.sampler
    sampler = _FoldSampler(fold.dataset, theirs)
    optimiser = runner.build_optim_wrapper(copy.deepcopy(runner.cfg.optim_wrapper))
    schedulers = _schedulers(runner, optimiser)
    optimiser.initialize_count_status(runner.model, 0, loop.max_iters)
    optimiser.zero_grad()  # a training that was interrupted within a step may have left some
    steps = OptimiserSteps(runner.model, optimiser, on_fault(runner, description))
    progress = tqdm(total=loop.max_iters, desc=description, leave=False, disable=sampler.rank != 0)
    for epoch in range(loop.max_epochs):
        sampler.set_epoch(epoch)
        if epoch >= loop.warmup_epochs:
            fold.begin_epoch(epoch)
        runner.model.train()
        for batch in sampler.global_batches():
            mine = [key for share in sampler.shares(batch) for key in share]
            samples = known_samples(fold.dataset, mine)
            known = dict(targets=fold.targets(samples), features=fold.features.of_batch(samples))
            steps.take(dict(data_samples=samples, **known))
            if steps.was_made:
                fold.after_step()
                _step(schedulers, by_epoch=False)
            progress.update()
        _step(schedulers, by_epoch=True)
    progress.close()


class _FoldSampler(SemiSupervisedSampler):
    """The sampler of a fold, with the epochs of the whole training: its schedules stay as they are."""

    def __init__(self, dataset: SemiMultiLabelDataset, theirs: SemiSupervisedSampler) -> None:
        super().__init__(dataset, theirs.labelled_per_batch, theirs.seed, theirs.rank, theirs.world_size)
        self.set_batch_size(theirs.batch_size)
        self.warmup_epochs, self.accumulation = theirs.warmup_epochs, theirs.accumulation
        self.theirs = theirs

    def num_batches(self, epoch: int) -> int:
        return self.theirs.num_batches(epoch)


def _schedulers(runner: Runner, optimiser: OptimWrapper) -> list:
    """The schedulers of the config on another optimiser, its learning rate scaled as that of the runner.

    mmengine builds them for the optimiser of the runner only, and scales before any is built.
    """
    finished = runner.optim_wrapper, runner.param_schedulers
    runner.optim_wrapper, runner.param_schedulers = optimiser, None
    try:
        runner.scale_lr(optimiser, runner.auto_scale_lr)
        built = runner.build_param_scheduler(copy.deepcopy(runner.cfg.get('param_scheduler')) or [])
    finally:
        runner.optim_wrapper, runner.param_schedulers = finished
    return built if isinstance(built, list) else [s for several in built.values() for s in several]


def _step(schedulers: list, by_epoch: bool) -> None:
    for scheduler in schedulers:
        if scheduler.by_epoch == by_epoch:
            scheduler.step()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what a training logs, which has been said once, out of the log."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
