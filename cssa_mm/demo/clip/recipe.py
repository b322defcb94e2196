"""The scenes of the micro-CLIP's pretraining, and the numbers of its recipe."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from cssa_mm.demo.drawing import SceneStyle, draw_scene
from cssa_mm.demo.glyphs import CLASS_NAMES
from cssa_mm.demo.scenes import scene_rng

C = len(CLASS_NAMES)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, beside the code.

    ``others`` and ``strength`` shape the usage table; ``loose`` is the share of caption words that follow it, and
    ``compound`` the share of precise words with the class name behind ('cog gear').
    """

    seed: int = 0
    glyph_steps: int = 1500
    scene_steps: int = 650
    text_steps: int = 400
    text_scenes: int = 4096
    batch_size: int = 64
    learning_rate: float = 3e-3
    text_learning_rate: float = 3e-3
    weight_decay: float = 0.02
    loose: float = 0.5
    others: int = 6
    strength: float = 0.62
    compound: float = 0.4
    workers: int = 1
    bf16: bool = True


class PretrainingScenes(Dataset):
    """Scene ``index`` of the pretraining stream: uint8 image (3, H, W), multi-hot over names (2C,)."""

    def __init__(self, seed: int, first: int, length: int, style: SceneStyle, single: bool = False) -> None:
        self.seed, self.first, self.length, self.style, self.single = seed, first, length, style, single

    def __len__(self) -> int:
        """The number of scenes."""
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Image and names of one scene."""
        rng = scene_rng('pretraining', self.seed, self.first + index)
        count = 1 if self.single else int(rng.integers(1, 6))
        names = rng.choice(2 * C, size=count, replace=False)
        scene = draw_scene(rng, names[names < C].tolist(), self.style, (names[names >= C] - C).tolist())
        present = torch.zeros(2 * C)
        present[torch.from_numpy(names)] = 1
        return torch.from_numpy(np.array(scene.image)).permute(2, 0, 1), present
