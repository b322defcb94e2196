"""Maps of each class over an image: what is shown, the label attention of the model, and the similarity by CLIP."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.errors import ConfigError
from cssa_mm.evaluation.pointing_game import middles
from cssa_mm.features.encode import encode
from cssa_mm.features.label_maps import LabelMaps, label_maps, label_text
from cssa_mm.features.view import model_view
from cssa_mm.models import CSSAClassifier
from cssa_mm.models.prompts import mean_of_wordings

TEMPLATE = 'a photo of a {}.'


def class_maps(
    model: CSSAClassifier, dataset: SemiMultiLabelDataset, indices: Sequence[int] | np.ndarray, description: str
) -> Iterator[dict[str, LabelMaps]]:
    """Maps of the images at `indices`, batch by batch: the label attention, and how similar each position is to a text.

    Returns:
        Batches of maps (b, C, h, w): `shown`, what a picture shows (`label_maps`); `attention`; `cosine` of each
        position with the zero-shot text of the class; `dot`, the same without normalising the positions. The last three
        stretch their cells over the whole image.

    Raises:
        ConfigError: the model aligns the global feature or has no view, or its positions are not a square grid.
    """
    model.eval()
    with torch.no_grad():
        text = zero_shot_text(model)
    own = label_text(model)
    for local, pooled in encode(model, dataset, indices, model_view(model), description):
        attention = model.alignment_of(local, pooled).attention
        if attention is None:
            raise ConfigError('model.head.label_specific: found False, which has no attention, expected True')
        maps = {
            'attention': attention,
            'cosine': text @ F.normalize(local, dim=-1).transpose(1, 2),
            'dot': text @ local.transpose(1, 2),
        }
        grids = {name: to_grid(values, model.backbone.global_token).cpu().numpy() for name, values in maps.items()}
        height, width = grids['dot'].shape[2:]
        size = model_view(model).size or tuple(  # whole cells
            round(count * step) for count, step in zip((height, width), model.backbone.layout.stride, strict=True)
        )
        yield {'shown': label_maps(model, local, own, size)} | {
            name: LabelMaps(values, middles(height), middles(width)) for name, values in grids.items()
        }


def zero_shot_text(model: CSSAClassifier) -> Tensor:
    """Unit text features (C, D) of "a photo of a NAME.", of several wordings of a class their mean."""
    prompts = model.class_words.prompts
    texts = [TEMPLATE.format(text) for wordings in prompts for text in wordings]
    features = model.text_encoder.encode(texts)
    if len(texts) > len(prompts):
        owners = torch.tensor([owner for owner, wordings in enumerate(prompts) for _ in wordings])
        features = mean_of_wordings(features, owners.to(features.device), len(prompts))
    return F.normalize(features, dim=-1)


def to_grid(values: Tensor, has_global_token: bool) -> Tensor:
    """Values (B, C, N) of the positions as a square grid (B, C, h, h), without the global token, which is the first.

    Raises:
        ConfigError: the positions are not a square grid.
    """
    cells = values[..., 1:] if has_global_token else values
    side = round(cells.shape[-1] ** 0.5)
    if side**2 != cells.shape[-1]:
        raise ConfigError(
            f'test_dataloader.dataset.pipeline: found {cells.shape[-1]} positions, which are not a square grid, '
            'expected images that are resized to a square, such as scale=(224, 224)'
        )
    return cells.unflatten(-1, (side, side))
