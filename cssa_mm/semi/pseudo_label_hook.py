"""Before each semi-supervised epoch: the teacher scores all unlabelled images, a policy labels them."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS
from torch import Tensor

from cssa_mm.datasets.wrong_labels import checked_share, swapped_rows
from cssa_mm.evaluation.calibration import calibration
from cssa_mm.evaluation.pseudo_label_quality import format_table, pseudo_label_quality
from cssa_mm.features.encode import (
    bare_model,
    encode,
    gather_rows,
    plain_features,
    plain_view,
    readable_rows,
    scoring_share,
)
from cssa_mm.semi.bank import PseudoLabelBank
from cssa_mm.semi.policies import PseudoLabels, build_policy, label_rows, needs_labelled

FILE = 'pseudo_labels.jsonl'


@HOOKS.register_module()
class PseudoLabelHook(Hook):
    """Class-distribution-aware thresholds from the EMA teacher (paper; exact steps read in CAP).

    Writes one line per epoch to `pseudo_labels.jsonl` in the work directory: thresholds and counts per class,
    and, where the data set knows the truth that it hides from training, precision, recall and F1, and the
    calibration of the teacher's scores. `tools/pseudo_labels.py` shows them.

    Args:
        pipeline: transforms of the view that is scored; None takes the validation's, which the feature cache may
            hold. (CAP flips at random here; without, an epoch's labels depend on the teacher alone.)
        policy: name and options of a policy of `semi.policies`, e.g. `dict(name='cat', eta_negative=.998)`.
        oracle: take the hidden truth instead of the policy's labels: the ceiling, for studies only.
        batch_size: images a rank scores at a time.
        num_workers: of the scoring loader.
        wrong_labels: share of each class's pseudo-positives that trade places with negatives, weights and all, drawn
            anew each epoch by the runner's seed: forced errors, for a study of noise.

    Raises:
        ConfigError: the policy, an option of it or `wrong_labels` is none.
    """

    priority = 'NORMAL'

    def __init__(
        self,
        pipeline: list[dict] | None = None,
        policy: dict | None = None,
        oracle: bool = False,
        batch_size: int = 64,
        num_workers: int = 0,
        wrong_labels: float = 0.0,
    ) -> None:
        self.pipeline = pipeline
        self.policy = build_policy(**({'name': 'cat'} | dict(policy or {})))
        self.oracle = oracle
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.wrong_labels = checked_share('default_hooks.pseudo_labels', wrong_labels)

    def before_train(self, runner: Runner) -> None:
        """Drop the lines of an earlier run; a resumed one keeps those of the epochs before it."""
        path = Path(runner.work_dir, FILE)
        if is_main_process() and path.is_file():
            lines = [line for line in path.read_text().splitlines() if json.loads(line)['epoch'] <= runner.epoch]
            path.write_text(''.join(f'{line}\n' for line in lines))

    def before_train_epoch(self, runner: Runner) -> None:
        """Fill the bank of the coming epoch."""
        if runner.epoch < getattr(runner.train_loop, 'warmup_epochs', 0):
            return
        model = bare_model(runner)
        dataset = runner.train_dataloader.dataset
        indices = dataset.unlabelled_indices
        pipeline = plain_view(runner, self.pipeline)
        scores = self.score(model, dataset, pipeline)
        rates = torch.as_tensor(dataset.positive_rates())
        readable = readable_rows(dataset, indices)
        labelled = self._labelled(model, dataset, pipeline) if needs_labelled(self.policy) else ()
        pseudo_labels = label_rows(self.policy, scores, rates, readable, *labelled)
        if self.oracle:
            truth = torch.as_tensor(dataset.hidden_labels[indices])
            truth[~readable] = -1
            model.is_taught |= (truth == 1).any(0).to(model.is_taught.device)
            none = torch.full_like(pseudo_labels.positive_thresholds, float('nan'))
            pseudo_labels = PseudoLabels(truth, None, none, none)
        if self.wrong_labels:
            pseudo_labels = _with_errors(pseudo_labels, self.wrong_labels, [runner.seed, runner.epoch])
        model.bank = PseudoLabelBank([dataset.image_ids[i] for i in indices], pseudo_labels)
        if is_main_process():
            truth = np.where(readable.numpy()[:, None], dataset.hidden_labels[indices], -1)
            self._report(runner, dataset, pseudo_labels, scores.numpy(), truth)

    def score(
        self, model: torch.nn.Module, dataset: object, pipeline: list, indices: np.ndarray | None = None
    ) -> Tensor:
        """Scores (M, C) by the teacher, float32 on the CPU, the same on every rank.

        Of all unlabelled images, or of the M at `indices`.
        """
        indices = dataset.unlabelled_indices if indices is None else indices
        rows = scoring_share(dataset, indices)
        encoder = plain_features if self.pipeline is None else encode
        features = encoder(
            model,
            dataset,
            indices[rows],
            pipeline,
            'Pseudo-labels',
            batch_size=self.batch_size,
            num_workers=self.num_workers,
        )
        scores = [model.score(*batch) for batch in features]
        scores = torch.cat(scores) if scores else torch.zeros(0, len(dataset.class_names))
        return gather_rows(scores, rows, len(indices))

    def _labelled(self, model: torch.nn.Module, dataset: object, pipeline: list) -> tuple[Tensor, Tensor]:
        """Scores and labels (n, C) of the labelled images that can be read; all ranks must call it."""
        indices = dataset.labelled_indices
        scores = self.score(model, dataset, pipeline, indices)
        readable = readable_rows(dataset, indices)
        return scores[readable], torch.as_tensor(dataset.labels[indices])[readable]

    def _report(
        self, runner: Runner, dataset: object, pseudo_labels: PseudoLabels, scores: np.ndarray, truth: np.ndarray
    ) -> None:
        quality = pseudo_label_quality(pseudo_labels.labels.numpy(), truth)
        thresholds = dict(
            positive_thresholds=pseudo_labels.positive_thresholds.tolist(),
            negative_thresholds=pseudo_labels.negative_thresholds.tolist(),
        )
        runner.logger.info(
            f'Pseudo-labels of epoch {runner.epoch + 1}:\n' + format_table(dataset.class_names, quality, **thresholds)
        )
        record = dict(epoch=runner.epoch + 1, class_names=list(dataset.class_names), **thresholds)
        record['labelled_positives'] = (dataset.labels == 1).sum(0)
        record |= quality | calibration(scores, truth)
        with Path(runner.work_dir, FILE).open('a') as file:
            file.write(json.dumps(_plain(record), allow_nan=False) + '\n')


def _with_errors(pseudo_labels: PseudoLabels, share: float, seed: list[int]) -> PseudoLabels:
    """Labels take their weights along: nothing tells a forced error from any other label."""
    source = torch.from_numpy(swapped_rows(pseudo_labels.labels.numpy(), share, np.random.default_rng(seed)))
    weights = pseudo_labels.weights
    return replace(
        pseudo_labels,
        labels=pseudo_labels.labels.gather(0, source),
        weights=None if weights is None else weights.gather(0, source),
    )


def _plain(value: object) -> object:
    """The value as JSON knows it: no thresholds (inf, nan) become null."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
