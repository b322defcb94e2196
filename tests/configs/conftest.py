"""Twelve training and four test images in each layout that a shipped config reads."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cssa_mm.datasets.coco import COCO_CLASSES
from cssa_mm.datasets.nuswide import NUSWIDE_CLASSES
from cssa_mm.datasets.voc import VOC_CLASSES
from cssa_mm.demo.scenes import generate_demo

NUM_TRAIN, NUM_TEST = 12, 4
TABLE_CLASSES = ('dog', 'cat', 'table', 'sun', 'hat', 'cup', 'tree', 'boat')


def write_photos(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:  # no photo of one part is in another
        pixels = np.random.default_rng(zlib.crc32(f'{folder.name}/{name}'.encode())).integers(
            0, 256, (30, 40, 3), dtype=np.uint8
        )
        Image.fromarray(pixels).save(folder / name, quality=95)


def shown(classes: tuple, index: int) -> list[str]:
    """Three of the classes, others for each image."""
    return [classes[(index + step) % len(classes)] for step in (0, 1, 5)]


def make_coco(root: Path) -> None:
    categories = [dict(id=number, name=name) for number, name in enumerate(COCO_CLASSES, 1)]
    (root / 'annotations').mkdir()
    for part, first, count in (('train', 1, NUM_TRAIN), ('val', 500, NUM_TEST)):
        images = [dict(id=first + n, file_name=f'{first + n}.jpg') for n in range(count)]
        annotations = [
            dict(image_id=image['id'], category_id=COCO_CLASSES.index(name) + 1)
            for n, image in enumerate(images)
            for name in shown(COCO_CLASSES, n)
        ]
        content = dict(images=images, annotations=annotations, categories=categories)
        (root / 'annotations' / f'instances_{part}2014.json').write_text(json.dumps(content))
        write_photos(root / f'{part}2014', [image['file_name'] for image in images])


def make_voc(root: Path) -> None:
    for folder in ('Annotations', 'ImageSets/Main'):
        (root / folder).mkdir(parents=True)
    for part, count in (('train', NUM_TRAIN), ('val', NUM_TEST)):
        ids = [f'{part}_{n:03d}' for n in range(count)]
        (root / 'ImageSets' / 'Main' / f'{part}.txt').write_text('\n'.join(ids) + '\n')
        for n, image_id in enumerate(ids):
            objects = ''.join(f'<object><name>{name}</name></object>' for name in shown(VOC_CLASSES, n))
            (root / 'Annotations' / f'{image_id}.xml').write_text(f'<annotation>{objects}</annotation>')
        write_photos(root / 'JPEGImages', [f'{image_id}.jpg' for image_id in ids])


def make_nus(root: Path) -> None:
    for part, count in (('train', NUM_TRAIN), ('val', NUM_TEST)):
        names = [f'{part}_{n}.jpg' for n in range(count)]
        labels = [[name in shown(NUSWIDE_CLASSES, n) for name in NUSWIDE_CLASSES] for n in range(count)]
        np.save(root / f'formatted_{part}_images.npy', np.array(names))
        np.save(root / f'formatted_{part}_labels.npy', np.array(labels, dtype=np.int64))
        write_photos(root / 'Flickr', names)


def make_table(root: Path) -> None:
    names = [f'{n:02d}.jpg' for n in range(NUM_TRAIN + NUM_TEST)]
    write_photos(root / 'images', names)
    rows = [f'{name},{";".join(shown(TABLE_CLASSES, n))}' for n, name in enumerate(names)]
    for file, chosen in (('labels.csv', rows[: NUM_TRAIN // 2]), ('test.csv', rows[NUM_TRAIN:])):
        (root / file).write_text('\n'.join(['image,labels', *chosen]) + '\n')


def make_icons(root: Path) -> None:
    root.rmdir()
    generate_demo(root, NUM_TRAIN, NUM_TEST)


MAKERS = dict(
    COCOMultiLabelDataset=make_coco,
    VOCMultiLabelDataset=make_voc,
    NUSWIDEMultiLabelDataset=make_nus,
    TableDataset=make_table,
    IconsDataset=make_icons,
)


@pytest.fixture(scope='session')
def tiny_data(tmp_path_factory):
    """tiny_data('VOCMultiLabelDataset') -> the root of a tiny data set that this type reads, made at the first call."""
    roots = {}

    def root_of(dataset_type: str) -> Path:
        if dataset_type not in roots:
            roots[dataset_type] = tmp_path_factory.mktemp(dataset_type)
            MAKERS[dataset_type](roots[dataset_type])
        return roots[dataset_type]

    return root_of
