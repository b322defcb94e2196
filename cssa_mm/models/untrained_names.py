"""Names that were never trained, scored by the tower of a trained model: zero-shot CLIP with its label attention."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cssa_mm.models.alignment_head import TextFeatures
from cssa_mm.models.classifier import CSSAClassifier
from cssa_mm.models.prompts import ClassPrompts

WORDS = 'a photo of a'


@torch.no_grad()
def untrained_text(model: CSSAClassifier, wordings: Sequence[Sequence[str]]) -> TextFeatures:
    """Text features (C, D) of the prompt that training would start from, "a photo of a NAME" by default.

    Args:
        model: whose text tower encodes them.
        wordings: one or several words for each of the C names.

    Raises:
        ConfigError: a name is too long for the text tower.
    """
    words = model.options['head']['prompts'].get('initial_words') or WORDS
    encoder = model.text_encoder
    with torch.random.fork_rng(devices=[]):  # vectors are drawn before the words take their place
        prompts = ClassPrompts(encoder, wordings, num_context=len(encoder.words(words)), initial_words=words)
    text = F.normalize(prompts.to(model.head.bias.device)(encoder), dim=-1)
    return TextFeatures(text, text, None)


@torch.no_grad()
def untrained_similarity(model: CSSAClassifier, local: Tensor, pooled: Tensor, text: TextFeatures) -> Tensor:
    """Cosines (B, C) of images with the text of untrained names, by the label attention of the model."""
    return model.head.similarity(local, pooled, text)[0]
