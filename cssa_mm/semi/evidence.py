"""The training images that evidence and neighbours of the teacher are fitted to (ours, not the paper's)."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from mmengine.dist import is_main_process
from torch import Tensor

from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.datasets.sample_key import generators_kept
from cssa_mm.features.encode import Features, readable_rows
from cssa_mm.features.frozen_features import FrozenFeatures
from cssa_mm.models import CSSAClassifier
from cssa_mm.models.discriminant import Similarities
from cssa_mm.models.evidence import DiscriminantEvidence, Readings
from cssa_mm.models.label_features import LabelFeatures
from cssa_mm.models.neighbours import Links, Neighbours

# Numbers of attention that a fit keeps between its passes, .25 GiB: 4,096 images of 320 classes with N = 50.
KEPT = 2**26
CHUNK = 256  # images at a time, whose neighbours' values are in memory: 0.3 GiB for 9,600 classes


class _Stored(NamedTuple):
    """Which of the images are stored (M,), and the neighbours of all."""

    rows: Tensor
    links: Links


class _Attention:
    """What the passes of one fit share: where each class looks (b, C, N) in the images of each batch."""

    def __init__(self, num_images: int) -> None:
        self.num_images = num_images
        self._batches: dict[int, tuple[Tensor, Tensor | None]] = {}

    def share(self, number: int, features: LabelFeatures) -> LabelFeatures:
        """The features of a batch, with the attention of an earlier pass if it is kept."""
        if number in self._batches:
            features.weights, features.lengths = self._batches[number]
        elif self.num_images * features.shape[1] * features.local.unit.shape[1] <= KEPT:
            self._batches[number] = features.weights, features.lengths
        return features


class EvidenceImages:
    """At most `most` labelled and `most` unlabelled images, drawn by the seed, with their frozen features on rank 0.

    Memory on rank 0, unless the cache keeps the features anyway: 2 x most x (N + 1) x D floats, 0.8 GiB for 2,048
    images of RN50 at 224. All ranks must build one.
    """

    def __init__(self, features: FrozenFeatures, dataset: SemiMultiLabelDataset, most: int, seed: int) -> None:
        generator = np.random.default_rng(seed)
        parts = (dataset.labelled_indices, dataset.unlabelled_indices)
        self.indices = np.concatenate([_some(part, most, generator) for part in parts])
        self.seed = seed
        # They are read when the evidence is first fitted, which a resumed run does at another step.
        with generators_kept():
            self._batches = features.held(self.indices, 'Evidence') if is_main_process() else _nothing
        # Only after encoding is it known which of them are bad.
        self._readable = readable_rows(dataset, self.indices)
        self._labels = torch.as_tensor(dataset.labels[self.indices])
        self._stored: _Stored | None = None

    @property
    def readable_indices(self) -> np.ndarray:
        """Indices of the images that could be read."""
        return self.indices[self._readable.numpy()]

    @property
    def labels(self) -> Tensor:
        """Their labels (n, C)."""
        return self._labels[self._readable]

    def with_labels(self, dataset: SemiMultiLabelDataset) -> EvidenceImages:
        """The same images with the labels that they have in another data set, such as that of a fold."""
        images = copy.copy(self)
        images._labels = torch.as_tensor(dataset.labels[self.indices])
        return images

    def features(self, device: torch.device) -> Iterator[Features]:
        """Features of the readable images on a device, batch by batch, labelled ones first; on rank 0 alone."""
        start = 0
        for local, pooled in self._batches():
            rows = self._readable[start : start + len(local)]
            start += len(local)
            if not rows.all():
                local, pooled = local[rows], pooled[rows]
            yield local.to(device), pooled.to(device)

    def fit(self, model: CSSAClassifier) -> Readings | None:
        """Fit evidence and neighbours of a model to its teacher as it stands; on rank 0 alone.

        Returns:
            The readings of the readable images that the evidence was fitted to; None without evidence.
        """
        model.unfold()
        neighbours, device = model.neighbours, model.head.bias.device
        stored = None if neighbours is None else self._store(neighbours, device)
        if model.evidence is None:
            if neighbours is not None and stored is not None:
                found = [(model.alignment_of(*batch).logits, batch[1]) for batch in self.features(device)]
                logits, pooled = (torch.cat(parts) for parts in zip(*found, strict=True))
                neighbours.fit_logits(logits, pooled, stored.rows)
            return None
        read = partial(self._readings, model, _Attention(len(self.labels)))
        if neighbours is None or stored is None:
            return model.evidence.fit(read, self.labels.to(device))

        def nearby(reading: Tensor) -> Tensor:
            values = reading[stored.rows][:, None]
            chunks = zip(*(part.split(CHUNK) for part in stored.links), strict=True)
            return torch.cat([neighbours.mean(Links(*chunk), values) for chunk in chunks])[:, 0]

        readings = model.evidence.fit(read, self.labels.to(device), nearby)
        neighbours.keep(readings.values[stored.rows])
        return readings

    def stack(self, evidence: DiscriminantEvidence, readings: Readings, indices: np.ndarray, tuned: Tensor) -> None:
        """Fit the weights of the evidence to readings that did not see the labels.

        Args:
            evidence: fitted to these images.
            readings: what `fit` returned.
            indices: labelled images (h,), for which the tuned prompts are replaced.
            tuned: by the readings (h, C) of prompts that did not see their labels.
        """
        components, labels = readings.components.clone(), torch.full_like(self.labels, -1)
        order = np.argsort(indices)
        here = self.readable_indices
        place = np.searchsorted(indices, here, sorter=order).clip(max=len(indices) - 1)
        rows = np.nonzero(indices[order][place] == here)[0]
        components[1, rows] = tuned[order[place[rows]]].to(components)
        labels[rows] = self.labels[rows]
        evidence.stack_held_out(components, labels)

    def _store(self, neighbours: Neighbours, device: torch.device) -> _Stored:
        """Store the images, unless they are; the tower is frozen, so that neighbours stay the same."""
        if self._stored is None or len(self._stored.rows) != neighbours.num_images:
            pooled = torch.cat([pooled for _, pooled in self.features(device)])
            rows = neighbours.store(pooled, self.seed)
            self._stored = _Stored(rows, neighbours.links(pooled))
        return self._stored

    def _readings(
        self, model: CSSAClassifier, attention: _Attention, similarities: bool
    ) -> Iterator[tuple[LabelFeatures, Similarities | None]]:
        """The model's readings of the readable images, batch by batch, in the order of the labels."""
        for number, (local, pooled) in enumerate(self.features(model.head.bias.device)):
            if similarities:
                features, *found = model.readings(local, pooled)
                yield attention.share(number, features), (found[0], found[1])
            else:
                yield attention.share(number, model.label_features(local, pooled)), None


def _nothing() -> Iterator[Features]:
    return iter(())


def _some(indices: np.ndarray, most: int, generator: np.random.Generator) -> np.ndarray:
    return indices if len(indices) <= most else np.sort(generator.choice(indices, most, replace=False))
