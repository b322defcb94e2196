"""Before each semi-supervised epoch: the teacher scores all unlabelled images, a policy labels them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS
from torch import Tensor

from cssa_mm.engine.scoring import encode, gather_rows, plain_features, plain_view, scoring_share
from cssa_mm.evaluation.pseudo_label_quality import format_table, pseudo_label_quality
from cssa_mm.semi.bank import PseudoLabelBank
from cssa_mm.semi.policies import PseudoLabels, build_policy

FILE = 'pseudo_labels.jsonl'


@HOOKS.register_module()
class PseudoLabelHook(Hook):
    """Class-distribution-aware thresholds from the EMA teacher (paper; exact steps read in CAP).

    Writes one line per epoch to `pseudo_labels.jsonl` in the work directory: thresholds and counts per class,
    and precision and recall where the data set knows the truth that it hides from training.

    Args:
        pipeline: transforms of the view that is scored; None takes the validation's, which the feature cache may
            hold. (CAP flips at random here; without, an epoch's labels depend on the teacher alone.)
        policy: name and options of a policy of `semi.policies`, e.g. `dict(name='cat', eta_negative=.998)`.
        oracle: take the hidden truth instead of the policy's labels: the ceiling, for studies only.
        batch_size: images a rank scores at a time.
        num_workers: of the scoring loader.
    """

    priority = 'NORMAL'

    def __init__(
        self,
        pipeline: list[dict] | None = None,
        policy: dict | None = None,
        oracle: bool = False,
        batch_size: int = 64,
        num_workers: int = 0,
    ) -> None:
        self.pipeline = pipeline
        self.policy = build_policy(**({'name': 'cat'} | dict(policy or {})))
        self.oracle = oracle
        self.batch_size = batch_size
        self.num_workers = num_workers

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
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        dataset = runner.train_dataloader.dataset
        indices = dataset.unlabelled_indices
        scores = self.score(model, dataset, plain_view(runner, self.pipeline))
        rates = torch.as_tensor(dataset.positive_rates())
        pseudo_labels = self.policy(scores, rates)
        if self.oracle:
            truth = torch.as_tensor(dataset.hidden_labels[indices])
            model.is_taught |= (truth == 1).any(0).to(model.is_taught.device)
            none = torch.full_like(pseudo_labels.positive_thresholds, float('nan'))
            pseudo_labels = PseudoLabels(truth, None, none, none)
        model.bank = PseudoLabelBank([dataset.image_ids[i] for i in indices], pseudo_labels)
        if is_main_process():
            self._report(runner, dataset, pseudo_labels)

    def score(self, model: torch.nn.Module, dataset: object, pipeline: list) -> Tensor:
        """Scores (M, C) of all unlabelled images by the teacher, float32 on the CPU, the same on every rank."""
        rows = scoring_share(dataset)
        encoder = plain_features if self.pipeline is None else encode
        features = encoder(
            model,
            dataset,
            dataset.unlabelled_indices[rows],
            pipeline,
            'Pseudo-labels',
            batch_size=self.batch_size,
            num_workers=self.num_workers,
        )
        scores = [model.score(*batch) for batch in features]
        scores = torch.cat(scores) if scores else torch.zeros(0, len(dataset.class_names))
        return gather_rows(scores, rows, len(dataset.unlabelled_indices))

    def _report(self, runner: Runner, dataset: object, pseudo_labels: PseudoLabels) -> None:
        truth = dataset.hidden_labels[dataset.unlabelled_indices]
        quality = pseudo_label_quality(pseudo_labels.labels.numpy(), truth)
        thresholds = dict(
            positive_thresholds=pseudo_labels.positive_thresholds.tolist(),
            negative_thresholds=pseudo_labels.negative_thresholds.tolist(),
        )
        runner.logger.info(
            f'Pseudo-labels of epoch {runner.epoch + 1}:\n' + format_table(dataset.class_names, quality, **thresholds)
        )
        record = dict(epoch=runner.epoch + 1, class_names=list(dataset.class_names), **thresholds)
        record |= {key: np.asarray(value).tolist() for key, value in quality.items()}
        with Path(runner.work_dir, FILE).open('a') as file:
            file.write(json.dumps(_plain(record), allow_nan=False) + '\n')


def _plain(value: object) -> object:
    """The value as JSON knows it: no thresholds (inf, nan) become null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
