"""The model by its formulas alone, with open_clip's own modules: what ours must compute, whatever makes it fast.

docs/how_it_works.md has the formulas; the text tower runs over the whole context, and nothing is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cssa_mm.models import CSSAClassifier
from cssa_mm.models.prompts import ClassPrompts
from cssa_mm.models.text_encoder import TextEncoder
from cssa_mm.models.tokens import prompt_text


def whole_prompts(model: CSSAClassifier, prompts: ClassPrompts) -> tuple[Tensor, Tensor]:
    """Embeddings (P, L, W) of the prompts with L the whole context of the tower, and the positions (P,) of EOS."""
    encoder, count = model.text_encoder, prompts.context.shape[-2]
    placeholder = encoder.placeholder(count)
    texts = [prompt_text(text, placeholder) for words in model.class_words.wordings for text in as_list(words)]
    tokens = encoder.tokenizer(texts).to(prompts.context.device)
    embeddings = encoder.embed(tokens).detach()
    context = prompts.context.expand(len(tokens), -1, -1)
    parts = [embeddings[:, : encoder.start], context, embeddings[:, encoder.start + count :]]
    return torch.cat(parts, 1), tokens.argmax(-1)


def whole_text(tower: nn.Module, embeddings: Tensor, eos: Tensor) -> Tensor:
    """Unit text features (P, D) by a text tower of open_clip, over all positions."""
    module: Any = tower
    x = module.transformer(embeddings + module.positional_embedding, attn_mask=module.attn_mask)
    x = module.ln_final(x)[torch.arange(len(x), device=x.device), eos] @ module.text_projection
    return F.normalize(x, dim=-1)


def formula_logits(model: CSSAClassifier, images: Tensor) -> Tensor:
    """Logits (B, C) of normalised images (B, 3, H, W) by the student, and a check of the pooled features on the way.

    Local features are ours; a pooled feature that is not open_clip's makes all logits nan.
    """
    local, pooled = model.backbone(images)
    bare = F.normalize(open_clip_of(model).encode_image(images), dim=-1)
    agrees = torch.allclose(F.normalize(pooled, dim=-1), bare, atol=1e-4)
    logits = feature_logits(model, local)
    return logits if agrees else torch.full_like(logits, torch.nan)


@torch.no_grad()
def feature_logits(model: CSSAClassifier, local: Tensor) -> Tensor:
    """Logits (B, C) of local features (B, N, D) by the student, one class-specific feature (B, C, D) at a time."""
    head = model.head
    texts = {name: plain_text(model, prompts) for name, prompts in prompts_of(model).items()}
    positive = texts['class']
    attention = read_once(F.normalize(local, dim=-1), texts.get('semantic', positive), head.attention_temperature)
    cosines = (F.normalize(attention, dim=-1) * positive).sum(-1)
    return head.log_temperature.exp() * cosines + head.bias


def read_once(local: Tensor, text: Tensor, temperature: float) -> Tensor:
    """Label-specific features (B, C, D) of unit local features (B, N, D): the label attention and its sum."""
    return torch.softmax(temperature * (text @ local.transpose(1, 2)), dim=-1) @ local


@torch.no_grad()
def plain_text(model: CSSAClassifier, prompts: ClassPrompts) -> Tensor:
    """Unit text features (C, D) of one prompt a class, over the whole context."""
    return whole_text(tower_of(model.text_encoder), *whole_prompts(model, prompts))


def prompts_of(model: CSSAClassifier) -> dict[str, ClassPrompts]:
    """The prompts that a class has: `class`, and `semantic` unless both are one."""
    head = model.head
    return dict(
        **{'class': head.class_prompts}, **({'semantic': head.semantic_prompts} if head.semantic_prompts else {})
    )


def open_clip_of(model: CSSAClassifier) -> Any:
    """The model that open_clip has built."""
    return model.backbone.clip.model


def tower_of(encoder: TextEncoder) -> nn.Module:
    """The text tower as open_clip has built it."""
    return encoder.tower.held


def as_list(words: str | Sequence[str]) -> list[str]:
    """The wordings of a class, one of which may stand alone."""
    return [words] if isinstance(words, str) else list(words)
