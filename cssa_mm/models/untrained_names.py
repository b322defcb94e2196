"""Names that were never trained, scored by the tower of a trained model: zero-shot CLIP with its label attention."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cssa_mm.models.alignment_head import TextFeatures
from cssa_mm.models.classifier import CSSAClassifier
from cssa_mm.models.prompts import untrained_features


@torch.no_grad()
def untrained_text(model: CSSAClassifier, wordings: Sequence[Sequence[str]]) -> TextFeatures:
    """Text features (C, D) of the prompt that training would start from, "a photo of a NAME" by default.

    Args:
        model: whose text tower encodes them.
        wordings: one or several words for each of the C names.

    Raises:
        ConfigError: a name is too long for the text tower.
    """
    words = model.options['head']['prompts'].get('initial_words', '')
    text = untrained_features(model.text_encoder, wordings, words)
    return TextFeatures(text, text, None)


@torch.no_grad()
def untrained_similarity(model: CSSAClassifier, local: Tensor, pooled: Tensor, text: TextFeatures) -> Tensor:
    """Similarities (B, C) of images with the text of untrained names, as the head of the model has them."""
    return model.head.similarity(model.head.look(local, pooled), text)[0]
