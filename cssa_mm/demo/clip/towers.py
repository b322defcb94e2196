"""The micro-CLIP in its pretraining: features, losses, and weights on disk."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from open_clip.model import CLIP
from open_clip.modified_resnet import ModifiedResNet
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from cssa_mm.demo.clip import MODEL_DIR, MODEL_NAME
from cssa_mm.files import replacing

MEAN = torch.tensor((0.48145466, 0.4578275, 0.40821073)).view(3, 1, 1) * 255
STD = torch.tensor((0.26862954, 0.26130258, 0.27577711)).view(3, 1, 1) * 255


def build(vocabulary: Path) -> tuple[CLIP, SimpleTokenizer]:
    """A fresh micro-CLIP and its tokenizer."""
    config = json.loads((MODEL_DIR / f'{MODEL_NAME}.json').read_text('utf-8'))
    text = {key: value for key, value in config['text_cfg'].items() if key != 'tokenizer_kwargs'}
    tokenizer = SimpleTokenizer(str(vocabulary), context_length=text['context_length'])
    return CLIP(config['embed_dim'], config['vision_cfg'], text), tokenizer


class SigmoidLoss(nn.Module):
    """Learned scale and bias in front of a binary cross-entropy summed over names."""

    def __init__(self, scale: float = 20.0, bias: float = -10.0) -> None:
        super().__init__()
        # Both learn at the towers' small rate: the log and the tenth let them move far enough.
        self.log_scale = nn.Parameter(torch.tensor(scale).log())
        self.tenth_bias = nn.Parameter(torch.tensor(bias / 10))

    @property
    def scale(self) -> Tensor:
        """The factor of the cosines."""
        return self.log_scale.exp()

    def forward(self, cosines: Tensor, present: Tensor) -> Tensor:
        """cosines (B, 2C), or (B, N, 2C) to be pooled by log-sum-exp; present (B, 2C)."""
        logits = self.scale * cosines
        if logits.dim() == 3:
            logits = logits.logsumexp(1)
        loss = F.binary_cross_entropy_with_logits(logits + 10 * self.tenth_bias, present, reduction='none')
        return loss.sum(1).mean()


def feature_map(visual: ModifiedResNet, images: Tensor) -> Tensor:
    """uint8 images (B, 3, H, W) -> trunk features (B, 512, h, w)."""
    x = ((images - MEAN) / STD).contiguous(memory_format=torch.channels_last)
    return visual.layer4(visual.layer3(visual.layer2(visual.layer1(visual.stem(x)))))


def local_features(visual: ModifiedResNet, features: Tensor) -> Tensor:
    """The backbone's dense path `value`: (B, 512, h, w) -> unit vectors (B, 1 + hw, D), the mean token first."""
    pool = visual.attnpool
    tokens = features.flatten(2).transpose(1, 2)
    tokens = torch.cat([tokens.mean(1, keepdim=True), tokens], 1)
    if tokens.shape[1] == pool.positional_embedding.shape[0]:
        tokens = tokens + pool.positional_embedding
    return F.normalize(pool.c_proj(pool.v_proj(tokens)), dim=-1)


def encode_text(model: CLIP, tokens: Tensor) -> Tensor:
    """Unit text features (T, D), computed up to the longest end of text only (the tower is causal)."""
    end = tokens.argmax(1)
    length = int(end.max()) + 1
    x = model.token_embedding(tokens[:, :length]) + model.positional_embedding[:length]
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
    return F.normalize(x[torch.arange(len(x)), end] @ model.text_projection, dim=-1)


def info_nce(model: CLIP, images: Tensor, texts: Tensor) -> Tensor:
    """The symmetric contrastive loss of unit features (B, D) and their captions' (B, D)."""
    logits = model.logit_scale.exp().clamp(max=50) * images @ texts.T
    target = torch.arange(len(logits))
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def save_weights(model: nn.Module, path: Path) -> None:
    """Write the weights as fp16 safetensors (counters stay integers)."""
    from safetensors.torch import save_file

    state = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous().clone()
        for name, tensor in model.state_dict().items()
        if name != 'attn_mask'
    }
    with replacing(path) as partial:
        save_file(state, str(partial))
        partial.chmod(0o644)
