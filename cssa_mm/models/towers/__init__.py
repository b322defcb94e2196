"""The image towers, one file a family: how their local features are read, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn

from cssa_mm.errors import ConfigError
from cssa_mm.models.towers.grid import resize_grid
from cssa_mm.models.towers.resnet import resnet_features
from cssa_mm.models.towers.support import POOLER
from cssa_mm.models.towers.timm import timm_features
from cssa_mm.models.towers.vit import vit_features

__all__ = ['feature_function', 'resize_grid', 'resnet_features', 'timm_features', 'vit_features']

# (tower, images (B, 3, H, W), dense, global_token) -> local features (B, N, D), global feature (B, D)
FeatureFunction = Callable[[nn.Module, Tensor, str, bool], tuple[Tensor, Tensor]]
FAMILIES: tuple[tuple[type[nn.Module], FeatureFunction], ...] = (
    (ModifiedResNet, resnet_features),
    (VisionTransformer, vit_features),
    (TimmModel, timm_features),
)


def feature_function(visual: nn.Module, name: str) -> FeatureFunction:
    """The function that reads the local and global features of a tower.

    Raises:
        ConfigError: the tower has no feature for each position, or its family is unknown.
    """
    if getattr(visual, 'attn_pool', None) is not None or hasattr(getattr(visual, 'head', None), 'pool'):
        raise ConfigError(f"backbone.model_name '{name}': found {POOLER}, expected any other tower")
    for family, function in FAMILIES:
        if isinstance(visual, family):
            return function
    raise ConfigError(
        f"backbone.model_name '{name}': found a {type(visual).__name__} image tower, expected a ModifiedResNet, "
        'VisionTransformer or timm tower'
    )
