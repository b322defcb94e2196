"""The row of a photo's views: weak and strong."""

from __future__ import annotations

import numpy as np
import torch
import torchvision
from mmengine.dataset import Compose
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from cssa_mm.datasets.pipeline import build_pipeline
from cssa_mm.datasets.views import paired_views
from cssa_mm.studies.benchmark.measuring import Contest
from cssa_mm.studies.benchmark.published import published_pair
from cssa_mm.studies.benchmark.setting import Setting, draw_photos


def pair(setting: Setting) -> Contest:
    """Both views of JPEGs of 640 x 480, as arrays; the limit decodes and resizes once, in the quickest way we know."""
    config, side = setting.config(), setting.side
    weak, strong = config.val_dataloader.dataset.pipeline, config.train_dataloader.dataset.pipeline
    both: Compose = build_pipeline(paired_views(weak, strong), None)
    paths = draw_photos(setting.folder, setting.pairs, ['x'], 1)
    augment = torchvision.transforms.Compose([torchvision.transforms.RandAugment(2, 10), Cutout(side // 2)])

    def ours() -> list[list[np.ndarray]]:
        np.random.seed(0)
        return [both(dict(img_path=path))['img'] for path in paths]

    def published() -> None:
        torch.manual_seed(0)
        for path in paths:
            published_pair(path, side, augment)

    def limit() -> None:
        for path in paths:
            quick_view(path, side)

    def difference() -> float:
        pairs = zip(ours(), paths, strict=True)
        size = (side, side)
        return max(
            float(
                np.abs(views[1].astype(int) - np.asarray(Image.open(path).resize(size, Image.Resampling.BICUBIC))).max()
            )
            for views, path in pairs
        )

    return Contest(ours, published, limit, difference)


def quick_view(path: str, side: int) -> Tensor:
    """A photo (3, side, side), uint8: decoded by Pillow, resized as a tensor."""
    pixels = torch.from_numpy(np.asarray(Image.open(path).convert('RGB')).copy()).permute(2, 0, 1)
    bicubic = v2.InterpolationMode.BICUBIC
    return v2.functional.resize(pixels, [side, side], interpolation=bicubic, antialias=True)


class Cutout:
    """Paints a square of a picture grey, at a random place."""

    def __init__(self, side: int) -> None:
        self.side = side

    def __call__(self, image: Image.Image) -> Image.Image:
        """The picture with the square in it."""
        left, top = (int(torch.randint(1 - self.side // 2, size, ())) for size in image.size)
        image.paste((127, 127, 127), (max(left, 0), max(top, 0), left + self.side, top + self.side))
        return image
