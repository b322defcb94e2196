"""Evidence beside the prompts (ours, not the paper's): fitted in closed form to labelled and unlabelled images.

Three readings of an image are added up per class c, each standardised over the training images:

    anchor       <v0_c, t0_c>    of the prompts as they were before any label: CLIP's own answer
    similarity   <v_c, t_c>      of the tuned prompts
    evidence     <v_c, w_c>,     w = precision x (mean of c's positives - mean of all images)

The last is a linear discriminant on the label-specific features. The *unlabelled* images give its precision matrix,
one D x D inverse covariance that all classes share: far too many numbers for a few labelled images, easy for
thousands of unlabelled ones, and no pseudo-label is involved. Classes without labelled positives are left out
of it: a thousand names that no image shows would outweigh the others. With `Neighbours`, anchor and evidence of an
image are smoothed over the images that look like it; the tuned prompts, which lose by it, are not.

How much each reading counts is fitted on the labelled images (`stacking.py`). Until training ends, anchor and tuned
prompts share one weight, and each image is left out of its own class means. After training, where the labels were
held out in folds, the prompts of models that did not see them say what tuning is worth (`stack_held_out`).
"""

from __future__ import annotations

from typing import Annotated, NamedTuple, cast

import torch
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from cssa_mm.models.alignment_head import TextFeatures, matching_bias
from cssa_mm.models.discriminant import (
    DiscriminantOptions,
    ImageStream,
    Moments,
    Nearby,
    Read,
    Similarities,
    deviation,
    fit_discriminant,
)
from cssa_mm.models.label_features import LabelFeatures
from cssa_mm.models.stacking import stack
from cssa_mm.values import Range, Share, check_values

Imagined = Annotated[float, Range(0, 10**6)]  # images or labels


class Readings(NamedTuple):
    """The readings of n training images, none of which depends on its own labels but that of the tuned prompts.

    components: (3, n, C), the anchor, the tuned prompts and the evidence, smoothed.
    values: (n, 2, C), anchor and evidence before they are smoothed, which `Neighbours` stores.
    """

    components: Tensor
    values: Tensor


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
        anchor: Share = 0.5,
        discriminant: bool = True,
        prior_count: Imagined = 4.0,
        prior_floor: Imagined = 2.5,
        unseen_weight: Share = 0.25,
        shrinkage: Share = 0.1,
    ) -> None:
        check_values(DiscriminantEvidence, locals(), 'model.evidence')
        super().__init__()
        self.options = DiscriminantOptions(prior_count, prior_floor, unseen_weight, shrinkage)
        self.anchor = anchor
        self.discriminant = discriminant
        num_classes, embed_dim = anchor_text.positive.shape
        for name, text in anchor_text._asdict().items():
            self.register_buffer(f'anchor_{name}', text)
        for name in ('similarity_mean', 'anchor_mean', 'offset', 'bias', 'similarity_scale', 'anchor_scale', 'scale'):
            self.register_buffer(name, torch.full((num_classes,), float(name.endswith('scale'))))
        self.register_buffer('direction', torch.zeros(num_classes, embed_dim))
        self.register_buffer('weights', torch.tensor([anchor, 1 - anchor, 0.0]))
        self.register_buffer('is_fitted', torch.tensor(False))

    def anchor_text(self) -> TextFeatures:
        """The text features (C, D) before training."""
        return TextFeatures(self.anchor_semantic, self.anchor_positive, self.anchor_negative)

    def forward(
        self, features: LabelFeatures, similarity: Tensor, anchor_similarity: Tensor, nearby: Tensor | None = None
    ) -> Tensor:
        """Logits (B, C) of the readings that `components` takes; computed in float32."""
        return self.combine(self.components(features, similarity, anchor_similarity, nearby))

    def components(
        self, features: LabelFeatures, similarity: Tensor, anchor_similarity: Tensor, nearby: Tensor | None = None
    ) -> Tensor:
        """Anchor, tuned prompts and evidence (3, B, C), float32.

        Args:
            features: label-specific (B, C, D).
            similarity, anchor_similarity: of the tuned prompts and of the anchor (B, C).
            nearby: what the neighbours add to anchor and evidence (B, 2, C).
        """
        with torch.autocast(similarity.device.type, enabled=False):
            anchor = (anchor_similarity.float() - self.anchor_mean) / self.anchor_scale
            tuned = (similarity.float() - self.similarity_mean) / self.similarity_scale
            evidence = features.along(self.direction) - self.offset
            if nearby is not None:
                anchor, evidence = anchor + nearby[:, 0], evidence + nearby[:, 1]
            return torch.stack([anchor, tuned, evidence])

    def combine(self, components: Tensor) -> Tensor:
        """Logits (n, C) of components (3, n, C)."""
        return self._weighed(components) + self.bias

    def _weighed(self, components: Tensor) -> Tensor:
        anchor, tuned, evidence = components
        return (self.weights[0] * anchor + self.weights[1] * tuned) / self.scale + self.weights[2] * evidence

    @torch.no_grad()
    def fit(self, read: Read, labels: Tensor, nearby: Nearby | None = None) -> Readings:
        """Fit to n training images, labelled and unlabelled ones, as they stand now.

        Args:
            read: starts a fresh pass over the n images, in the order of `labels`, in batches of label-specific
                features (b, C, D) and, if called with True, the similarities (b, C) of tuned prompts and anchor. Called
                once without discriminant, else twice, or five times if unlabelled images serve as positives.
            labels: (n, C) in 1, 0, -1 (unknown: every cell of an unlabelled image).
            nearby: what the neighbours of the n images add to a reading (n, C), such as `Neighbours` says.

        Raises:
            ValueError: a pass gives more or fewer than n images.
        """
        device = self.direction.device
        with torch.autocast(device.type, enabled=False):
            return self._fit(ImageStream(read, len(labels)), labels.to(device), nearby or torch.zeros_like)

    @torch.no_grad()
    def stack_held_out(self, components: Tensor, labels: Tensor) -> None:
        """Fit the weights of all readings anew, to readings that did not see the labels.

        Args:
            components: (3, n, C), as `fit` returns them, but those of the tuned prompts by models that did not see
                the labels of the images.
            labels: (n, C).
        """
        device = self.direction.device
        components, labels = components.to(device), labels.to(device)
        used = [0, 1, 2] if 0 < self.anchor < 1 else [0 if self.anchor else 1, 2]
        rows = (labels >= 0).any(1)
        weights = torch.zeros_like(self.weights)
        weights[used] = stack(components[used][:, rows].permute(1, 2, 0), labels[rows], is_checked=True)
        self.weights.copy_(weights)
        self.scale.fill_(1.0)
        self._match_rates(self._weighed(components), labels)

    def _fit(self, images: ImageStream, labels: Tensor, nearby: Nearby) -> Readings:
        known, positive = labels >= 0, labels == 1
        moments = Moments(positive, self.direction.shape[1]) if self.discriminant else None
        components, plain = self._first_pass(images, moments, nearby)
        self.weights.copy_(torch.tensor([self.anchor, 1 - self.anchor, 0.0]))
        self.scale.fill_(1.0)
        base = self._weighed(components)
        self.scale.copy_(deviation(base))
        base, values = base / self.scale, torch.stack([plain, torch.zeros_like(plain)], 1)
        if moments is None:
            self._share(stack(base[known.any(1)][..., None], labels[known.any(1)]))
        else:
            found = fit_discriminant(images, moments, base, labels, nearby, self.options)
            self._share(found.weights)
            self.direction.copy_(found.direction)
            self.offset.copy_((moments.centre * found.direction).sum(-1))
            values[:, 1] = found.held_out
            components[2] = found.held_out + nearby(found.held_out)
        self._match_rates(self._weighed(components), labels)
        self.is_fitted.fill_(True)
        return Readings(components, values)

    def _share(self, weights: Tensor) -> None:
        """Take over the weights of the base and, if there is one, of the discriminant."""
        base = weights[0].clone()
        self.weights.copy_(torch.stack([base * self.anchor, base * (1 - self.anchor), *weights[1:], base * 0][:3]))

    def _match_rates(self, logits: Tensor, labels: Tensor) -> None:
        """Set the bias to logits (n, C): the mean score of the unlabelled images is the rate in the labelled ones."""
        known, unlabelled = labels >= 0, ~(labels >= 0).any(1)
        rates = ((labels == 1).sum(0) + 0.5) / (known.sum(0) + 1)
        scored = logits[unlabelled] if unlabelled.any() else logits
        self.bias.copy_(matching_bias(scored, rates, torch.ones_like(scored, dtype=torch.bool)))

    def _first_pass(self, images: ImageStream, moments: Moments | None, nearby: Nearby) -> tuple[Tensor, Tensor]:
        """Standardise the similarities; the moments, if any, get every batch.

        Returns:
            The components (3, n, C), without evidence, and the anchor's (n, C) before it is smoothed.
        """
        similarity = torch.zeros(images.num_images, len(self.direction), device=self.direction.device)
        anchor_similarity = torch.zeros_like(similarity)
        for batch in images.batches(similarities=True):
            similarity[batch.rows], anchor_similarity[batch.rows] = cast(Similarities, batch.similarities)
            if moments is not None:
                moments.add(batch)
        for name, values in (('similarity', similarity), ('anchor', anchor_similarity)):
            getattr(self, f'{name}_mean').copy_(values.mean(0))
            getattr(self, f'{name}_scale').copy_(deviation(values))
        anchor = (anchor_similarity - self.anchor_mean) / self.anchor_scale
        smoothed = anchor + nearby(anchor)
        spread = deviation(smoothed)
        self.anchor_scale.mul_(spread)
        tuned = (similarity - self.similarity_mean) / self.similarity_scale
        return torch.stack([smoothed / spread, tuned, torch.zeros_like(tuned)]), anchor / spread

    def upgrade_entries(self, state_dict: dict[str, Tensor], prefix: str) -> None:
        """Bring entries of an earlier version, whose anchor and prompts had one weight, into the form of this one."""
        weights = state_dict.get(f'{prefix}weights')
        if weights is not None and weights.shape == (2,):
            base, evidence = weights
            state_dict[f'{prefix}weights'] = torch.stack([base * self.anchor, base * (1 - self.anchor), evidence])
