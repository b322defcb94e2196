"""The embedded demo data: scenes of pictographs on cluttered backgrounds, drawn by us.

A scene shows one to six of 24 named pictographs (glyphs of the DejaVu Sans font that matplotlib ships), among
letters and unnamed sibling pictographs. Which names occur together is drawn from five contexts. Every scene
depends on (stream, seed, index) alone, so that scene 7 is the same whether ten or ten thousand are made.

``generate_demo`` owns this folder::

    root/
      meta.json                  generator version and parameters
      annotations/train.json     COCO instances: images, annotations (with boxes), categories
      annotations/test.json
      train/000000.jpg ...
      test/000000.jpg ...
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from cssa_mm.demo.drawing import IMAGE_SIZE, Scene, draw_scene
from cssa_mm.demo.glyphs import CLASS_NAMES, CLASS_WEIGHTS, CONTEXT_OF, CONTEXTS
from cssa_mm.errors import DataError

GENERATOR_VERSION = 2
TEST_ID_OFFSET = 1_000_000  # keeps the image ids of the test part apart from those of the training part


@dataclass(frozen=True)
class SceneMix:
    """Which labels occur together: ``contextual`` for the demo, uniform for the micro-CLIP's pretraining."""

    contextual: bool = True
    purity: float = 0.85
    two_contexts: float = 0.2
    num_icons: tuple[float, ...] = (0.12, 0.22, 0.24, 0.2, 0.13, 0.09)


_STREAMS = {'train': 1, 'test': 2, 'pretraining': 3}


def scene_rng(stream: str, seed: int, index: int) -> np.random.Generator:
    """The generator of one scene; streams never share scenes."""
    return np.random.default_rng([_STREAMS[stream], seed, index])


def sample_classes(rng: np.random.Generator, mix: SceneMix) -> list[int]:
    """The class indices of one scene, repetitions allowed."""
    count = 1 + rng.choice(len(mix.num_icons), p=np.array(mix.num_icons) / sum(mix.num_icons))
    if not mix.contextual:
        return rng.integers(len(CLASS_NAMES), size=count).tolist()
    num_chosen = 2 if rng.random() < mix.two_contexts else 1
    chosen = rng.choice(len(CONTEXTS), size=num_chosen, replace=False)
    inside = CLASS_WEIGHTS * np.isin(CONTEXT_OF, chosen)
    classes = []
    for _ in range(count):
        weights = inside if rng.random() < mix.purity else CLASS_WEIGHTS
        label = int(rng.choice(len(weights), p=weights / weights.sum()))
        if label in classes:  # a second chance for something new, so that repetitions are rare
            label = int(rng.choice(len(weights), p=weights / weights.sum()))
        classes.append(label)
    return classes


def demo_scene(stream: str, seed: int, index: int) -> Scene:
    """Scene ``index`` of the demo's ``'train'`` or ``'test'`` stream."""
    rng = scene_rng(stream, seed, index)
    return draw_scene(rng, sample_classes(rng, SceneMix()))


def _write_part(folder: Path, part: str, count: int, seed: int) -> None:
    (folder / part).mkdir(parents=True)
    images: list[dict] = []
    annotations: list[dict] = []
    for index in tqdm(range(count), desc=f'icons {part}', unit='scene', mininterval=0.5):
        scene = demo_scene(part, seed, index)
        file_name = f'{index:06d}.jpg'
        scene.image.save(folder / part / file_name, quality=92)
        image_id = index + (TEST_ID_OFFSET if part == 'test' else 0)
        images.append(dict(id=image_id, file_name=file_name, width=IMAGE_SIZE, height=IMAGE_SIZE))
        for label, box in zip(scene.classes, scene.boxes, strict=True):
            annotations.append(
                dict(
                    id=len(annotations),
                    image_id=image_id,
                    category_id=label + 1,
                    bbox=list(box),
                    area=box[2] * box[3],
                    iscrowd=0,
                )
            )
    categories = [dict(id=label + 1, name=name) for label, name in enumerate(CLASS_NAMES)]
    content = dict(images=images, annotations=annotations, categories=categories)
    (folder / 'annotations').mkdir(exist_ok=True)
    (folder / 'annotations' / f'{part}.json').write_text(json.dumps(content), 'utf-8')


def generate_demo(
    root: str | os.PathLike,
    num_train: int = 2000,
    num_test: int = 600,
    seed: int = 0,
    test_seed: int | None = None,
) -> Path:
    """Make the demo data in ``root``, unless it holds them with the same parameters; returns ``root``.

    Demo data with other parameters are replaced. The folder is complete or absent: it is written beside ``root`` and
    renamed. Another ``test_seed`` (default: ``seed``) gives a fresh test set of the same distribution. ``DataError`` if
    ``root`` holds anything else, or for invalid parameters.
    """
    root = Path(root)
    if num_train < 1 or num_test < 1 or seed < 0 or (test_seed or 0) < 0:
        raise DataError(
            f'{root}: num_train={num_train}, num_test={num_test}, seed={seed}, test_seed={test_seed}; '
            'expected at least one scene in each part and seeds >= 0'
        )
    parameters = dict(
        generator_version=GENERATOR_VERSION,
        num_train=num_train,
        num_test=num_test,
        seed=seed,
        test_seed=seed if test_seed is None else test_seed,
    )
    meta = root / 'meta.json'
    if meta.is_file() and json.loads(meta.read_text('utf-8')) == parameters:
        return root
    if root.exists() and not meta.is_file() and (not root.is_dir() or any(root.iterdir())):
        raise DataError(f'{root}: holds something other than demo data (no meta.json); choose another folder')
    root.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f'.{root.name}.', dir=root.parent))
    try:
        _write_part(partial, 'train', num_train, seed)
        _write_part(partial, 'test', num_test, parameters['test_seed'])
        (partial / 'meta.json').write_text(json.dumps(parameters, indent=2), 'utf-8')
        partial.chmod(0o755)
        if root.exists():
            shutil.rmtree(root)
        partial.rename(root)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return root
