"""Evidence beside the prompts (ours, not the paper's): fitted in closed form to labelled and unlabelled images.

Three readings of an image are added up per class c, each standardised over the training images:

    similarity   <v_c, t_c>      of the tuned prompts
    anchor       <v0_c, t0_c>    of the prompts as they were before any label: CLIP's own answer
    evidence     <v_c, w_c>,     w = precision x (mean of c's positives - mean of all images)

The last is a linear discriminant on the label-specific features. The *unlabelled* images give its precision matrix,
one D x D inverse covariance that all classes share: far too many numbers for a few labelled images, easy for
thousands of unlabelled ones, and no pseudo-label is involved. Classes without labelled positives are left out
of it: a thousand names that no image shows would outweigh the others. How much the discriminant counts beside the
anchor is fitted on the labelled images, with each left out of its own class mean.
"""

from __future__ import annotations

import torch
from mmpretrain.registry import MODELS
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from cssa_mm.errors import ConfigError
from cssa_mm.models.alignment_head import TextFeatures, matching_bias
from cssa_mm.models.discriminant import ImageStream, Moments, Read, deviation, discriminate, selected_sum

# Of base and evidence. The base always counts: a class without labelled positives may have nothing else.
LOWEST_WEIGHTS = torch.tensor([0.1, 0.0], dtype=torch.float64)


@MODELS.register_module()
class DiscriminantEvidence(nn.Module):
    """Logits from the tuned prompts, their anchor and a discriminant; everything learned is a buffer.

    Args:
        anchor_text: text features (C, D) of the prompts before training (given by the classifier).
        anchor: share of the anchor in 0..1: 0 leaves the prompts alone, 1 ignores what they learned.
        discriminant: False leaves the discriminant out.
        prior_count: weight of the best-scored unlabelled images in each class mean, in positives, so that one
            labelled photo does not decide alone; 0 uses the labelled means as they are.
        prior_floor: lower limit of the (smoothed) labelled positives that decide how many images these are: the rate
            of a rare class is a guess, and a mean needs more than a handful of images.
        unseen_weight: factor in 0..1 of the discriminant in a class without labelled positives: its mean rests on
            best-scored unlabelled images alone, which are the wrong ones if the name misleads CLIP.
        shrinkage: weight in 0..1 of a multiple of the identity in the covariance.

    Raises:
        ConfigError: a weight or share outside 0..1, or a negative count.
    """

    anchor_semantic: Tensor
    anchor_positive: Tensor
    anchor_negative: Tensor | None
    similarity_mean: Tensor
    similarity_scale: Tensor
    anchor_mean: Tensor
    anchor_scale: Tensor
    scale: Tensor
    offset: Tensor
    bias: Tensor
    direction: Tensor
    weights: Tensor
    is_fitted: Tensor

    def __init__(
        self,
        anchor_text: TextFeatures,
        anchor: float = 0.5,
        discriminant: bool = True,
        prior_count: float = 2.0,
        prior_floor: float = 2.5,
        unseen_weight: float = 0.25,
        shrinkage: float = 0.05,
    ) -> None:
        super().__init__()
        for name, value, highest in (
            ('anchor', anchor, 1),
            ('shrinkage', shrinkage, 1),
            ('unseen_weight', unseen_weight, 1),
            ('prior_count', prior_count, 1e6),
            ('prior_floor', prior_floor, 1e6),
        ):
            if not 0 <= value <= highest:
                raise ConfigError(f'model.evidence.{name}: found {value}, expected a number from 0 to {highest:g}')
        self.anchor = anchor
        self.discriminant = discriminant
        self.prior_count = prior_count
        self.prior_floor = prior_floor
        self.unseen_weight = unseen_weight
        self.shrinkage = shrinkage
        num_classes, embed_dim = anchor_text.positive.shape
        for name, text in anchor_text._asdict().items():
            self.register_buffer(f'anchor_{name}', text)
        for name in ('similarity_mean', 'anchor_mean', 'offset', 'bias'):
            self.register_buffer(name, torch.zeros(num_classes))
        for name in ('similarity_scale', 'anchor_scale', 'scale'):
            self.register_buffer(name, torch.ones(num_classes))
        self.register_buffer('direction', torch.zeros(num_classes, embed_dim))
        self.register_buffer('weights', torch.tensor([1.0, 0.0]))
        self.register_buffer('is_fitted', torch.tensor(False))

    def anchor_text(self) -> TextFeatures:
        """The text features (C, D) before training."""
        return TextFeatures(self.anchor_semantic, self.anchor_positive, self.anchor_negative)

    def forward(self, features: Tensor, similarity: Tensor, anchor_similarity: Tensor) -> Tensor:
        """Logits (B, C) of label-specific features (B, C, D), similarities (B, C) and those of the anchor (B, C).

        Computed in float32.
        """
        with torch.autocast(features.device.type, enabled=False):
            evidence = torch.einsum('bcd,cd->bc', features.float(), self.direction) - self.offset
            base = self._base(similarity.float(), anchor_similarity.float())
            return self.weights[0] * base + self.weights[1] * evidence + self.bias

    def _base(self, similarity: Tensor, anchor_similarity: Tensor) -> Tensor:
        tuned = (similarity - self.similarity_mean) / self.similarity_scale
        anchor = (anchor_similarity - self.anchor_mean) / self.anchor_scale
        return ((1 - self.anchor) * tuned + self.anchor * anchor) / self.scale

    @torch.no_grad()
    def fit(self, read: Read, labels: Tensor) -> None:
        """Fit to n training images, labelled and unlabelled ones, as they stand now.

        Args:
            read: starts a fresh pass over the n images, in the order of `labels`, in batches of label-specific
                features (b, C, D), similarities of the tuned prompts (b, C) and of the anchor (b, C). It is called
                once without discriminant, else twice, or five times if unlabelled images serve as positives.
                Autocast is off while it runs.
            labels: (n, C) in 1, 0, -1 (unknown: every cell of an unlabelled image).

        Raises:
            ValueError: a pass gives more or fewer than n images.
        """
        device = self.direction.device
        with torch.autocast(device.type, enabled=False):
            self._fit(ImageStream(read, len(labels), device), labels.to(device))

    def _fit(self, images: ImageStream, labels: Tensor) -> None:
        known, positive = labels >= 0, labels == 1
        unlabelled = ~known.any(1)
        seen, known_of = positive.sum(0) + 0.5, known.sum(0) + 0.5
        rates = seen / (known_of + 0.5)
        moments = Moments(positive, self.direction.shape[1]) if self.discriminant else None
        base = self._first_pass(images, moments)
        if moments is not None:
            shares = seen.clamp(min=self.prior_floor).minimum(known_of) / (known_of + 0.5)
            logits = self._fit_discriminant(images, moments, base, known, shares)
        else:
            self._fit_weights(base[known], torch.zeros_like(base[known]), positive[known])
            logits = self.weights[0] * base
        scored = logits[unlabelled] if unlabelled.any() else logits
        self.bias.copy_(matching_bias(scored, rates, torch.ones_like(scored, dtype=torch.bool)))
        self.is_fitted.fill_(True)

    def _first_pass(self, images: ImageStream, moments: Moments | None) -> Tensor:
        """Standardise the similarities; returns their base (n, C). The moments, if any, get every batch."""
        similarity = torch.zeros(images.num_images, len(self.direction), device=self.direction.device)
        anchor_similarity = torch.zeros_like(similarity)
        for batch in images:
            similarity[batch.rows], anchor_similarity[batch.rows] = batch.similarity, batch.anchor_similarity
            if moments is not None:
                moments.add(batch)
        for name, values in (('similarity', similarity), ('anchor', anchor_similarity)):
            getattr(self, f'{name}_mean').copy_(values.mean(0))
            getattr(self, f'{name}_scale').copy_(deviation(values))
        self.scale.fill_(1.0)
        self.scale.copy_(deviation(self._base(similarity, anchor_similarity)))
        return self._base(similarity, anchor_similarity)

    def _fit_discriminant(
        self, images: ImageStream, moments: Moments, base: Tensor, known: Tensor, shares: Tensor
    ) -> Tensor:
        """Fit directions and weights; returns the logits (n, C), without bias."""
        positive, unlabelled = moments.positive, ~known.any(1)
        centre, precision = moments.centre, moments.precision(self.shrinkage)
        trust = torch.where(positive.any(0), 1.0, self.unseen_weight)
        logits = base
        # Twice: the unlabelled images that serve as positives are chosen by the base first, then by both.
        for _ in range(2 if self.prior_count and unlabelled.any() else 1):
            mean, count = self._positive_mean(images, moments, unlabelled, logits, shares)
            evidence, held_out, scale = discriminate(images, centre, mean, count, precision, positive)
            self._fit_weights(base[known], held_out[known], positive[known])
            logits = self.weights[0] * base + self.weights[1] * trust * evidence
        self.direction.copy_(mean @ precision * (trust / scale)[:, None])
        self.offset.copy_((centre * self.direction).sum(-1))
        return logits

    def _positive_mean(
        self, images: ImageStream, moments: Moments, unlabelled: Tensor, logits: Tensor, shares: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Centred mean (C, D) of each class's positives, and the number of images (C,) that stand behind it.

        The shares (C,) of the unlabelled images (n,) with the highest logits (n, C) serve as further positives.
        """
        total, count = moments.positive_sum, moments.positive.sum(0)
        if self.prior_count and unlabelled.any():
            ranks = logits[unlabelled].argsort(dim=0, descending=True, stable=True).argsort(dim=0)
            best = torch.zeros_like(moments.positive)
            best[unlabelled] = ranks < (shares * unlabelled.sum()).round().clamp(min=1)
            prior = selected_sum(images, moments.centre, best) / best.sum(0)[:, None]
            total, count = total + self.prior_count * prior, count + self.prior_count
        return total / count.clamp(min=1)[:, None], count

    def _fit_weights(self, base: Tensor, held_out: Tensor, positive: Tensor) -> None:
        """Logistic regression over all known cells, without negative weights; unchanged if all labels are equal."""
        if not 0 < int(positive.sum()) < len(positive):
            return
        readings = torch.stack([base, held_out], 1).double().cpu().numpy()
        # Hardly regularised: two weights over thousands of cells.
        fitted = LogisticRegression(C=1e3, max_iter=1000).fit(readings, positive.cpu().numpy())
        self.weights.copy_(torch.as_tensor(fitted.coef_[0]).clamp(min=LOWEST_WEIGHTS))
