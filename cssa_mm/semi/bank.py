"""The pseudo-label bank: the latest labels and weights of each unlabelled image, looked up by image id."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cssa_mm.errors import DataError
from cssa_mm.semi.policies import PseudoLabels


class PseudoLabelBank:
    """Pseudo-labels of M unlabelled images: int8 labels (M, C) in 1, 0, -1, and weights (M, C) or None."""

    def __init__(self, image_ids: Sequence[str], pseudo_labels: PseudoLabels) -> None:
        self._rows = {image_id: row for row, image_id in enumerate(image_ids)}
        self.pseudo_labels = pseudo_labels

    @classmethod
    def of_all(cls, image_ids: Sequence[str], pseudo_labels: PseudoLabels) -> PseudoLabelBank:
        """The bank of M images whose pseudo-labels each rank knows."""
        return cls(image_ids, pseudo_labels)

    def gathered(self) -> PseudoLabels:
        """The pseudo-labels of all M images; all ranks must call it."""
        return self.pseudo_labels

    def __len__(self) -> int:
        return len(self._rows)

    def lookup(self, image_ids: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Labels (B, C) int8 and weights (B, C) float32 of B images, on the CPU.

        Raises:
            DataError: an id that was not scored.
        """
        try:
            rows = torch.tensor([self._rows[image_id] for image_id in image_ids], dtype=torch.int64)
        except KeyError as error:
            raise DataError(
                f'pseudo-label bank: found no labels for unlabelled image {error}, expected all images of the '
                'training set; was the data set changed during training?'
            ) from error
        labels = self.pseudo_labels.labels[rows]
        weights = self.pseudo_labels.weights
        return labels, torch.ones(labels.shape) if weights is None else weights[rows]
