"""Which towers cannot be used here and why, by their config: before anything is downloaded or built."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

POOLER = 'an image tower with an attentional pooler, which has no feature of its own for each position'
READ_AT_CLASS = 'a text tower that is read at a class token behind the text (CoCa), which learned prompts would move'
UNREAD = 'a text tower that is read at no position'
OF_TRANSFORMERS = 'a text tower of the transformers package, which takes token ids and so no learned prompts'
EXTRA = "pip install 'cssa_mm[siglip]'"
# What open_clip's own tokenizers take, and no more: transformers would get the rest, and trust_remote_code runs code.
TOKENIZER_OPTIONS = (
    'additional_special_tokens', 'bpe_path', 'clean', 'context_length', 'language', 'reduction_mask', 'strip_sep_token',
    'tokenizer_mode',
)  # fmt: skip


def image_refusal(model_config: Mapping[str, Any]) -> str | None:
    """Why the image tower of a model config has no local features; None if it has."""
    vision = model_config.get('vision_cfg') or {}
    if vision.get('attentional_pool') or vision.get('timm_pool') in ('abs_attn', 'rot_attn'):
        return POOLER
    if ':' in str(vision.get('timm_model_name') or ''):
        return f"the image tower '{vision['timm_model_name']}', which timm would download"
    return None


def text_refusal(model_config: Mapping[str, Any]) -> str | None:
    """Why the text tower of a model config takes no learned prompts; None if it does."""
    text = model_config.get('text_cfg') or {}
    if text.get('hf_model_name'):
        return f'{OF_TRANSFORMERS} ({text["hf_model_name"]})'
    if text.get('embed_cls'):
        return READ_AT_CLASS
    if text.get('pool_type') == 'none':
        return UNREAD
    unknown = [name for name in text.get('tokenizer_kwargs') or {} if name not in TOKENIZER_OPTIONS]
    if unknown:
        return f"the tokenizer option '{unknown[0]}', none of {', '.join(TOKENIZER_OPTIONS)}"
    return None


def needs_transformers(name: str, model_config: Mapping[str, Any]) -> bool:
    """Whether the tokenizer of a tower is one of the transformers package."""
    text = model_config.get('text_cfg') or {}
    return bool(text.get('hf_tokenizer_name')) or 'siglip' in name.lower()


def has_transformers() -> bool:
    """Whether the transformers package is installed."""
    return find_spec('transformers') is not None
