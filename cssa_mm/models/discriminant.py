"""Linear discriminants on label-specific features (n, C, D), read in batches and never held together.

Memory is a few matrices of (n, C), (C, D) and (D, D), and one batch. With 4096 images, 80 classes and RN50
(D = 1024), the features would take 1.3 GB, a matrix (n, C) takes 1.3 MB. A batch holds no features either, but what
they are sums of (`label_features.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from cssa_mm.models.label_features import LabelFeatures
from cssa_mm.models.stacking import stack

Similarities = tuple[Tensor, Tensor]  # of the prompts and of the anchor (b, C)
Read = Callable[[bool], Iterable[tuple[LabelFeatures, Similarities | None]]]
Nearby = Callable[[Tensor], Tensor]  # from a reading (n, C) to what the neighbours add to it
BLOCK = 256  # columns of a symmetric product at a time: what is below them is known


class DiscriminantOptions(NamedTuple):
    """Options of `DiscriminantEvidence`, which documents them."""

    prior_count: float
    prior_floor: float
    unseen_weight: float
    shrinkage: float


class Discriminant(NamedTuple):
    """Fitted discriminants.

    direction: (C, D), on features minus their centre.
    held_out: evidence (n, C) of the images with each left out of its own class means, not smoothed.
    weights: (2,) of base and evidence.
    """

    direction: Tensor
    held_out: Tensor
    weights: Tensor


class Batch(NamedTuple):
    """Which of the n images these are, their features (b, C, D), and similarities where they were asked for."""

    rows: slice
    features: LabelFeatures
    similarities: Similarities | None


class ImageStream:
    """The n images in batches; each iteration is a fresh pass, without similarities.

    Args:
        read: gives the batches of a pass: features (b, C, D), and similarities if it is told to.
        num_images: n.

    Raises:
        ValueError: a pass gives more or fewer than n images, such as the second one over an exhausted generator.
    """

    def __init__(self, read: Read, num_images: int) -> None:
        self.read = read
        self.num_images = num_images

    def __iter__(self) -> Iterator[Batch]:
        return self.batches(similarities=False)

    def batches(self, similarities: bool) -> Iterator[Batch]:
        """A fresh pass, with similarities or without."""
        stop = 0
        for features, found in self.read(similarities):
            start, stop = stop, stop + features.shape[0]
            if stop > self.num_images:
                break
            yield Batch(slice(start, stop), features, found)
        if stop != self.num_images:
            raise ValueError(f'read(): found {stop} images in a pass, expected {self.num_images} as in labels')


class Moments:
    """The sums that the discriminants need from the first pass, in float64.

    Args:
        positive: bool (n, C), the positive labels. Only classes with positives enter the covariance; if there are
            none, all classes do.
        embed_dim: D.
    """

    def __init__(self, positive: Tensor, embed_dim: int) -> None:
        num_classes = positive.shape[1]
        self.positive = positive
        self.classes = positive.any(0) if positive.any() else torch.ones_like(positive[0])
        self._sum = torch.zeros(num_classes, embed_dim, dtype=torch.float64, device=positive.device)
        self._positive_sum = torch.zeros_like(self._sum)
        self._products = self._sum.new_zeros(embed_dim, embed_dim)  # its upper triangle

    def add(self, batch: Batch) -> None:
        """Add the images of one batch."""
        features = batch.features
        cells = self.positive[batch.rows]
        self._positive_sum.index_add_(0, cells.nonzero()[:, 1], features.of(cells).double())
        local, pooling = features.local.unit, features.pooling()
        self._sum += pooling.transpose(0, 1).flatten(1).double() @ local.flatten(0, 1).double()
        pooling = pooling[:, self.classes]
        # The sum over classes of v v': by way of the classes or of the positions, whichever are fewer.
        if pooling.shape[1] > pooling.shape[2]:
            left, pooling = local.double(), pooling.double()
            right = (pooling.transpose(1, 2) @ pooling) @ left
        else:
            left = right = (pooling @ local).double()
        left, right = left.flatten(0, 1), right.flatten(0, 1)
        for columns in torch.arange(left.shape[1]).split(BLOCK):
            start, stop = int(columns[0]), int(columns[-1]) + 1
            self._products[:stop, start:stop] += left[:, :stop].T @ right[:, start:stop]

    @property
    def centre(self) -> Tensor:
        """Mean (C, D) of all images."""
        return self._sum / len(self.positive)

    @property
    def positive_sum(self) -> Tensor:
        """Sum (C, D) of each class's positives, each minus the centre."""
        return self._positive_sum - self.positive.sum(0)[:, None] * self.centre

    def precision(self, shrinkage: float) -> Tensor:
        """Inverse of the covariance (D, D) over images and classes, shrunk towards a multiple of the identity."""
        centre = self.centre[self.classes]
        products = self._products.triu() + self._products.triu(1).T
        covariance = (products / len(self.positive) - centre.T @ centre) / len(centre)
        identity = torch.eye(len(covariance)).to(covariance)
        shrunk = (1 - shrinkage) * covariance + shrinkage * covariance.diagonal().mean() * identity
        return torch.linalg.inv(shrunk)


def selected_sum(images: Iterable[Batch], centre: Tensor, selected: Tensor) -> Tensor:
    """Sum (C, D) of the images selected for each class, each minus the centre, in one pass.

    Args:
        images: n images.
        centre: (C, D), in float64 like the result.
        selected: bool (n, C).
    """
    total = -selected.sum(0)[:, None] * centre
    for batch in images:
        classes, sums = batch.features.summed_over_images(selected[batch.rows])
        total[classes] += sums
    return total


def positive_means(
    images: Iterable[Batch], moments: Moments, unlabelled: Tensor, prior: tuple[float, Tensor, Tensor] | None
) -> tuple[Tensor, Tensor]:
    """Centred mean (C, D) of each class's positives, and the number of images (C,) that stand behind it.

    Args:
        images: n images.
        moments: of the same images.
        unlabelled: bool (n,).
        prior: (count, shares, logits): the shares (C,) of the unlabelled images with the highest logits (n, C) serve as
            further positives, and weigh as much as `count` of them. None leaves them out.
    """
    total, count = moments.positive_sum, moments.positive.sum(0)
    if prior is not None and unlabelled.any():
        weight, shares, logits = prior
        ranks = logits[unlabelled].argsort(dim=0, descending=True, stable=True).argsort(dim=0)
        best = torch.zeros_like(moments.positive)
        best[unlabelled] = ranks < (shares * unlabelled.sum()).round().clamp(min=1)
        total = total + weight * selected_sum(images, moments.centre, best) / best.sum(0)[:, None]
        count = count + weight
    return total / count.clamp(min=1)[:, None], count


def discriminate(
    images: Iterable[Batch], centre: Tensor, mean: Tensor, count: Tensor, precision: Tensor, positive: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Read the discriminants of n images in one pass.

    Args:
        images: n images.
        centre: mean (C, D) of all images.
        mean: of each class's positives (C, D), minus the centre.
        count: number of positives (C,) behind that mean.
        precision: (D, D).
        positive: bool (n, C), the positive labels.

    Returns:
        The discriminants (n, C), with deviation 1 over the images; the same with each positive left out of its own
        class mean; and the scale (C,) that both were divided by.
    """
    whitened, offset = (mean @ precision).float(), (centre * (mean @ precision)).sum(-1).float()
    evidence = torch.zeros(positive.shape, device=positive.device)
    own = torch.zeros_like(evidence)
    for batch in images:
        evidence[batch.rows] = batch.features.along(whitened) - offset
        cells = positive[batch.rows]
        # In float64: precision has entries of 1e5 with both signs, and float32 keeps four digits of their sum.
        centred = batch.features.of(cells).double() - centre[cells.nonzero()[:, 1]]
        own[batch.rows][cells] = ((centred @ precision) * centred).sum(-1).float()
    scale = deviation(evidence)
    # Without image i the mean of N is (N m - x_i) / (N - 1).
    left_out = torch.where(count > 1, (count * evidence - own) / (count - 1), 0.0)
    return evidence / scale, torch.where(positive, left_out, evidence) / scale, scale


def fit_discriminant(
    images: ImageStream, moments: Moments, base: Tensor, labels: Tensor, nearby: Nearby, options: DiscriminantOptions
) -> Discriminant:
    """Fit directions, and the weights of base and evidence.

    Args:
        images: n images.
        moments: of the same images.
        base: what is known of them beside (n, C), with deviation 1.
        labels: (n, C) in 1, 0, -1.
        nearby: smooths the evidence.
        options: those of `DiscriminantEvidence`.
    """
    positive, labelled = moments.positive, (labels >= 0).any(1)
    centre, precision = moments.centre, moments.precision(options.shrinkage)
    known, seen = (labels >= 0).sum(0) + 0.5, positive.sum(0) + 0.5
    shares = seen.clamp(min=options.prior_floor).minimum(known) / (known + 0.5)
    trust = torch.where(positive.any(0), 1.0, options.unseen_weight)
    logits, uses_prior = base, bool(options.prior_count) and not bool(labelled.all())
    # Twice: the unlabelled images that serve as positives are chosen by the base first, then by both.
    for _ in range(2 if uses_prior else 1):
        prior = (options.prior_count, shares, logits) if uses_prior else None
        mean, count = positive_means(images, moments, ~labelled, prior)
        evidence, held_out, scale = discriminate(images, centre, mean, count, precision, positive)
        spread = deviation(held_out + nearby(held_out)).clamp(min=1e-3)
        evidence, held_out = evidence / spread, held_out / spread
        around = nearby(held_out)
        weights = stack(torch.stack([base, held_out + around], -1)[labelled], labels[labelled])
        logits = weights[0] * base + weights[1] * trust * (evidence + around)
    return Discriminant(mean @ precision * (trust / scale / spread)[:, None], trust * held_out, weights)


def deviation(values: Tensor) -> Tensor:
    """Standard deviation (C,) of the columns of (n, C), never zero."""
    return values.std(0, correction=0).clamp(min=1e-6)
