"""How large and how costly open_clip's towers are: counted once without weights; others are counted when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from open_clip import model as open_clip_model
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

# name: side of the image, millions of parameters (image tower, text tower; - for one of transformers), GMACs an image
COUNTED = """
ViT-S-32 224 22.6 40.4 1.14
ViT-S-32-alt 224 22.6 20.6 1.14
ViT-M-32 224 39.7 63.4 2.0
ViT-M-32-alt 224 39.6 40.4 2.0
MobileCLIP2-S0 256 11.4 63.4 2.39
coca_roberta-ViT-B-32 224 87.8 - 4.41
mt5-base-ViT-B-32 224 87.8 - 4.41
nllb-clip-base 224 87.8 - 4.41
roberta-ViT-B-32 224 87.8 - 4.41
ViT-B-32 224 87.8 63.4 4.41
ViT-B-32-quickgelu 224 87.8 63.4 4.41
xlm-roberta-base-ViT-B-32 224 87.8 - 4.41
convnext_tiny 224 28.6 63.7 4.46
coca_ViT-B-32 224 89.2 63.4 4.6
ViT-S-16 224 21.8 40.4 4.6
ViT-S-16-alt 224 21.8 20.6 4.6
MobileCLIP-S1 256 21.5 63.4 4.67
PE-Core-T-16-384 384 6.1 63.4 4.73
ViT-B-32-SigLIP2-256 256 94.6 282.3 5.74
ViT-B-32-256 256 87.9 63.4 5.75
ViTamin-S 224 22.0 40.4 5.89
ViTamin-S-LTT 224 22.2 123.7 5.89
RN50 224 38.3 63.7 6.11
RN50-quickgelu 224 38.3 63.7 6.11
ViT-B-32-plus-256 256 119.1 91.2 7.78
MobileCLIP-S2 256 35.8 63.4 7.85
MobileCLIP2-S2 256 35.8 63.4 7.85
ViT-M-16 224 38.6 63.4 7.99
ViT-M-16-alt 224 38.5 40.4 7.99
vit_relpos_medium_patch16_cls_224 224 38.5 63.4 8.01
convnext_small 224 49.8 63.4 8.68
RN101 224 56.3 63.4 9.77
RN101-quickgelu 224 56.3 63.4 9.77
vit_medium_patch16_gap_256 256 38.6 63.4 10.57
MobileCLIP2-S3 256 125.2 123.7 14.82
convnext_base 224 88.1 63.4 15.35
swin_base_patch4_window7_224 224 87.4 91.2 15.43
PE-Core-S-16-384 384 23.8 63.4 15.66
EVA02-B-16 224 86.3 63.4 17.56
ViT-B-16 224 86.2 63.4 17.56
ViT-B-16-quickgelu 224 86.2 63.4 17.56
MobileCLIP-B 224 86.3 63.4 17.71
MobileCLIP2-B 224 86.3 63.4 17.71
ViT-B-16-SigLIP 224 92.9 110.3 17.71
ViT-B-16-SigLIP2 224 92.9 282.3 17.71
PE-Core-B-16 224 93.7 354.0 17.8
convnext_base_w 256 88.2 91.2 20.05
RN50x4 288 87.1 91.2 21.28
RN50x4-quickgelu 288 87.1 91.2 21.28
ViTamin-B 224 87.5 63.4 22.62
ViTamin-B-LTT 224 87.7 123.7 22.62
coca_base 288 86.4 134.7 23.24
ViT-B-16-SigLIP-256 256 92.9 110.3 23.41
ViT-B-16-SigLIP-i18n-256 256 92.9 277.7 23.41
ViT-B-16-SigLIP2-256 256 92.9 282.3 23.41
ViT-B-16-plus 224 117.2 91.2 23.74
ViT-B-16-plus-240 240 117.2 91.2 27.38
MobileCLIP2-S4 256 321.8 123.7 27.77
convnext_base_w_320 320 88.2 91.2 31.33
convnext_large 224 197.4 123.7 34.36
convnext_large_d 256 199.8 152.0 44.88
nllb-clip-base-siglip 384 93.2 - 56.06
ViT-B-16-SigLIP-384 384 93.2 110.3 56.06
ViT-B-16-SigLIP2-384 384 93.2 282.3 56.06
ViT-L-16 224 304.1 123.7 61.55
convnext_large_d_320 320 199.8 152.0 70.13
RN50x16 384 167.3 123.7 74.7
RN50x16-quickgelu 384 167.3 123.7 74.7
ViTamin-L 224 333.3 123.7 74.92
ViTamin-L2 224 333.6 354.0 74.92
convnext_xlarge 256 350.2 303.6 79.57
EVA02-L-14 224 304.1 123.7 81.0
MobileCLIP2-L-14 224 304.0 123.7 81.01
ViT-L-14 224 304.0 123.7 81.01
ViT-L-14-CLIPA 224 304.0 110.2 81.01
ViT-L-14-quickgelu 224 304.0 123.7 81.01
ViT-L-14-worldwide 224 304.0 277.8 81.01
ViT-L-14-worldwide-quickgelu 224 304.0 277.8 81.01
ViT-L-16-SigLIP-256 256 316.0 336.2 81.28
ViT-L-16-SigLIP2-256 256 316.0 565.6 81.28
coca_ViT-L-14 224 306.7 123.7 81.82
ViTamin-L-256 256 333.4 123.7 98.83
ViTamin-L2-256 256 333.6 354.0 98.84
ViT-B-16-SigLIP-512 512 93.5 110.3 108.12
ViT-B-16-SigLIP2-512 512 93.5 282.3 108.12
ViT-SO400M-14-SigLIP 224 427.7 449.7 110.18
ViT-SO400M-14-SigLIP2 224 427.7 707.8 110.18
ViT-SO400M-16-SigLIP-i18n-256 256 427.9 699.5 110.23
ViT-SO400M-16-SigLIP2-256 256 427.9 707.8 110.23
ViT-H-16 224 632.2 354.0 127.31
ViT-L-14-280 280 304.1 123.7 129.24
ViT-L-16-320 320 304.3 123.7 129.32
ViTamin-XL-256 256 436.1 488.7 129.94
ViTamin-XL-384 256 436.1 488.7 129.94
mt5-xl-ViT-H-14 224 632.1 - 167.3
nllb-clip-large 224 632.1 - 167.3
ViT-H-14 224 632.1 354.0 167.3
ViT-H-14-CLIPA 224 632.1 336.2 167.3
ViT-H-14-quickgelu 224 632.1 354.0 167.3
ViT-H-14-worldwide 224 632.1 1226.7 167.3
ViT-H-14-worldwide-quickgelu 224 632.1 1226.7 167.3
xlm-roberta-large-ViT-H-14 224 632.1 - 167.3
ViTamin-L-336 336 333.6 123.7 175.44
ViTamin-L2-336 336 333.8 354.0 175.44
EVA02-L-14-336 336 304.4 123.7 190.93
ViT-L-14-336 336 304.3 123.7 190.96
ViT-L-14-336-quickgelu 336 304.3 123.7 190.96
ViT-L-14-CLIPA-336 336 304.3 110.2 190.96
ViT-L-16-SigLIP-384 384 316.3 336.2 191.93
ViT-L-16-SigLIP2-384 384 316.3 565.6 191.93
PE-Core-L-14-336 336 317.2 354.0 192.18
convnext_xxlarge 256 846.5 354.0 197.97
ViTamin-XL-336 336 436.1 488.7 229.86
ViTamin-L-384 384 333.7 123.7 234.08
ViTamin-L2-384 384 334.0 354.0 234.08
ViT-SO400M-16-SigLIP2-384 384 428.3 707.8 259.47
RN50x64 448 420.4 202.9 264.55
RN50x64-quickgelu 448 420.4 202.9 264.55
EVA01-g-14 224 1012.6 123.8 267.03
EVA01-g-14-plus 224 1012.6 354.0 267.03
ViT-g-14 224 1012.6 354.0 267.03
ViT-gopt-16-SigLIP2-256 256 1163.2 708.2 299.5
convnext_xxlarge_320 320 846.5 354.0 309.32
nllb-clip-large-siglip 384 428.2 - 335.17
ViT-SO400M-14-SigLIP-378 378 428.2 449.7 335.17
ViT-SO400M-14-SigLIP-384 384 428.2 449.7 335.17
ViT-SO400M-14-SigLIP2-378 378 428.2 707.8 335.17
ViT-L-16-SigLIP2-512 512 316.7 565.6 363.74
ViT-H-14-CLIPA-336 336 632.5 336.2 390.73
ViT-bigG-14 224 1844.9 694.7 483.75
ViT-bigG-14-CLIPA 224 1844.9 672.3 483.75
ViT-bigG-14-quickgelu 224 1844.9 694.7 483.75
ViT-bigG-14-worldwide 224 1844.9 1785.5 483.75
ViT-SO400M-16-SigLIP2-512 512 428.8 707.8 489.8
ViT-H-14-378 378 632.7 354.0 503.48
ViT-H-14-378-quickgelu 378 632.7 354.0 503.48
ViT-H-14-worldwide-378 378 632.7 1226.7 503.48
ViT-gopt-16-SigLIP2-384 384 1163.7 708.2 696.49
ViT-e-14 224 3807.7 773.4 990.68
ViT-bigG-14-CLIPA-336 336 1845.4 672.3 1115.57
EVA02-E-14 224 4350.6 354.0 1132.16
EVA02-E-14-plus 224 4350.6 694.3 1132.16
ViT-bigG-14-worldwide-378 378 1845.7 1785.5 1429.23
PE-Core-bigG-14-448 448 1882.0 537.2 2059.32
"""


class TowerSize(NamedTuple):
    """Size and cost of a tower.

    Attributes:
        side: pixels of the side of its images.
        image: millions of parameters of the image tower.
        text: those of the text tower; None where it is not open_clip's.
        gmacs: billions of multiply-adds for one image.
    """

    side: int
    image: float
    text: float | None
    gmacs: float

    @property
    def megabytes(self) -> float:
        """MB of the weights in float32."""
        return 4 * (self.image + (self.text or 0))


def size_of(name: str, model_config: Mapping[str, Any]) -> TowerSize:
    """The size of a tower, from the table or counted."""
    return _TABLE.get(name) or count(model_config)


def count(model_config: Mapping[str, Any]) -> TowerSize:
    """Count a tower: it is built without weights, which takes about a second."""
    try:
        with torch.device('meta'):
            visual, text = image_tower(model_config), _text_tower(model_config)
    except (NotImplementedError, RuntimeError):  # trunks of older versions of timm compute while they are built
        visual, text = image_tower(model_config).to('meta'), _text_tower(model_config)
    height, width = image_size(visual)
    with FlopCounterMode(display=False) as counter:
        visual(torch.empty(1, 3, height, width, device='meta'))
    return TowerSize(
        height, _millions(visual), None if text is None else _millions(text), round(counter.get_total_flops() / 2e9, 2)
    )


def image_tower(model_config: Mapping[str, Any]) -> nn.Module:
    """An image tower with random weights, in eval mode."""
    options = dict(model_config['vision_cfg'], timm_model_pretrained=False)
    quick = model_config.get('quick_gelu', False)
    return open_clip_model._build_vision_tower(model_config['embed_dim'], options, quick).eval()


def _text_tower(model_config: Mapping[str, Any]) -> nn.Module | None:
    if 'hf_model_name' in model_config['text_cfg']:
        return None
    quick = model_config.get('quick_gelu', False)
    return open_clip_model._build_text_tower(model_config['embed_dim'], model_config['text_cfg'], quick)


def image_size(visual: Any) -> tuple[int, int]:
    """Height and width of the images of a tower."""
    size = visual.image_size
    return (size, size) if isinstance(size, int) else tuple(size)


def _millions(tower: nn.Module) -> float:
    return round(sum(p.numel() for p in tower.parameters()) / 1e6, 1)


def _row(line: str) -> tuple[str, TowerSize]:
    name, side, image, text, gmacs = line.split()
    return name, TowerSize(int(side), float(image), None if text == '-' else float(text), float(gmacs))


_TABLE = dict(map(_row, COUNTED.strip().splitlines()))
