"""Where a model looks: its best labels of some images, each with its attention over the image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from cssa_mm.datasets.base import SemiMultiLabelDataset
from cssa_mm.errors import ConfigError
from cssa_mm.features.encode import encode
from cssa_mm.features.view import model_view
from cssa_mm.models import CSSAClassifier
from cssa_mm.visualization.attention import LabelAttention, stretch


def label_attention(
    model: CSSAClassifier, dataset: SemiMultiLabelDataset, indices: Sequence[int] | np.ndarray, num_labels: int = 3
) -> list[LabelAttention]:
    """The best labels of some images by the scores of the averaged (EMA) model, with their attention.

    Args:
        model: a classifier with label-specific features, from `load_model`.
        dataset: a test set with C classes; its labels say which of the best ones are true.
        indices: indices of the images in it.
        num_labels: best labels to show for each image.

    Raises:
        ConfigError: the model aligns the global feature, or knows no view.
    """
    batches = encode(model, dataset, indices, model_view(model), 'Attention', batch_size=1)
    found = []
    for index, (local, pooled) in zip(indices, batches, strict=True):
        attention = model.alignment_of(local, pooled).attention
        if attention is None:
            raise ConfigError('model.head.label_specific: found False, which has no attention, expected True')
        scores = model.score(local, pooled)[0].cpu()
        path = dataset.img_paths[index]
        image = model_view(model).decode(dataset.read_bytes(path, 'an image'), path)
        best = scores.topk(num_labels).indices.tolist()
        found.append(
            LabelAttention(
                image=image,
                names=[model.class_names[c] for c in best],
                scores=[float(scores[c]) for c in best],
                is_true=[bool(dataset.labels[index, c] == 1) for c in best],
                maps=[_over_image(attention[0, c].cpu(), image, model.backbone.global_token) for c in best],
            )
        )
    return found


def _over_image(attention: Tensor, image: np.ndarray, has_global_token: bool) -> np.ndarray:
    """Attention (N,) over a square grid -> (H, W), from 0 to 1; the global token is left out."""
    grid = attention[1:] if has_global_token else attention
    side = round(len(grid) ** 0.5)
    return stretch(grid.reshape(side, side), image.shape[:2])
