"""The training images that the evidence of `cssa_plus` is fitted to (ours, not the paper's)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from mmengine.dist import is_main_process
from torch import Tensor

from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.features.encode import Features, readable_rows
from cssa_mm.features.frozen_features import FrozenFeatures
from cssa_mm.models import CSSAClassifier
from cssa_mm.models.evidence import DiscriminantEvidence


class EvidenceImages:
    """At most `most` labelled and `most` unlabelled images, drawn by the seed, with their frozen features on rank 0.

    Memory on rank 0, unless the cache keeps the features anyway: 2 x most x (N + 1) x D floats, 0.8 GiB for 2,048
    images of RN50 at 224. All ranks must build one.
    """

    def __init__(self, features: FrozenFeatures, dataset: SemiMultiLabelDataset, most: int, seed: int) -> None:
        generator = np.random.default_rng(seed)
        parts = (dataset.labelled_indices, dataset.unlabelled_indices)
        indices = np.concatenate([_some(part, most, generator) for part in parts])
        self._batches = features.held(indices, 'Evidence') if is_main_process() else _nothing
        # Only after encoding is it known which of them are bad.
        self._readable = readable_rows(dataset, indices)
        self._labels = torch.as_tensor(dataset.labels[indices])[self._readable]

    def features(self, device: torch.device) -> Iterator[Features]:
        """Features of the readable images on a device, batch by batch, labelled ones first; on rank 0 alone."""
        start = 0
        for local, pooled in self._batches():
            rows = self._readable[start : start + len(local)]
            start += len(local)
            yield local[rows].to(device), pooled[rows].to(device)

    def fit(self, model: CSSAClassifier, evidence: DiscriminantEvidence) -> None:
        """Fit the evidence of a model to its teacher as it stands; on rank 0 alone."""
        model.unfold()
        evidence.fit(lambda: self._readings(model), self._labels.to(model.head.bias.device))

    def _readings(self, model: CSSAClassifier) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """The model's readings of the readable images, batch by batch, in the order of the labels."""
        for local, pooled in self.features(model.head.bias.device):
            yield model.readings(local, pooled)


def _nothing() -> Iterator[Features]:
    return iter(())


def _some(indices: np.ndarray, most: int, generator: np.random.Generator) -> np.ndarray:
    return indices if len(indices) <= most else np.sort(generator.choice(indices, most, replace=False))
