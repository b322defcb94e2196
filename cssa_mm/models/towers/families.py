"""The families of open_clip's towers and what each gives here: docs/towers.md is made of them, a test builds each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cssa_mm.models.towers.support import image_refusal, needs_transformers, text_refusal

POSITIONS = 'yes: each position through the whole head, alone'
MEAN = f'{POSITIONS}; their mean is the global feature'


@dataclass(frozen=True)
class Family:
    """Towers that are read alike.

    Attributes:
        title: what people call them.
        example: a name of open_clip.
        fits: whether a name with its model config belongs to it; the first family that fits counts.
        local: how its local features are read, where they are.
    """

    title: str
    example: str
    fits: Callable[[str, Mapping[str, Any], Mapping[str, Any]], bool]
    local: str

    def local_features(self, model_config: Mapping[str, Any]) -> str:
        """How the local features are read, or why there are none."""
        refusal = image_refusal(model_config)
        return f'refused: {refusal}' if refusal else self.local

    def text_side(self, model_config: Mapping[str, Any]) -> str:
        """Where the text tower is read, or why it is refused."""
        refusal = text_refusal(model_config)
        if refusal:
            return f'refused: {refusal}'
        text = model_config['text_cfg']
        where = {'first': 'its first position', 'last': 'its last position'}.get(text.get('pool_type'), 'EOS')
        if text.get('no_causal_mask') or text.get('pool_type') in ('first', 'last'):
            return f'yes: read at {where}, with its whole context'
        return f'yes: causal, read at {where}, cut behind it'


def _timm(*words: str) -> Callable[[str, Mapping[str, Any], Mapping[str, Any]], bool]:
    return lambda name, vision, text: any(word in vision.get('timm_model_name', '') for word in words)


# (name, vision_cfg, text_cfg) -> whether it fits; what is refused comes first.
FAMILIES = (
    Family('CoCa', 'coca_ViT-B-32', lambda name, vision, text: bool(vision.get('attentional_pool')), POSITIONS),
    Family('CoCa without pooler', 'coca_base', lambda name, vision, text: bool(text.get('embed_cls')), POSITIONS),
    Family(
        'RoBERTa, XLM-RoBERTa, mT5 and NLLB text towers',
        'roberta-ViT-B-32',
        lambda name, vision, text: bool(text.get('hf_model_name')),
        'yes: each patch token through the last norm and projection',
    ),
    Family(
        'CLIP ResNets (OpenAI, YFCC15M, CC12M)',
        'RN50-quickgelu',
        lambda name, vision, text: isinstance(vision.get('layers'), list | tuple),
        "yes: value projection of the attention pool (dense='value'), or each position as its query ('attention')",
    ),
    Family(
        'CLIPA',
        'ViT-L-14-CLIPA',
        lambda name, vision, text: 'layers' in vision and text.get('pool_type') == 'last',
        'yes: each patch token through the last norm and projection',
    ),
    Family(
        'MetaCLIP 2 worldwide',
        'ViT-H-14-worldwide-quickgelu',
        lambda name, vision, text: 'layers' in vision and bool(text.get('hf_tokenizer_name')),
        'yes: each patch token through the last norm and projection',
    ),
    Family(
        'CLIP ViTs (OpenAI, LAION, DataComp, MetaCLIP, DFN)',
        'ViT-B-32',
        lambda name, vision, text: 'layers' in vision,
        'yes: each patch token through the last norm and projection',
    ),
    Family(
        'SigLIP 2', 'ViT-B-16-SigLIP2', lambda name, vision, text: 'siglip2' in name.lower(), f'{POSITIONS} (MAP pool)'
    ),
    Family('SigLIP', 'ViT-B-16-SigLIP', _timm('siglip'), f'{POSITIONS} (MAP pool)'),
    Family('MobileCLIP and MobileCLIP2 S (FastViT)', 'MobileCLIP-S1', _timm('fastvit'), MEAN),
    Family('MobileCLIP-B', 'MobileCLIP-B', _timm('vit_base_mci'), POSITIONS),
    Family('EVA-CLIP (EVA01, EVA02)', 'EVA02-B-16', _timm('eva'), POSITIONS),
    Family('Perception Encoder (PE-Core)', 'PE-Core-B-16', _timm('pe_core'), f'{POSITIONS} (MAP pool)'),
    Family('ConvNeXt', 'convnext_base', _timm('convnext'), POSITIONS),
    Family('Swin', 'swin_base_patch4_window7_224', _timm('swin'), MEAN),
    Family('ViTamin', 'ViTamin-S', _timm('vitamin'), POSITIONS),
    Family('timm ViTs that pool by the mean', 'vit_medium_patch16_gap_256', _timm('_gap_'), MEAN),
    Family('other trunks of timm', 'vit_relpos_medium_patch16_cls_224', lambda name, vision, text: True, POSITIONS),
)


def family_of(name: str, model_config: Mapping[str, Any]) -> Family:
    """The family of a tower."""
    vision, text = model_config['vision_cfg'], model_config['text_cfg']
    return next(family for family in FAMILIES if family.fits(name, vision, text))


def is_usable(model_config: Mapping[str, Any]) -> bool:
    """Whether a tower works here, once its tokenizer's package is installed."""
    return not (image_refusal(model_config) or text_refusal(model_config))


def needs(name: str, model_config: Mapping[str, Any]) -> str:
    """The optional extra that a tower needs, or nothing."""
    return 'siglip' if is_usable(model_config) and needs_transformers(name, model_config) else ''
