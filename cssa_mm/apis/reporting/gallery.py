"""The images of a report: which ones, as thumbnails without anything of their files but the pixels."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable, Sequence
from pathlib import PurePath

import numpy as np
from PIL import Image

from cssa_mm.apis.reporting.scoring import ScoredImages
from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.datasets.transforms import LoadRGBImage
from cssa_mm.errors import CSSAError
from cssa_mm.models import CSSAClassifier
from cssa_mm.visualization.pages.report_data import Label, Picture

SIDE, QUALITY = 208, 72  # of a thumbnail
MOST_OF_A_KIND, MOST, MOST_LABELS = 16, 96, 12
# (index of the image in the data set, index of the class) -> a picture to lay over the image, or None.
Overlay = Callable[[int, int], Image.Image | None]


class Thumbnails:
    """Thumbnails as data addresses, until they take up `budget` bytes; then, and of unreadable images, ''."""

    def __init__(self, loader: LoadRGBImage, budget: int = 3_000_000) -> None:
        self.loader = loader
        self.left = budget

    def of(self, dataset: SemiMultiLabelDataset, index: int) -> str:
        """That of an image of a data set."""
        path = dataset.img_paths[index]
        try:
            pixels = self.loader.decode(dataset.read_bytes(path, 'an image'), path)
        except CSSAError:
            return ''
        return self.picture(Image.fromarray(pixels))

    def picture(self, image: Image.Image) -> str:
        """That of a picture in memory."""
        image = image.copy()
        image.thumbnail((SIDE, SIDE))
        buffer = io.BytesIO()
        image.save(buffer, 'JPEG' if image.mode == 'RGB' else 'PNG', quality=QUALITY, optimize=True)
        kind = 'jpeg' if image.mode == 'RGB' else 'png'
        text = f'data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}'
        if len(text) > self.left:
            return ''
        self.left -= len(text)
        return text


def chosen(tested: ScoredImages) -> dict[int, list[str]]:
    """Row of `tested` -> why it is shown: the best, the worst and the most uncertain images, and the worst by class."""
    labels, scores = tested.labels, np.clip(tested.scores.astype(np.float64), 1e-6, 1 - 1e-6)
    losses = cell_losses(labels, scores)
    of_image = image_losses(losses)
    uncertainty = -(scores * np.log(scores) + (1 - scores) * np.log(1 - scores)).mean(1)
    shows_something = (labels == 1).any(1)
    kinds: dict[int, list[str]] = {}
    for kind, order in (
        ('worst', np.argsort(-np.nan_to_num(of_image, nan=-1), kind='stable')),
        ('best', np.argsort(np.where(shows_something, of_image, np.inf), kind='stable')[: int(shows_something.sum())]),
        ('uncertain', np.argsort(-uncertainty, kind='stable')),
    ):
        for row in order[:MOST_OF_A_KIND]:
            if np.isfinite(of_image[row]) or kind == 'uncertain':
                kinds.setdefault(int(row), []).append(kind)
    concerned = np.where((labels == 1) | tested.predicted, np.nan_to_num(losses, nan=-1), -1)
    order = np.argsort(-concerned.max(0), kind='stable')
    concerned[list(kinds)] = -1
    for c in order[: MOST - len(kinds)]:
        row = int(concerned[:, c].argmax())
        if concerned[row, c] >= 0:
            kinds[row] = ['class']
            concerned[row] = -1
    return kinds


def cell_losses(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Cross-entropy (n, C) of scores between 0 and 1, nan where the label is unknown."""
    return np.where(labels == -1, np.nan, -np.log(np.where(labels == 1, scores, 1 - scores)))


def image_losses(losses: np.ndarray) -> np.ndarray:
    """Their mean (n,) of each image; nan where no label is known."""
    known = np.isfinite(losses)
    return np.where(known, losses, 0).sum(1) / np.where(known.any(1), known.sum(1), np.nan)


def pictures_of(
    model: CSSAClassifier,
    dataset: SemiMultiLabelDataset,
    tested: ScoredImages,
    thumbnails: Thumbnails,
    overlay: Overlay | None = None,
) -> list[Picture]:
    """The gallery, the worst images first.

    Args:
        model: whose class names and thresholds are shown.
        dataset: the test set.
        tested: its scores.
        thumbnails: makes them.
        overlay: gives each label that is shown a picture to lay over its image.
    """
    kinds = chosen(tested)
    of_image = image_losses(cell_losses(tested.labels, np.clip(tested.scores.astype(np.float64), 1e-6, 1 - 1e-6)))
    pictures = []
    for row in sorted(kinds, key=lambda row: -np.nan_to_num(of_image[row])):
        index = int(tested.indices[row])
        labels = []
        for c, kind in _labels(tested.predicted[row], tested.labels[row], tested.scores[row]):
            laid = overlay(index, c) if overlay is not None else None
            address = '' if laid is None else thumbnails.picture(laid)
            score, threshold = float(tested.scores[row, c]), model.thresholds.values[c]
            labels.append(Label(model.class_names[c], kind, score, threshold, address))
        name = shown_name(dataset.image_ids[index])
        pictures.append(
            Picture(name, thumbnails.of(dataset, index), tuple(kinds[row]), tuple(labels), float(of_image[row]))
        )
    return pictures


def shown_name(image_id: str) -> str:
    """The id of an image without the folders of this machine."""
    return PurePath(image_id).name if os.path.isabs(image_id) else image_id


def _labels(predicted: np.ndarray, truth: np.ndarray, scores: np.ndarray) -> Sequence[tuple[int, str]]:
    """Classes of an image that are predicted or missed, and what is true of each; the missed ones, then by score."""
    shown = [
        (int(c), ('right' if truth[c] == 1 else 'wrong' if truth[c] == 0 else 'unknown') if predicted[c] else 'missed')
        for c in np.argsort(-scores, kind='stable')
        if predicted[c] or truth[c] == 1
    ]
    return sorted(shown, key=lambda label: label[1] != 'missed')[:MOST_LABELS]
