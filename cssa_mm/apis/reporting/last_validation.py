"""The scores of a training's last validation, so that its report needn't encode the test images again."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import Tensor

from cssa_mm.apis.reporting.scoring import ScoredImages
from cssa_mm.models.alignment_head import TextFeatures
from cssa_mm.models.untrained_names import untrained_similarity, untrained_text
from cssa_mm.semi.pseudo_label_hook import bare_model


class LastValidationHook(Hook):
    """Keeps what the validation after the last epoch says of each image, where one process does it all.

    Attributes:
        scored: the images, in the order of the data set; None if there was no such validation.
    """

    scored: ScoredImages | None = None

    def before_val_epoch(self, runner: Runner) -> None:
        """Listen to the tower, whose features zero-shot CLIP reads, too."""
        self._rows: list[tuple[str, np.ndarray, np.ndarray]] = []
        self._text: TextFeatures | None = None
        self._handle = None
        if get_world_size() == 1 and runner.epoch >= runner.max_epochs:
            self._handle = bare_model(runner).backbone.register_forward_hook(self._keep)

    def _keep(self, tower: Any, given: Any, features: tuple[Tensor, Tensor]) -> None:
        self._features = features

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Keep the scores of a batch."""
        if self._handle is None:
            return
        model = bare_model(runner)
        try:
            if self._text is None:
                self._text = untrained_text(model, model.class_words.wordings)
            kept = (data_batch or {}).get('features')  # the tower does not run
            local, pooled = self._features if kept is None else (part.to(model.head.bias.device) for part in kept)
            cosines = untrained_similarity(model, local, pooled, self._text).float().cpu().numpy()
            for sample, row in zip(outputs, cosines, strict=True):
                self._rows.append((str(sample.image_id), sample.pred_score.cpu().numpy(), row))
        # No training must end for its report, which scores the images itself then.
        except Exception as error:
            self._handle.remove()
            self._handle = None
            print_log(f'Report: the last validation is not kept ({error})', 'current', logging.WARNING)

    def after_val_epoch(self, runner: Runner, metrics: Any = None) -> None:
        """Bring them into the order of the data set."""
        if self._handle is None:
            return
        self._handle.remove()
        dataset, model = runner.val_dataloader.dataset, bare_model(runner)
        rows = {image_id: (scores, cosines) for image_id, scores, cosines in self._rows}
        if len(rows) == len(dataset) and all(image_id in rows for image_id in dataset.image_ids):
            scores, cosines = (np.stack(part) for part in zip(*(rows[each] for each in dataset.image_ids), strict=True))
            labels = np.asarray(dataset.labels)
            reached = model.thresholds.reached(scores)
            self.scored = ScoredImages(np.arange(len(dataset)), scores, cosines, reached, labels)
