"""Tiny data sets in the layouts of VOC and COCO, and a pipeline that reads them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cssa_mm  # noqa: F401  registers the data sets and transforms

# What the toy images show; 'difficult' objects carry a '!'. VOC's image list is not sorted on purpose.
VOC_OBJECTS = {
    '2008_000003': ['dog', 'dog', 'person'],
    '2008_000001': ['diningtable', 'chair!'],
    '2008_000002': ['chair', 'chair!'],
    '2008_000004': ['tvmonitor'],
}
# COCO: image id -> category ids (18 dog, 1 person, 67 dining table), listed in another order than sorted.
COCO_CATEGORIES = {18: 'dog', 1: 'person', 67: 'dining table'}
COCO_INSTANCES = {9: [18, 18], 100: [1, 67], 10: [67], 7: [], 25: [1], 33: [18], 44: [1], 58: [67, 18]}

STRONG_PIPELINE = [
    dict(type='LoadRGBImage'),
    dict(type='Resize', scale=(16, 16), backend='pillow', interpolation='bicubic'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='Cutout', shape=8, pad_val=[122, 116, 104], prob=1.0),
    dict(type='RandAugment', policies='timm_increasing', num_policies=2, magnitude_level=9, magnitude_std=0.5),
    dict(type='PackInputs', meta_keys=('sample_idx', 'img_path', 'image_id', 'is_labelled')),
]


@pytest.fixture
def strong_pipeline() -> list[dict]:
    return [dict(step) for step in STRONG_PIPELINE]


def save_noise(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, quality=90)


@pytest.fixture
def voc_root(tmp_path) -> Path:
    root = tmp_path / 'VOC2012'
    for folder in ('Annotations', 'ImageSets/Main'):
        (root / folder).mkdir(parents=True)
    for seed, (image_id, objects) in enumerate(VOC_OBJECTS.items()):
        save_noise(root / 'JPEGImages' / f'{image_id}.jpg', seed)
        body = ''.join(
            f'<object><name>{name.strip("!")}</name><difficult>{int("!" in name)}</difficult></object>'
            for name in objects
        )
        (root / 'Annotations' / f'{image_id}.xml').write_text(f'<annotation>{body}</annotation>')
    (root / 'ImageSets' / 'Main' / 'train.txt').write_text('\n'.join(VOC_OBJECTS) + '\n')
    return root


@pytest.fixture
def coco_root(tmp_path) -> Path:
    root = tmp_path / 'coco'
    images = [dict(id=image_id, file_name=f'{image_id:012d}.jpg') for image_id in COCO_INSTANCES]
    for image in images:
        save_noise(root / 'train' / image['file_name'], image['id'])
    annotations = [
        dict(image_id=image_id, category_id=category, iscrowd=int(category == 67), segmentation=[[0, 1, 2]])
        for image_id, categories in COCO_INSTANCES.items()
        for category in categories
    ]
    categories = [dict(id=category, name=name) for category, name in COCO_CATEGORIES.items()]
    content = dict(images=images, annotations=annotations, categories=categories)
    (root / 'instances.json').write_text(json.dumps(content))
    return root


@pytest.fixture
def coco_options(coco_root) -> dict:
    return dict(
        data_root=str(coco_root),
        ann_file='instances.json',
        img_dir='train',
        class_names=['person', 'dog', 'dining table'],
    )
