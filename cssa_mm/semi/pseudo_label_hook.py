"""The adapter between the semi-supervised algorithm and MMEngine's runner."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook, Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.datasets.wrong_labels import checked_share
from cssa_mm.evaluation.held_out_scores import forget_held_out
from cssa_mm.evaluation.pseudo_label_quality import format_table
from cssa_mm.evaluation.pseudo_label_records import FILE, Record, append_record, keep_records
from cssa_mm.features.evaluation import keep_evaluation
from cssa_mm.features.frozen_features import FrozenFeatures
from cssa_mm.features.kept_items import read_in_this_process
from cssa_mm.features.options import checked_options
from cssa_mm.features.view import view_of
from cssa_mm.models import CSSAClassifier
from cssa_mm.semi.policies import PseudoLabels, build_policy
from cssa_mm.semi.semi_supervision import SemiSupervision, Settings
from cssa_mm.values import BatchSize, Positive, Seed, Share, Workers


@HOOKS.register_module()
class PseudoLabelHook(Hook):
    """Runs the semi-supervised algorithm (`SemiSupervision`) in MMEngine's loop.

    Class-distribution-aware thresholds from the EMA teacher are the paper's; the exact steps were read in CAP. One line
    per epoch goes to `pseudo_labels.jsonl` in the work directory: thresholds and counts per class, and, where the data
    set knows the truth that it hides from training, precision, recall and F1, and the calibration of the teacher's
    scores. `cssa pseudo-labels` shows them.

    Args:
        policy: name and options of a policy of `semi.policies`, e.g. `dict(name='cat', eta_negative=.998)`.
        oracle: use the hidden truth instead of the policy's labels: an upper bound, for studies only.
        wrong_labels: share of each class's pseudo-positives that swap places with negatives, with their weights, drawn
            anew each epoch by the runner's seed, for studies of label noise.
        calibrate_bias: whether b_c starts so that the mean score of class c is its rate (reconstruction); else at 0.
        mask_unseen_classes: whether classes without labelled positives stay as CLIP knows them (reconstruction); False
            trains on their labelled negatives.
        context_seed: seed of the clustering of labels into contexts.
        evidence_images: most labelled, and most unlabelled images that the evidence of `cssa_plus` and an 'auto'
            weight of centring are fitted to.
        evidence_seed: seed of the draw of these images.
        feature_cache: how much of the frozen features is kept, and where; see `CacheOptions`.
        batch_size: images a rank encodes or scores at a time.
        num_workers: workers of the loader that encodes and scores.

    Attributes:
        resumed: the pseudo-labels of an epoch that a checkpoint has begun; they take the place of new ones.
        record: what the last line of `pseudo_labels.jsonl` holds; None before the first semi-supervised epoch, and on
            ranks other than 0.

    Raises:
        ConfigError: the policy, an option of it or another value is invalid.
    """

    priority = 'NORMAL'
    record: Record | None = None
    resumed: PseudoLabels | None = None
    semi_supervision: SemiSupervision  # from before_train on
    _has_kept_validation = False

    def __init__(
        self,
        policy: dict | None = None,
        oracle: bool = False,
        wrong_labels: Share = 0.0,
        calibrate_bias: bool = True,
        mask_unseen_classes: bool = True,
        context_seed: Seed = 0,
        evidence_images: Positive = 2048,
        evidence_seed: Seed = 0,
        feature_cache: dict | None = None,
        batch_size: BatchSize = 64,
        num_workers: Workers = 0,
    ) -> None:
        self.settings = Settings(
            policy=build_policy(**({'name': 'cat'} | dict(policy or {}))),
            oracle=oracle,
            wrong_labels=checked_share('default_hooks.pseudo_labels', wrong_labels),
            calibrate_bias=calibrate_bias,
            mask_unseen_classes=mask_unseen_classes,
            context_seed=context_seed,
            evidence_images=evidence_images,
            evidence_seed=evidence_seed,
        )
        self.feature_cache = checked_options(feature_cache)
        self.loader: dict[str, Any] = dict(batch_size=batch_size, num_workers=num_workers)

    def features(self, model: CSSAClassifier, dataset: SemiMultiLabelDataset, config: Mapping) -> FrozenFeatures:
        """The features of a data set, kept as this hook's options say."""
        return FrozenFeatures(model, dataset, view_of(config), **self.feature_cache, **self.loader)

    def algorithm(
        self, model: CSSAClassifier, dataset: SemiMultiLabelDataset, config: Mapping, seed: int = 0
    ) -> SemiSupervision:
        """The algorithm with this hook's options on a model and a training set; the seed is the run's."""
        return SemiSupervision(model, dataset, self.features(model, dataset, config), self.settings, seed)

    def before_train(self, runner: Runner) -> None:
        """Prepare the algorithm, and drop what an earlier run wrote; a resumed run keeps the records before it."""
        loop = runner.train_loop
        if 0 < runner.epoch >= getattr(loop, 'max_epochs', math.inf):
            return  # a finished run was resumed: the model stays as it is
        dataset = runner.train_dataloader.dataset
        self.semi_supervision = self.algorithm(bare_model(runner), dataset, runner.cfg, runner.seed)
        features = self.semi_supervision.features
        features.fill_for_training(is_scored=bool(getattr(loop, 'semi_epochs', 1)))
        if features.cache is not None and features.cache.serves_training:
            read_in_this_process(runner.train_dataloader)
        self.semi_supervision.prepare()
        if is_main_process():
            # That of an epoch that goes on has been written.
            keep_records(Path(runner.work_dir, FILE), last_epoch=runner.epoch + (self.resumed is not None))
            forget_held_out(runner.work_dir)

    def before_train_epoch(self, runner: Runner) -> None:
        """Label the unlabelled images for the coming epoch, unless it is one of the warm-up.

        What was found on the scores of the model that training starts from does not hold any more.
        """
        self.semi_supervision.model.forget_thresholds()
        resumed, self.resumed = self.resumed, None
        if resumed is not None:
            self.semi_supervision.restore_bank(resumed)
        elif runner.epoch >= getattr(runner.train_loop, 'warmup_epochs', 0):
            figures = self.semi_supervision.begin_epoch(runner.epoch).figures()
            if is_main_process():
                self.record = _record(runner, figures)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Add to the batch its targets and, if they are known, its features."""
        samples = data_batch['data_samples']
        data_batch['targets'] = self.semi_supervision.targets(samples)
        data_batch['features'] = self.semi_supervision.features.of_batch(samples, data_batch.get('inputs', ()))

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Update the teacher, if the optimiser made a step; fit the evidence if a checkpoint follows."""
        if getattr(runner.train_loop, 'made_step', True):
            self.semi_supervision.after_step()
        if any(_is_saved_after_step(runner, hook) for hook in runner.hooks):
            self.semi_supervision.refresh()

    def after_train_epoch(self, runner: Runner) -> None:
        """Fit the evidence if a checkpoint follows."""
        if any(_is_saved_after_epoch(runner, hook) for hook in runner.hooks):
            self.semi_supervision.refresh()

    def before_val_epoch(self, runner: Runner) -> None:
        """Fit the evidence, which the scores of the validation depend on, and keep the features of its images."""
        if hasattr(self, 'semi_supervision'):
            self.semi_supervision.refresh()
            # Once, and not in the last epoch: what is kept serves later validations.
            if not self._has_kept_validation and runner.epoch < getattr(runner.train_loop, 'max_epochs', math.inf):
                self._has_kept_validation = True
                keep_evaluation(runner, runner.val_loop, self.semi_supervision.features)

    def before_test_epoch(self, runner: Runner) -> None:
        """Take the features of the images from the folder that keeps them, if there is one."""
        if self.feature_cache['folder'] is not None:
            features = self.features(bare_model(runner), runner.test_loop.dataloader.dataset, runner.cfg)
            keep_evaluation(runner, runner.test_loop, features)

    def after_train(self, runner: Runner) -> None:
        """Fit the evidence, which the scores of the trained model depend on."""
        if hasattr(self, 'semi_supervision'):
            self.semi_supervision.refresh()


def bare_model(runner: Runner) -> CSSAClassifier:
    """The runner's model, without the wrappers of a distributed run and of test-time augmentation."""
    model = runner.model
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def _is_saved_after_epoch(runner: Runner, hook: Hook) -> bool:
    if not isinstance(hook, CheckpointHook) or not hook.by_epoch:
        return False
    is_due = hook.every_n_epochs(runner, hook.interval, hook.save_begin)
    return is_due or (hook.save_last and hook.is_last_train_epoch(runner))


def _is_saved_after_step(runner: Runner, hook: Hook) -> bool:
    if not isinstance(hook, CheckpointHook) or hook.by_epoch:
        return False
    is_due = hook.every_n_train_iters(runner, hook.interval, hook.save_begin)
    return is_due or (hook.save_last and hook.is_last_train_iter(runner))


def _record(runner: Runner, figures: dict[str, Any]) -> Record:
    """Log how good the pseudo-labels of an epoch are, and add a line to the records; returns it."""
    dataset = runner.train_dataloader.dataset
    thresholds = {key: figures[key] for key in ('positive_thresholds', 'negative_thresholds')}
    runner.logger.info(
        f'Pseudo-labels of epoch {runner.epoch + 1}:\n' + format_table(dataset.class_names, figures, **thresholds)
    )
    record: dict[str, Any] = dict(epoch=runner.epoch + 1, class_names=list(dataset.class_names), **thresholds)
    record['labelled_positives'] = (dataset.labels == 1).sum(0)
    record = _as_json(record | figures)
    append_record(Path(runner.work_dir, FILE), record)
    return record


def _as_json(value: Any) -> Any:
    """The value as JSON can hold it: inf and nan, that is no threshold, become null."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, dict):
        return {key: _as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
