"""Drawing one scene of pictographs: textured background, letters, icons with rotation and partial overlap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

from cssa_mm.demo.glyphs import CLASS_GLYPHS, CLASS_NAMES, SIBLING_GLYPHS, glyph_mask

IMAGE_SIZE = 128
Box = tuple[int, int, int, int]  # x, y, width, height
_LETTERS = 'ABDEFGHKMNPQRSTWXZabdeghkmnqrstwyz2345678?&%#@§€'


@dataclass(frozen=True)
class SceneStyle:
    """How hard a scene is to read; lengths in pixels, rates as Poisson means."""

    icon_size: tuple[int, int] = (28, 56)
    min_contrast: float = 120.0
    siblings: float = 1.5
    letters: float = 3.0
    strokes: float = 3.0
    pixel_noise: float = 8.0
    max_overlap: float = 0.35
    max_rotation: float = 30.0
    canvas: int = IMAGE_SIZE


@dataclass
class Scene:
    """An image, and for each named pictograph in it the class index and the box (x, y, width, height)."""

    image: Image.Image
    classes: list[int] = field(default_factory=list)
    boxes: list[tuple[int, int, int, int]] = field(default_factory=list)
    siblings: list[int] = field(default_factory=list)

    def labels(self) -> np.ndarray:
        """int8 of shape (C,): 1 where the class is in the scene, else 0."""
        labels = np.zeros(len(CLASS_NAMES), np.int8)
        labels[self.classes] = 1
        return labels


def _background(rng: np.random.Generator, style: SceneStyle) -> Image.Image:
    corners = rng.integers(20, 236, size=(2, 2, 3)).astype(np.uint8)
    gradient = np.asarray(Image.fromarray(corners).resize((style.canvas,) * 2, Image.Resampling.BILINEAR))
    cells = int(rng.integers(4, 20))
    coarse = Image.fromarray(rng.integers(0, 256, size=(cells, cells), dtype=np.uint8))
    blotches = np.asarray(coarse.resize((style.canvas,) * 2, Image.Resampling.BICUBIC), np.float32)
    tint = rng.normal(size=3) * rng.uniform(0.05, 0.2)
    textured = gradient + (blotches - 128)[..., None] * tint
    image = Image.fromarray(textured.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(rng.poisson(style.strokes)):
        points = rng.integers(-10, style.canvas + 10, size=(int(rng.integers(2, 5)), 2))
        colour = tuple(rng.integers(0, 256, size=3).tolist())
        draw.line([tuple(p) for p in points.tolist()], fill=colour, width=int(rng.integers(1, 4)))
    return image


def _colour_against(rng: np.random.Generator, patch: Image.Image, min_contrast: float) -> tuple[int, int, int]:
    around = np.array(patch.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0)), float)
    for _ in range(20):
        colour = rng.integers(0, 256, size=3)
        if np.linalg.norm(colour - around) >= min_contrast:
            break
    return tuple(colour.tolist())


def _overlap(box: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> float:
    width = min(box[0] + box[2], other[0] + other[2]) - max(box[0], other[0])
    height = min(box[1] + box[3], other[1] + other[3]) - max(box[1], other[1])
    return max(0, width) * max(0, height) / min(box[2] * box[3], other[2] * other[3])


def _paste(
    rng: np.random.Generator,
    image: Image.Image,
    glyph: str,
    size: int,
    style: SceneStyle,
    taken: Sequence[Box],
    contrast: float,
) -> Box:
    mask = glyph_mask(glyph)
    scale = size / max(mask.size)
    mask = mask.resize([max(2, round(side * scale)) for side in mask.size], Image.Resampling.BOX)
    angle = float(rng.uniform(-style.max_rotation, style.max_rotation))
    mask = mask.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    mask = mask.crop(mask.getbbox())
    width, height = mask.size
    least = math.inf
    for _ in range(12):
        x = int(rng.integers(0, max(1, style.canvas - width)))
        y = int(rng.integers(0, max(1, style.canvas - height)))
        tried = (x, y, width, height)
        worst = max((_overlap(tried, other) for other in taken), default=0.0)
        if worst < least:
            least, box = worst, tried
        if worst <= style.max_overlap * rng.random():
            break
    area = (box[0], box[1], box[0] + width, box[1] + height)
    _stamp(image, _colour_against(rng, image.crop(area), contrast), area, mask)
    return box


def _stamp(image: Image.Image, colour: tuple[int, int, int], area: Box, mask: Image.Image) -> None:
    image.paste(colour, area, mask)


def draw_scene(
    rng: np.random.Generator,
    classes: list[int],
    style: SceneStyle = SceneStyle(),
    siblings: list[int] | None = None,
) -> Scene:
    """One square scene with the given classes; siblings are drawn at random unless given."""
    image = _background(rng, style)
    if siblings is None:
        siblings = rng.integers(len(SIBLING_GLYPHS), size=min(4, rng.poisson(style.siblings))).tolist()
    for _ in range(rng.poisson(style.letters)):
        letter = _LETTERS[rng.integers(len(_LETTERS))]
        _paste(rng, image, letter, int(rng.integers(10, 26)), style, [], style.min_contrast / 3)
    icons = [(CLASS_GLYPHS[c], c) for c in classes] + [(SIBLING_GLYPHS[s], None) for s in siblings]
    scene = Scene(image, siblings=list(siblings))
    taken: list[Box] = []
    for position in rng.permutation(len(icons)).tolist():
        glyph, label = icons[position]
        size = int(rng.integers(style.icon_size[0], style.icon_size[1] + 1))
        box = _paste(rng, image, glyph, size, style, taken, style.min_contrast)
        taken.append(box)
        if label is not None:
            scene.classes.append(label)
            scene.boxes.append(box)
    noise = rng.standard_normal((style.canvas, style.canvas, 3), dtype=np.float32) * style.pixel_noise
    scene.image = Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))
    return scene
