"""The frozen open_clip image tower: images (B, 3, H, W) -> local features (B, N, D) and a global one (B, D)."""

from __future__ import annotations

from contextlib import nullcontext

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from open_clip.modified_resnet import AttentionPool2d, ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn

from cssa_mm.errors import ConfigError
from cssa_mm.models.frozen import Frozen
from cssa_mm.models.open_clip_loader import load_open_clip

AUTOCAST = {'fp32': None, 'bf16': torch.bfloat16, 'fp16': torch.float16}


@MODELS.register_module()
class OpenCLIPBackbone(BaseModule):
    """Frozen image tower of any open_clip model (paper; the dense path is DualCoOp's, a reconstruction here).

    Args:
        model_name: open_clip name; OpenAI ResNet weights need the `-quickgelu` one.
        pretrained: tag, checkpoint file, `'demo'`, or None for random weights.
        config_dir: folder of open_clip model JSON files that define `model_name`.
        dense: `'value'` projects each position by the value and output projections of the attention pool;
            `'attention'` lets each position be a query of the pool. ResNet towers only.
        global_token: whether the pooled token is one of the N local features (first).
        precision: `'fp32'`, or autocast of the tower in `'bf16'` or `'fp16'`. Features leave in float32.
    """

    def __init__(
        self,
        model_name: str,
        pretrained: str | None = None,
        config_dir: str | None = None,
        dense: str = 'value',
        global_token: bool = True,
        precision: str = 'fp32',
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if dense not in ('value', 'attention'):
            raise ConfigError(f"backbone.dense: found '{dense}', expected 'value' or 'attention'")
        if precision not in AUTOCAST:
            raise ConfigError(f"backbone.precision: found '{precision}', expected one of {', '.join(AUTOCAST)}")
        self.clip = load_open_clip(model_name, pretrained, config_dir)
        self.dense = dense
        self.global_token = global_token
        self.precision = precision
        self.tower = Frozen(self.clip.model)
        self._features = _feature_function(self.clip.model.visual, model_name)

    @property
    def identity(self) -> dict[str, str]:
        """What a checkpoint must agree with: the tower's name and the hash of its weights."""
        return dict(model_name=self.clip.name, weights_hash=self.clip.weights_hash)

    @torch.no_grad()
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Encode normalised images.

        Args:
            images: (B, 3, H, W), H and W any multiple of the tower's stride.

        Returns:
            Local features (B, N, D) and global features (B, D), float32, not normalised.
        """
        dtype = AUTOCAST[self.precision]
        with torch.autocast(images.device.type, dtype) if dtype else nullcontext():
            local, pooled = self._features(self.clip.model.visual, images, self.dense, self.global_token)
        return local.float(), pooled.float()


def _feature_function(visual: nn.Module, name: str):
    if getattr(visual, 'attn_pool', None) is not None or hasattr(getattr(visual, 'head', None), 'pool'):
        raise ConfigError(
            f"backbone.model_name '{name}': found an image tower with an attentional pooler, which has no feature of "
            'its own for each position, expected any other tower'
        )
    for kind, function in (
        (ModifiedResNet, resnet_features),
        (VisionTransformer, vit_features),
        (TimmModel, timm_features),
    ):
        if isinstance(visual, kind):
            return function
    raise ConfigError(
        f"backbone.model_name '{name}': found a {type(visual).__name__} image tower, expected a ModifiedResNet, "
        'VisionTransformer or timm tower'
    )


def resize_grid(grid: Tensor, height: int, width: int) -> Tensor:
    """Resize a square positional grid (G*G, E) bicubically to (height*width, E), unchanged where it fits."""
    side = round(grid.shape[0] ** 0.5)
    if (side, side) == (height, width):
        return grid
    image = grid.reshape(1, side, side, -1).permute(0, 3, 1, 2).float()
    image = F.interpolate(image, (height, width), mode='bicubic', align_corners=False)
    return image.permute(0, 2, 3, 1).reshape(height * width, -1).to(grid.dtype)


def resnet_features(visual: ModifiedResNet, images: Tensor, dense: str, global_token: bool) -> tuple[Tensor, Tensor]:
    """Dense features of a CLIP ResNet; N = h*w, plus one with the global token.

    For RN50 at 224: map (B, 2048, 7, 7) -> tokens (B, 50, 2048) -> features (B, 50, 1024).
    """
    x = visual.stem(images)
    x = visual.layer4(visual.layer3(visual.layer2(visual.layer1(x))))
    pool: AttentionPool2d = visual.attnpool
    height, width = x.shape[-2:]
    tokens = x.flatten(2).transpose(1, 2)  # (B, h*w, E)
    tokens = torch.cat([tokens.mean(1, keepdim=True), tokens], 1)  # (B, 1 + h*w, E)
    position = pool.positional_embedding
    position = torch.cat([position[:1], resize_grid(position[1:], height, width)])
    tokens = tokens + position.to(tokens.dtype)
    pooled = _attend(pool, tokens[:, :1], tokens)[:, 0]
    if dense == 'value':
        local = pool.c_proj(pool.v_proj(tokens))
    else:
        local = _attend(pool, tokens, tokens)
    return (local if global_token else local[:, 1:]), pooled


def _attend(pool: AttentionPool2d, query: Tensor, tokens: Tensor) -> Tensor:
    """The attention pool with any queries: (B, Q, E), (B, N, E) -> (B, Q, D)."""
    heads = [
        t.unflatten(-1, (pool.num_heads, -1)).transpose(1, 2)
        for t in (pool.q_proj(query), pool.k_proj(tokens), pool.v_proj(tokens))
    ]
    return pool.c_proj(F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2))


def vit_features(visual: VisionTransformer, images: Tensor, dense: str, global_token: bool) -> tuple[Tensor, Tensor]:
    """Class and patch tokens through the last normalisation and projection; N = number of patches, plus one."""
    x = visual.conv1(images)
    height, width = x.shape[-2:]
    x = x.flatten(2).transpose(1, 2)
    position = visual.positional_embedding
    position = torch.cat([position[:1], resize_grid(position[1:], height, width)]).to(x.dtype)
    x = torch.cat([visual.class_embedding.to(x.dtype).expand(len(x), 1, -1), x], 1) + position
    x = visual.transformer(visual.ln_pre(x))
    if visual.final_ln_after_pool:
        pooled = visual.ln_post(visual._global_pool(x)[0])
        local = visual.ln_post(x)
    else:
        local = visual.ln_post(x)
        pooled = visual._global_pool(local)[0]
    if visual.proj is not None:
        local, pooled = local @ visual.proj, pooled @ visual.proj
    return (local if global_token else local[:, 1:]), pooled


def timm_features(visual: TimmModel, images: Tensor, dense: str, global_token: bool) -> tuple[Tensor, Tensor]:
    """The trunk's positions through the tower's whole head, one by one; N = h*w, plus one with the global token.

    The head sees each position alone, as if the image showed nothing else: heads that normalise, project or read a
    class token work like any other. With average pooling and a linear head, the mean of the positions is the
    global feature exactly.
    """
    x = visual.trunk.forward_features(images)
    if x.ndim == 4:
        channels_last = getattr(visual.trunk, 'output_fmt', 'NCHW') == 'NHWC'
        positions = x.flatten(1, 2) if channels_last else x.flatten(2).transpose(1, 2)  # (B, N, E)
        alone = positions.flatten(0, 1)
        alone = alone[:, None, None] if channels_last else alone[:, :, None, None]
    else:
        prefix = getattr(visual.trunk, 'num_prefix_tokens', 0)
        positions = x[:, prefix:]
        alone = positions.flatten(0, 1)[:, None].expand(-1, prefix + 1, -1)
    local = visual.head(visual.trunk.forward_head(alone)).unflatten(0, positions.shape[:2])
    pooled = visual.head(visual.trunk.forward_head(x))
    return (torch.cat([pooled[:, None], local], 1) if global_token else local), pooled
