"""Label-specific alignment: locate each class in the image, and score the features found there.

    local features l (B, N, D)     semantic-aware prompts s (C, D)      class prompts t (C, D)
              \\__________ cosine, softmax over N __________/                     |
                      attention a (B, C, N)                                      |
                              | weighted sum of l, renormalised                  |
                  label-specific features v (B, C, D) __________ cosine * tau + b = logits (B, C)

With RN50 at 224, 80 classes and 32 images: l (32, 50, 1024), a (32, 80, 50), v (32, 80, 1024). v is not written down:
`label_features.py` takes the cosines from l and a.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from cssa_mm.errors import ConfigError
from cssa_mm.models.centring import BackgroundCentring, centring_options
from cssa_mm.models.label_features import LabelFeatures, LocalFeatures
from cssa_mm.models.plain_data import short
from cssa_mm.models.prompts import ClassPrompts
from cssa_mm.models.text_encoder import TextEncoder
from cssa_mm.values import AboveZero, OneOf

SCORES = ('sigmoid', 'dual', 'negative_embedding')


class TextFeatures(NamedTuple):
    """Unit text features (C, D): `semantic` for the attention, `positive` and `negative` for the score."""

    semantic: Tensor
    positive: Tensor
    negative: Tensor | None


class Alignment(NamedTuple):
    """Logits (B, C), label-specific features (B, C, D), attention (B, C, N) and context logits (B, K).

    Attention is None for the global feature, contexts until a context head has read the alignment.
    """

    logits: Tensor
    features: LabelFeatures
    attention: Tensor | None
    contexts: Tensor | None = None


@MODELS.register_module()
class LabelAlignmentHead(nn.Module):
    """Two prompts per class, label attention and the score (paper; formulas are reconstructions).

    Args:
        encoder: the frozen text tower (given by the classifier).
        class_names: C names, or several wordings in place of a name (given by the classifier).
        prompts: options of `ClassPrompts`.
        label_specific: pool once per class; False aligns the global feature with every class.
        shared_prompts: use one prompt per class for both attention and score.
        renormalise: unit label-specific features; False is DualCoOp++'s evidence-guided pooling.
        attention_temperature: tau_s.
        temperature: tau_c, at the start if it is learned.
        learn_temperature: learn tau_c.
        score: `'sigmoid'`; `'dual'`, a negative prompt per class and a two-way softmax (DualCoOp);
            `'negative_embedding'`, a free negative vector per class (PositiveCoOp).
        bias: learn a bias b_c per class; without it every CLIP score starts above one half.
        centring: options of `BackgroundCentring`, which takes an image's offset out of its similarities (ours); None
            leaves them as they are.
    """

    bias_is_calibrated: Tensor

    def __init__(
        self,
        encoder: TextEncoder,
        class_names: Sequence[str | Sequence[str]],
        prompts: dict | None = None,
        label_specific: bool = True,
        shared_prompts: bool = False,
        renormalise: bool = True,
        attention_temperature: AboveZero = 20.0,
        temperature: AboveZero = 20.0,
        learn_temperature: bool = True,
        score: Annotated[str, OneOf(SCORES)] = 'sigmoid',
        bias: bool = True,
        centring: dict | None = None,
    ) -> None:
        super().__init__()
        if score not in SCORES:
            raise ConfigError(f"head.score: found '{score}', expected one of {', '.join(SCORES)}")
        if shared_prompts and not label_specific:
            raise ConfigError(
                'head.shared_prompts: found True with label_specific=False, which uses no attention, expected False; '
                'leave it out'
            )
        centred = centring_options(centring)
        if centred is not None and score != 'sigmoid':
            raise ConfigError(
                f"head.centring: found {short(centring)} with score='{score}', a difference of cosines, in which an "
                "image's offset cancels, expected None; leave it out"
            )
        prompts = prompts or {}
        self.label_specific = label_specific
        self.renormalise = renormalise
        self.attention_temperature = attention_temperature
        self.class_prompts = ClassPrompts(encoder, class_names, **prompts)
        self.semantic_prompts = None
        if label_specific and not shared_prompts:
            self.semantic_prompts = ClassPrompts(encoder, class_names, **prompts)
        self.negative_prompts = ClassPrompts(encoder, class_names, **prompts) if score == 'dual' else None
        self.negative_embedding = None
        if score == 'negative_embedding':
            with torch.no_grad():
                start = F.normalize(self.class_prompts(encoder), dim=-1).mean(0, keepdim=True)
            self.negative_embedding = nn.Parameter(start.expand(len(class_names), -1).clone())
        self.log_temperature = nn.Parameter(torch.tensor(float(temperature)).log(), requires_grad=learn_temperature)
        self.bias = nn.Parameter(torch.zeros(len(class_names)), requires_grad=bias)
        self.register_buffer('bias_is_calibrated', torch.tensor(False))
        self.centring = None
        if centred is not None:
            words = prompts.get('initial_words', '')
            self.centring = BackgroundCentring(encoder, **centred, initial_words=words)

    def of_classes(self) -> set[str]:
        """Names of the parameters that have a row for each class; the others belong to all classes."""
        context = {name for name, value in self.named_parameters() if name.endswith('.context') and value.ndim == 3}
        return context | {'bias', 'negative_embedding'}

    def text_features(self, encoder: TextEncoder) -> TextFeatures:
        """The text side: at inference it folds into these constants."""
        positive = F.normalize(self.class_prompts(encoder), dim=-1)
        semantic = positive
        if self.semantic_prompts is not None:
            semantic = F.normalize(self.semantic_prompts(encoder), dim=-1)
        negative = self.negative_embedding
        if self.negative_prompts is not None:
            negative = self.negative_prompts(encoder)
        return TextFeatures(semantic, positive, None if negative is None else F.normalize(negative, dim=-1))

    def forward(self, local: Tensor, pooled: Tensor, text: TextFeatures) -> Alignment:
        """Align (B, N, D) local and (B, D) global features with the text; computed in float32."""
        return self.align(self.look(local, pooled), text)

    def look(self, local: Tensor, pooled: Tensor) -> LocalFeatures:
        """Unit vectors of local (B, N, D) features, or of global (B, D) ones as the only position; for any text."""
        with torch.autocast(local.device.type, enabled=False):
            features = local if self.label_specific else pooled[:, None]
            return LocalFeatures(F.normalize(features.float(), dim=-1))

    def align(self, seen: LocalFeatures, text: TextFeatures) -> Alignment:
        """Align what `look` gives with the text; computed in float32."""
        with torch.autocast(seen.unit.device.type, enabled=False):
            similarity, features = self.similarity(seen, text)
            logits = self.log_temperature.exp() * similarity + self.bias
            return Alignment(logits, features, features.weights if self.label_specific else None)

    def similarity(self, seen: LocalFeatures, text: TextFeatures) -> tuple[Tensor, LabelFeatures]:
        """What `cosines` gives, the cosines (B, C) centred if the head has a `centring`."""
        similarity, features = self.cosines(seen, text)
        if self.centring is not None:
            if seen.offset is None:  # tuned prompts and anchor share it
                seen.offset = self.offset(seen, self.centring.text)
            similarity = self.centring(similarity, seen.offset)
        return similarity, features

    def offset(self, seen: LocalFeatures, background: Tensor) -> Tensor:
        """Mean cosines (B,) of images with the text features (V, D) of a background vocabulary."""
        return self.cosines(seen, TextFeatures(background, background, None))[0].mean(-1)

    def cosines(self, seen: LocalFeatures, text: TextFeatures) -> tuple[Tensor, LabelFeatures]:
        """Cosines (B, C) with the text of any C names, and the label-specific features (B, C, D)."""
        with torch.autocast(seen.unit.device.type, enabled=False):
            features = self.label_features(seen, text)
            direction = text.positive if text.negative is None else text.positive - text.negative
            return features.along(direction.float()), features

    def label_features(self, seen: LocalFeatures, text: TextFeatures) -> LabelFeatures:
        """The label-specific features (B, C, D); of a global feature, the only position counts for every class."""
        renormalise = self.renormalise and self.label_specific
        return LabelFeatures(seen, text.semantic.float(), self.attention_temperature, renormalise)

    def unscaled(self, alignment: Alignment) -> Tensor:
        """An alignment's logits (B, C) without bias and temperature: similarities, plus the feedback of contexts."""
        return (alignment.logits - self.bias) / self.log_temperature.exp()

    @torch.no_grad()
    def calibrate_bias(self, logits: Tensor, labels: Tensor) -> None:
        """Set b_c so that the mean score on labelled images is the class's rate (reconstruction), if it is learned.

        Args:
            logits: (n, C) of the labelled images, with the current bias.
            labels: (n, C) in 1, 0, -1 (unknown, left out). Rates are (positives + 1/2) / (known + 1).
        """
        known = labels >= 0
        rates = ((labels == 1).sum(0) + 0.5) / (known.sum(0) + 1)
        bias = matching_bias(logits, rates, known)
        if self.bias.requires_grad:
            self.bias.add_(torch.where(known.any(0), bias, torch.zeros_like(bias)))
        self.bias_is_calibrated.fill_(True)


def matching_bias(logits: Tensor, rates: Tensor, known: Tensor) -> Tensor:
    """Bias (C,) that makes the mean score of each class equal its rate, found by bisection.

    Args:
        logits: (n, C).
        rates: (C,), in 0..1.
        known: bool (n, C), the cells that count.
    """
    low, high = torch.full_like(rates, -200.0), torch.full_like(rates, 200.0)
    for _ in range(60):
        middle = (low + high) / 2
        means = (torch.sigmoid(logits + middle) * known).sum(0) / known.sum(0).clamp(min=1)
        low, high = torch.where(means < rates, middle, low), torch.where(means < rates, high, middle)
    return (low + high) / 2
