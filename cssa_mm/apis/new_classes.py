"""A trained model with names that it was never trained on, scored by zero-shot CLIP in the same pass (ours)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cssa_mm.apis.scorer import Scores, TorchScorer, model_facts
from cssa_mm.errors import ConfigError
from cssa_mm.features.view import model_view
from cssa_mm.models import CSSAClassifier
from cssa_mm.models.class_names import given_classes
from cssa_mm.models.thresholds import ClassThresholds
from cssa_mm.models.untrained_names import untrained_similarity, untrained_text
from cssa_mm.names import plain_name


class NewClassScorer:
    """The classes of a trained model, and new names behind them.

    The cosine of a new name's prompt becomes a score by one map for all names, which training fitted to the labels of
    the trained classes (`model.zero_shot`). It knows nothing of the name: the score is a guess, and every output marks
    it as zero-shot. Where training fitted no such map, new names get scores that only rank images, and no label.

    Args:
        model: a trained model.
        names: new names, or a dict name -> words for CLIP, one wording or several.

    Raises:
        ConfigError: the model is untrained, a name is empty, given twice, a class of the model, or too long.
    """

    def __init__(self, model: CSSAClassifier, names: Sequence[str] | Mapping[str, str | Sequence[str]]) -> None:
        if model.thresholds.rule == 'none':
            raise ConfigError('new classes: found an untrained model, expected a trained one; add them to its classes')
        words = given_classes(names, 'new classes')
        known = {plain_name(name): name for name in model.class_names}
        for name in words.names:
            other = known.get(plain_name(name))
            if other is not None:
                raise ConfigError(
                    f"new classes: found '{name}', expected a name beside those of the model and the other new ones, "
                    f"which have '{other}'; leave it out"
                )
            known[plain_name(name)] = name
        self.trained = TorchScorer(model)
        self.model = model
        self.view = model_view(model)
        self.zero_shot_names = tuple(words.names)
        self.class_names = [*model.class_names, *words.names]
        self.prompts = words.prompts
        self.text = untrained_text(model, words.wordings)

    @property
    def thresholds(self) -> ClassThresholds:
        """Those of the model, and for each new name that of the map for all names."""
        trained, new = self.model.thresholds, len(self.zero_shot_names)
        threshold = math.nan if self.model.zero_shot is None else self.model.zero_shot.threshold
        return ClassThresholds(
            (*trained.values, *[threshold] * new),
            trained.rule,
            (*trained.positives, *[0] * new) if trained.positives else (),
            (*trained.sources, *['zero-shot'] * new) if trained.sources else (),
        )

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> Scores:
        """Scores of images that the view has made, uint8 (B, 3, H, W), RGB."""
        model = self.model
        local, pooled = model.backbone(model.data_preprocessor(dict(inputs=list(pixels)))['inputs'])
        logits = model.logits(local, pooled)
        raw = torch.sigmoid(logits).float()
        cosine = untrained_similarity(model, local, pooled, self.text).float()
        new_raw = torch.sigmoid(model.head.log_temperature.exp() * cosine)
        known = model.zero_shot
        new = new_raw if known is None else torch.sigmoid(known.slope * cosine + known.offset)
        parts = (model.calibration(raw, logits), new), (raw, new_raw)
        return Scores(*(torch.cat(part, 1).cpu().numpy().astype(np.float32) for part in parts))

    def facts(self) -> dict[str, Any]:
        """What the scores rest on, as plain data; see `model_facts`."""
        prompts = [list(texts) for texts in self.prompts]
        facts = model_facts(self.model)
        known = self.model.zero_shot
        return facts | dict(
            class_names=self.class_names,
            prompts=facts['prompts'] + prompts,
            zero_shot_names=list(self.zero_shot_names),
            thresholds=self.thresholds.to_dict(),
            zero_shot=None if known is None else known._asdict(),
        )
