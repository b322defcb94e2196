"""What gives scores to images: a torch model, or anything else with the same few attributes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from cssa_mm.datasets.view import View
from cssa_mm.errors import DataError
from cssa_mm.features.view import model_view
from cssa_mm.models import CSSAClassifier
from cssa_mm.models.thresholds import ClassThresholds
from cssa_mm.version import __version__

# No tower has a coarser grid; a smaller image can leave it without a position, which torch says in its own words.
SMALL = 32


class Scores(NamedTuple):
    """Scores (B, C), float32 in 0..1: `calibrated`, which every output shows, and `raw`, before calibration."""

    calibrated: np.ndarray
    raw: np.ndarray


class Scorer(Protocol):
    """A model as `Predictor` uses it.

    class_names: the C names.
    view: how an image file becomes pixels.
    zero_shot_names: those of the names that were never trained.
    """

    class_names: list[str]
    view: View
    zero_shot_names: tuple[str, ...]

    @property
    def thresholds(self) -> ClassThresholds:
        """Those of the calibrated scores."""

    def __call__(self, pixels: Tensor) -> Scores:
        """Scores of images that the view has made, uint8 (B, 3, H, W), RGB."""

    def facts(self) -> dict[str, Any]:
        """What the scores rest on, as plain data; see `model_facts`."""


class TorchScorer:
    """A `CSSAClassifier` as a scorer.

    Args:
        model: the model, in eval mode.
        is_untrained: whether no class was ever trained, which every output marks; by default if it has no thresholds.
    """

    def __init__(self, model: CSSAClassifier, is_untrained: bool | None = None) -> None:
        self.model = model
        self.view = model_view(model)
        self.class_names = list(model.class_names)
        untrained = model.thresholds.rule == 'none' if is_untrained is None else is_untrained
        self.zero_shot_names = tuple(self.class_names) if untrained else ()

    @property
    def thresholds(self) -> ClassThresholds:
        """The thresholds of the model."""
        return self.model.thresholds

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> Scores:
        """Scores of images that the view has made, uint8 (B, 3, H, W), RGB.

        Raises:
            DataError: they are too small for the tower.
        """
        return self.of_logits(self.model.logits(*self.features(pixels)))

    @torch.no_grad()
    def of_logits(self, logits: Tensor) -> Scores:
        """Scores that logits (B, C) of the model stand for."""
        raw = torch.sigmoid(logits).float()
        return Scores(self.model.calibration(raw, logits).cpu().numpy(), raw.cpu().numpy())

    def facts(self) -> dict[str, Any]:
        """What the scores rest on, as plain data; see `model_facts`."""
        return model_facts(self.model) | dict(zero_shot_names=list(self.zero_shot_names))

    def features_of(self, viewed: np.ndarray) -> tuple[Tensor, Tensor]:
        """The same as `features` of one image, uint8 (H, W, 3), that the view has made."""
        return self.features(torch.from_numpy(np.ascontiguousarray(viewed.transpose(2, 0, 1)))[None])

    @torch.no_grad()
    def features(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Local (B, N, D) and global (B, D) features of images that the view has made.

        Raises:
            DataError: they are too small for the tower.
        """
        inputs = self.model.data_preprocessor(dict(inputs=list(pixels)))['inputs']
        try:
            return self.model.backbone(inputs)
        except RuntimeError as error:
            height, width = inputs.shape[-2:]
            if min(height, width) >= SMALL:
                raise
            reason = ' '.join(str(error).split())
            raise DataError(
                f'image: found one of {height} x {width} pixels (height x width), too small for the tower ({reason}), '
                f'expected at least {SMALL} x {SMALL}; enlarge it, or resize all images by view.size'
            ) from error


def model_facts(model: CSSAClassifier) -> dict[str, Any]:
    """What a model's scores rest on, as plain data for JSON: what every file that leaves says of its model.

    class_names (C); zero_shot_names, those never trained; thresholds, calibration: see their classes; view: the
    options of the plain view; input_size: (height, width) of images after the view, None where it keeps their own;
    tower: model_name, pretrained (of a file its name alone: paths of this machine stay here), weights_hash; version of
    this package; neighbours: how many training images the model holds as features (`images`), and their size in
    `megabytes`, None without.
    """
    description = model.description()
    tower = description['tower']
    if tower['pretrained'] and Path(tower['pretrained']).is_file():
        tower['pretrained'] = Path(tower['pretrained']).name
    size = description['view'] and description['view'].get('size')
    untrained = model.thresholds.rule == 'none'
    return dict(
        made_by=f'cssa_mm {__version__}',
        class_names=description['class_names'],
        prompts=description['prompts'],
        zero_shot_names=description['class_names'] if untrained else [],
        thresholds=description['thresholds'],
        calibration=description['calibration'],
        view=description['view'],
        input_size=[size, size] if isinstance(size, int) else size,
        tower={key: tower.get(key) for key in ('model_name', 'pretrained', 'weights_hash')},
        neighbours=_stored(model),
    )


def stored_in_words(facts: Mapping[str, Any]) -> str:
    """What the facts say of stored training images, such as '4,096 training images (9.7 MB)'; '' without any."""
    stored = facts.get('neighbours')
    return f'{stored["images"]:,} training images ({stored["megabytes"]:.1f} MB)' if stored else ''


def _stored(model: CSSAClassifier) -> dict[str, Any] | None:
    neighbours = model.neighbours
    if neighbours is None or not neighbours.is_fitted:
        return None
    return dict(images=neighbours.num_images, megabytes=neighbours.megabytes)
