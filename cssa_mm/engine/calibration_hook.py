"""After the last epoch: calibration and thresholds from labelled images, for the checkpoint that follows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import torch
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

from cssa_mm.engine.checkpoint_hook import CSSACheckpointHook
from cssa_mm.engine.cross_fitting import FoldReadings, Snapshot, cross_fitted_readings, deal_folds, snapshot
from cssa_mm.engine.found_thresholds import RULES, FoldScores, Found, find
from cssa_mm.engine.schedule_hook import plateau_schedules
from cssa_mm.engine.warm_start import start_of_resumed, started_from
from cssa_mm.errors import ConfigError, nearest
from cssa_mm.evaluation.held_out_scores import HeldOutScores
from cssa_mm.features.encode import readable_rows
from cssa_mm.models.untrained_names import untrained_similarity, untrained_text
from cssa_mm.semi.pseudo_label_hook import PseudoLabelHook, bare_model
from cssa_mm.semi.semi_supervision import SemiSupervision
from cssa_mm.values import OneOf, Range, Seed, Whole, check_values

Rule = Annotated[str, OneOf((*RULES, 'none'))]
Folds = Literal[0] | Annotated[int, Range(2, 1000)]

# Unlabelled images that say how the scores of a class are spread: with kept features, and if they must be encoded.
MOST_REFERENCES, MOST_ENCODED = 16384, 2048


@HOOKS.register_module()
class CalibrationHook(Hook):
    """Finds calibration and thresholds after the last epoch (ours; the paper names none).

    They rest on scores that did not see the labels: the training is done again `folds` times, each time without the
    labels of one fold, whose images the model of that time scores (`engine/cross_fitting.py`). That costs the
    mathematics of `folds` trainings on kept features. Where features are not kept, the rule is 'rate' and scores stay
    raw; the log says so.

    Args:
        rule: 'f1', the threshold of each class with the highest F1 that its calibrated scores let expect; 'rate', as
            many labels of a class as its rate in the labelled images (CAT's rule); 'one', one threshold for all
            classes; or 'none', .5 on raw scores.
        folds: of the cross-fitting; 0 leaves scores raw and takes the rule 'rate'.
        min_positives: labelled positives below which a class is named as resting on too few.
        seed: of the folds.

    Raises:
        ConfigError: an option is invalid.
    """

    # Before PseudoLabelHook, which changes the model before the first step, and before the checkpoint.
    priority = 'ABOVE_NORMAL'

    def __init__(self, rule: Rule = 'f1', folds: Folds = 3, min_positives: Whole = 10, seed: Seed = 0) -> None:
        if rule not in (*RULES, 'none'):
            raise ConfigError(
                f"default_hooks.calibration.rule: found '{rule}', expected one of {', '.join(RULES)}, none."
                f'{nearest(str(rule), (*RULES, "none"))}'
            )
        check_values(
            CalibrationHook, dict(folds=folds, min_positives=min_positives, seed=seed), 'default_hooks.calibration'
        )
        self.rule = rule
        self.folds = folds
        self.min_positives = min_positives
        self.seed = seed
        self._start: Snapshot | None = None
        self._is_done = False

    def before_run(self, runner: Runner) -> None:
        """Keep the model as it starts; a checkpoint to resume from is loaded after this."""
        self._start = snapshot(bare_model(runner))

    def before_train(self, runner: Runner) -> None:
        """Keep the model as the run started, where that was from another one, maybe before it was resumed."""
        if runner.iter == 0:
            self._start = snapshot(bare_model(runner))
        elif self._start is not None:
            self._start = start_of_resumed(runner, self._start)

    def after_train_epoch(self, runner: Runner) -> None:
        """Find calibration and thresholds after the last epoch."""
        hook = next((hook for hook in runner.hooks if isinstance(hook, PseudoLabelHook)), None)
        if hook is None or self.rule == 'none' or runner.epoch + 1 < runner.max_epochs or self._start is None:
            return
        algorithm = hook.semi_supervision
        algorithm.refresh()
        folds = self._scored_folds(runner, algorithm, self._start)
        scores = self.apply(algorithm, folds)
        if scores is not None:  # they say which labels are probably wrong
            dataset, rows = algorithm.dataset, np.concatenate([fold.held_out for fold in folds])
            ids = [dataset.image_ids[row] for row in rows]
            HeldOutScores.of(ids, dataset.class_names, dataset.labels[rows], scores).write(runner.work_dir)
        self._is_done = True
        for hook in runner.hooks:
            if isinstance(hook, CSSACheckpointHook):
                hook.save_last_step_again(runner)

    def after_train(self, runner: Runner) -> None:
        """Say it where the training ended before its last epoch."""
        if self.rule != 'none' and not self._is_done and 0 < runner.epoch < runner.max_epochs:
            semi_epochs = runner.epoch - getattr(runner.train_loop, 'warmup_epochs', runner.epoch)
            print_log(
                f'Calibration: the training ended after {runner.epoch} of {runner.max_epochs} epochs, before '
                'thresholds were found: its checkpoints have .5 for every class on raw scores'
                + (f'; with train_cfg.semi_epochs={semi_epochs} the last epoch has them' if semi_epochs > 0 else ''),
                'current',
                logging.WARNING,
            )

    def _scored_folds(self, runner: Runner, algorithm: SemiSupervision, start: Snapshot) -> list[FoldScores]:
        """What models say that did not see the labels of a fold; none where that is not possible."""
        labelled, cache = algorithm.dataset.labelled_indices, algorithm.features.cache
        dealt = deal_folds(algorithm.dataset, self.folds, self.seed) if len(labelled) >= 2 * self.folds > 0 else []
        if dealt and cache is not None and cache.serves_training:
            print_log(f'Calibration: training again {len(dealt)} times, each without a fold of labels', 'current')
            if plateau_schedules(runner.param_schedulers):
                print_log(
                    'Calibration: the folds have no validation, so no plateau of a metric reduces their rates',
                    'current',
                    logging.WARNING,
                )
            changed = runner.message_hub.runtime_info.get('changed_after_epoch')
            if changed is not None:
                print_log(
                    f'Calibration: the training was resumed after epoch {changed} with other settings, which the '
                    'folds have in all epochs: their scores, and thresholds and calibration with them, may be unlike '
                    'those of the model; to be sure, train in one go, or set default_hooks.calibration.folds=0',
                    'current',
                    logging.WARNING,
                )
            source = started_from(runner)
            if source is not None:
                print_log(
                    f"Calibration: the training started from '{source}'; if that had learned from the "
                    'same labels, the scores of held-out images have seen them, and calibration is too good to be true',
                    'current',
                    logging.WARNING,
                )
            folds = cross_fitted_readings(runner, algorithm, start, dealt, self._references(algorithm))
            return _scored(algorithm, list(folds))
        reason = 'features are not kept, so that labels cannot be held out at a bearable cost'
        if not dealt:
            reason = f'{len(labelled)} labelled images (those of a group together) do not make {self.folds} folds'
        if self.folds:
            print_log(
                f"Calibration: {reason}; thresholds follow the rates of the labelled images (rule 'rate'), and scores "
                'stay raw',
                'current',
            )
        return []

    def calibrate_untrained(self, algorithm: SemiSupervision) -> None:
        """Find them for a model that saw no label: its scores of all labelled images count as held out.

        So they do with neighbours: no label made those, and no image is a neighbour of itself.
        """
        if self.rule != 'none':
            labelled = algorithm.dataset.labelled_indices
            scores = algorithm.score(labelled, 'Labelled images').numpy()
            references = self._reference_scores(algorithm)
            self.apply(algorithm, [FoldScores(labelled, scores, references)], references)

    def apply(
        self, algorithm: SemiSupervision, folds: Sequence[FoldScores], references: np.ndarray | None = None
    ) -> np.ndarray | None:
        """Find calibration and thresholds from held-out scores, and give them to the model; all ranks must call it.

        Args:
            algorithm: with the model and the data.
            folds: the held-out scores.
            references: raw scores (m, C) of the reference images by the finished model, if they are known.

        Returns:
            On rank 0, the calibrated scores (h, C) of the held-out images, fold by fold; None where nothing was found.
        """
        dataset, model = algorithm.dataset, algorithm.model
        labelled = dataset.labelled_indices
        if references is None:
            references = self._reference_scores(algorithm)
        similarity = self._untrained_similarity(algorithm, labelled)
        known = readable_rows(dataset, labelled).numpy()
        labels = np.where(known[:, None], dataset.labels[labelled], -1)
        found: list[Found | None] = [None]
        scores = None
        if is_main_process():
            held_out = [(fold, labels[np.searchsorted(labelled, fold.held_out)]) for fold in folds]
            options = model.class_names, self.min_positives, similarity
            everything = find(self.rule, references, labels, held_out, *options)
            found, scores = [everything._replace(held_out=None)], everything.held_out
        broadcast_object_list(found)
        (result,) = found
        if result is not None:
            model.adopt(result.calibration, result.thresholds, result.zero_shot)
            level = logging.INFO if result.thresholds.rule != 'default' else logging.WARNING
            for line in result.lines:
                print_log(line, 'current', level)
        return scores

    def _reference_scores(self, algorithm: SemiSupervision) -> np.ndarray:
        return algorithm.score(self._references(algorithm), 'Unlabelled images').numpy()

    def _references(self, algorithm: SemiSupervision) -> np.ndarray:
        """Indices of unlabelled images, which say how the scores of a model are spread."""
        dataset = algorithm.dataset
        indices = dataset.unlabelled_indices
        indices = indices[readable_rows(dataset, indices).numpy()]
        most = MOST_REFERENCES if algorithm.features.cache is not None else MOST_ENCODED
        if len(indices) <= most:
            return indices
        return np.sort(np.random.default_rng(self.seed).choice(indices, most, replace=False))

    def _untrained_similarity(self, algorithm: SemiSupervision, indices: np.ndarray) -> np.ndarray:
        """Cosines (n, C) of images with the untrained prompts of the classes."""
        model = algorithm.model
        text = untrained_text(model, model.class_words.wordings)
        batches = algorithm.features.batches(indices, 'Labelled images')
        device = model.head.bias.device
        parts = [
            untrained_similarity(model, local.to(device), pooled.to(device), text).cpu() for local, pooled in batches
        ]
        return torch.cat(parts).numpy()


def _scored(algorithm: SemiSupervision, folds: Sequence[FoldReadings]) -> list[FoldScores]:
    """The scores of the folds, by the weights that these same readings give to the finished model."""
    if algorithm.model.evidence is not None:
        tuned = torch.cat([fold.readings[:, 1] for fold in folds])
        algorithm.stack_held_out(np.concatenate([fold.held_out for fold in folds]), tuned)
    scores = [[algorithm.reader.scores_of(part).numpy() for part in (fold.readings, fold.references)] for fold in folds]
    return [FoldScores(fold.held_out, *found) for fold, found in zip(folds, scores, strict=True)]
