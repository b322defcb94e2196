"""Where a model looks: the labels of images, each with its score, its threshold and a map over the image."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import numpy as np
import torch

from cssa_mm.apis.exporting.opening import open_scorer
from cssa_mm.apis.image_input import ImageLike, decoded, several
from cssa_mm.apis.scorer import Scorer, TorchScorer
from cssa_mm.errors import CheckpointError, ConfigError, nearest, require_whole_number
from cssa_mm.features.explaining import SeenImage, calibrated_scores, explanation_of, reduced
from cssa_mm.features.label_maps import label_text, rule_of
from cssa_mm.models import CSSAClassifier
from cssa_mm.models.eval_mode import in_eval_mode
from cssa_mm.visualization.explanation import Explanation
from cssa_mm.visualization.explanation_figure import MOST


def explain(
    model: CSSAClassifier | Scorer | str | os.PathLike,
    images: ImageLike | Iterable[ImageLike],
    *,
    labels: str | Sequence[str] | None = None,
    top: int | None = None,
    max_labels: int = MOST,
    tower: str | os.PathLike | None = None,
    device: str | torch.device | None = None,
) -> Iterator[Explanation]:
    """Yield for each image its labels, and where the prompt of each one looked.

    The labels are those that reach their threshold, the best first; where none does, the best one, marked so. The maps
    follow one rule for each way in which towers pool (`cssa_mm.features.label_maps.RULES`); scores are not touched.

    Args:
        model: a model from `load_model` or `zero_shot`, its scorer, or the path of a checkpoint.
        images: one image or several, as `Predictor.predict` takes them.
        labels: names of the labels to show in place of those, or one text with commas between them.
        top: the number of best labels to show, whatever their scores.
        max_labels: the most labels that an image is shown with.
        tower: of a checkpoint, new path of the weights of its tower.
        device: of a checkpoint, 'cpu', 'cuda' or 'mps'; by default the best one that this machine has.

    Raises:
        CheckpointError: the checkpoint is missing or none, or an ONNX file.
        ConfigError: the model has no label attention, a label is unknown, or `top` or `max_labels` is invalid, or more
            labels are asked for than `max_labels`.
        ImageError: a file is missing or unreadable.

    Examples:
        >>> import cssa_mm, numpy as np
        >>> from cssa_mm.apis.explaining import explain
        >>> names = ['anchor', 'coffee', 'flag']
        >>> model = cssa_mm.zero_shot(class_names=names, model_name='cssa-demo-rn', pretrained='demo', size=128)
        >>> (found,) = explain(model, np.zeros((90, 120, 3), np.uint8), top=2)
        >>> len(found.names), found.maps.shape, found.peaks.shape
        (2, (2, 90, 120), (2, 2))
    """
    explainer = Explainer(model, labels=labels, top=top, max_labels=max_labels, tower=tower, device=device)
    return map(explainer, several(images))


class Explainer:
    """Explains images one by one with the same model and options; the text side is computed once. See `explain`."""

    def __init__(
        self,
        model: CSSAClassifier | Scorer | str | os.PathLike,
        *,
        labels: str | Sequence[str] | None = None,
        top: int | None = None,
        max_labels: int = MOST,
        tower: str | os.PathLike | None = None,
        device: str | torch.device | None = None,
    ) -> None:
        require_whole_number('max_labels', max_labels, 1)
        if top is not None:
            require_whole_number('top', top, 1)
            if labels is not None:
                raise ConfigError('top: found it together with labels, expected one of the two; leave one out')
            if top > max_labels:
                raise ConfigError(f'top: found {top}, expected at most {max_labels}, as many as a picture has room for')
        self.scorer = explainable(model, tower=tower, device=device)
        self.wanted = None if labels is None else _indices(labels, self.scorer.class_names, max_labels)
        self.top = top
        self.max_labels = max_labels
        self.rule = rule_of(self.scorer.model).text
        self.text = label_text(self.scorer.model)

    def __call__(self, image: ImageLike) -> Explanation:
        """The explanation of an image."""
        scorer, model = self.scorer, self.scorer.model
        array, path = decoded(image, scorer.view)
        viewed = scorer.view.of_image(array)
        with torch.no_grad(), in_eval_mode(model):
            seen = SeenImage(reduced(array), *scorer.features_of(viewed), viewed.shape[:2], path)
            scores = calibrated_scores(model, seen)
        reached = scorer.thresholds.reached(scores[None])[0]
        chosen = chosen_labels(scores, reached, self.wanted, self.top)[: self.max_labels]
        return explanation_of(model, seen, scores, chosen, self.text)


def explainable(
    model: CSSAClassifier | Scorer | str | os.PathLike,
    *,
    tower: str | os.PathLike | None = None,
    device: str | torch.device | None = None,
) -> TorchScorer:
    """The scorer of a model that can be explained.

    Raises:
        CheckpointError: the checkpoint is missing or none, or an ONNX file.
        ConfigError: the model has no label attention.
    """
    if isinstance(model, CSSAClassifier):
        model = TorchScorer(model)
    elif isinstance(model, str | os.PathLike):
        if os.fspath(model).endswith('.onnx'):
            raise CheckpointError(
                f"checkpoint: found the ONNX file '{model}', which gives scores and no features of the image's parts, "
                'expected a checkpoint that training wrote (.pth); give the one that it was exported from'
            )
        model = open_scorer(model, tower=tower, device=device)
    if not isinstance(model, TorchScorer):
        raise ConfigError(
            f'model: found a {type(model).__name__}, which gives scores alone, expected a model of torch; give the '
            'checkpoint that it was exported from'
        )
    if not cast(CSSAClassifier, model.model).head.label_specific:
        raise ConfigError(
            'model.head.label_specific: found False, a model that sees the image as a whole and looks nowhere, '
            'expected True; train one with label attention'
        )
    return model


def chosen_labels(
    scores: np.ndarray, reached: np.ndarray, wanted: Sequence[int] | None = None, top: int | None = None
) -> list[int]:
    """The labels to show by their scores (C,): the wanted ones, the `top` best, or those that are reached.

    Those that are reached (C,) come first, and among them the best. Where none is, the best one is shown.
    """
    order = np.lexsort((-scores, ~reached)) if top is None else np.argsort(-scores, kind='stable')
    if wanted is not None:
        return [int(c) for c in order if c in wanted]
    count = max(1, int(reached.sum())) if top is None else top
    return order[:count].tolist()


def _indices(labels: str | Sequence[str], names: Sequence[str], most: int) -> list[int]:
    asked = [name.strip() for name in (labels.split(',') if isinstance(labels, str) else labels)]
    if not asked or not all(asked):
        raise ConfigError(f"labels: found {labels!r}, expected names of classes with commas between them, 'dog, cat'")
    if len(asked) > most:
        raise ConfigError(
            f'labels: found {len(asked)}, expected at most {most}, as many as a picture has room for; ask for the rest '
            'in a second picture'
        )
    unknown = next((name for name in asked if name not in names), None)
    if unknown is not None:
        raise ConfigError(f"labels: found '{unknown}', expected classes of the model.{nearest(unknown, names)}")
    return [names.index(name) for name in asked]
