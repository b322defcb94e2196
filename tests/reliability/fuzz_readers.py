"""The readers that are fuzzed: those of label files here, of images and of the product's own files beside it."""

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from cssa_mm.apis.predicting.sources import find_images
from cssa_mm.datasets import COCOMultiLabelDataset, NUSWIDEMultiLabelDataset, TableDataset, VOCMultiLabelDataset
from cssa_mm.datasets.questions import questions_of
from cssa_mm.datasets.splits.split import save_split
from tests.reliability.fuzz_photos import PHOTOS
from tests.reliability.fuzz_predictions import PREDICTIONS
from tests.reliability.fuzz_states import STATES
from tests.reliability.fuzzing import Reader
from tests.reliability.test_round_trips import FORMS, Labels

LABELS = Labels(
    ['cat', 'dining table', 'Müller'],
    ['a.jpg', 'north/b 2.png', 'north/c.jpg', 'd.jpg'],
    [[1, 0, 0], [0, 1, 1], [1, 1, 0], [-1, -1, -1]],
)
SINGLE = Labels(LABELS.names, ['a.jpg', 'b.jpg', 'c.png'], [[1, 0, 0], [0, 1, 0], [0, 0, 1]])
FLAT = Labels(LABELS.names, ['a.jpg', 'b 2.png', 'c.jpg', 'd.jpg'], LABELS.rows)
OPTIONS: dict[str, dict] = {}  # of the data set, by form


def write_labels(name: str, folder: Path) -> None:
    form = FORMS[name]
    labels = SINGLE if form.is_single else FLAT if name == 'voc' else LABELS
    for image in labels.images:
        path = folder / 'images' / image
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    OPTIONS[name] = dict(img_dir='images') | form.write(folder, labels)


def read_set(data) -> None:
    """Read a data set as a training does; no image may lie outside its folder."""
    found = data.read_annotations()
    questions_of(data.class_names, found.labels, data.understanding)
    root = os.path.join(os.path.abspath(data.data_root), '')
    outside = [path for path in found.img_paths if not os.path.abspath(path).startswith(root)]
    assert not outside, f'images outside of {root}: {outside[:3]}'


def read_labels(name: str, folder: Path) -> None:
    read_set(TableDataset(data_root=str(folder), lazy_init=True, **OPTIONS[name]))


def touch(folder: Path, names=LABELS.images) -> None:
    for name in names:
        (folder / 'images' / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / 'images' / name).touch()


def table_reader(write: Callable[[Path], None], **options) -> Reader:
    """A label file of another tool, read as a table."""

    def prepare(folder: Path) -> None:
        touch(folder)
        write(folder)

    return Reader(
        prepare,
        lambda folder: read_set(TableDataset(data_root=str(folder), img_dir='images', lazy_init=True, **options)),
    )


def write_labelme(folder: Path) -> None:
    for image, row in LABELS.items():
        shapes = [dict(label=name, points=[[1, 1], [2, 2]], shape_type='rectangle') for name in LABELS.positives(row)]
        content = dict(version='5', flags={}, shapes=shapes, imagePath=Path(image).name, imageHeight=9, imageWidth=9)
        (folder / 'images' / Path(image).with_suffix('.json')).write_text(json.dumps(content, ensure_ascii=False))


def write_via(folder: Path) -> None:
    entries = {}
    for image, row in LABELS.items():
        shape = dict(name='rect', x=1, y=1, width=2, height=2)
        regions = [dict(shape_attributes=shape, region_attributes=dict(kind=name)) for name in LABELS.positives(row)]
        entries[f'{image}9'] = dict(filename=image, size=9, regions=regions, file_attributes={})
    (folder / 'via.json').write_text(json.dumps(entries))


def write_manifest(folder: Path) -> None:
    lines = [
        json.dumps(dict(image_url=f'azureml://x/paths/{image}', label=LABELS.positives(row)))
        for image, row in LABELS.items()
    ]
    (folder / 'labels.jsonl').write_text('\n'.join(lines))


def write_split(folder: Path) -> None:
    touch(folder)
    FORMS['csv of columns'].write(folder, Labels(LABELS.names, LABELS.images, [*LABELS.rows[:3], [0, 0, 0]]))
    options = dict(img_dir='images', ann_file='labels.csv', split=dict(proportion=0.5, seed=1))
    save_split(TableDataset(data_root=str(folder), **options).split, folder / 'split.txt')


def read_split(folder: Path) -> None:
    TableDataset(data_root=str(folder), img_dir='images', ann_file='labels.csv', split='split.txt')


def write_classes(folder: Path) -> None:
    FORMS['csv of names'].write(folder, LABELS)
    (folder / 'classes.csv').write_text(
        'name,prompt\n' + ''.join(f'{name},a {name};one {name}\n' for name in LABELS.names)
    )
    (folder / 'classes.txt').write_text('\n'.join(LABELS.names))
    (folder / 'classes.json').write_text(json.dumps({name: [f'a {name}'] for name in LABELS.names}))


def read_classes(folder: Path) -> None:
    for suffix in ('csv', 'txt', 'json'):
        path = str(folder / f'classes.{suffix}')
        read_set(
            TableDataset(
                data_root=str(folder), img_dir='images', ann_file='labels.csv', class_names=path, lazy_init=True
            )
        )


def write_groups(folder: Path) -> None:
    rows = ''.join(
        f'{image},{number % 2},{number % 2},video{number // 2}\n' for number, image in enumerate(LABELS.images)
    )
    (folder / 'labels.csv').write_text('image,cat,dog,video\n' + rows)


def write_coco_set(folder: Path) -> None:
    touch(folder)
    FORMS['coco'].write(folder, LABELS)


def read_coco_set(folder: Path) -> None:
    options = dict(img_dir='images', class_names=LABELS.names, keep_empty=True)
    data = COCOMultiLabelDataset(data_root=str(folder), ann_file='instances.json', lazy_init=True, **options)
    read_set(data)
    data.full_init()
    data.boxes()


def write_voc_set(folder: Path) -> None:
    FORMS['voc'].write(folder, FLAT)
    for image, _ in FLAT.items():
        (folder / 'JPEGImages' / image).parent.mkdir(exist_ok=True)
        (folder / 'JPEGImages' / image).touch()
    (folder / 'ImageSets/Main').mkdir(parents=True)
    (folder / 'ImageSets/Main/train.txt').write_text('a\nc\n')
    size = '<size><width>9</width><height>9</height></size></annotation>'
    for path in (folder / 'Annotations').glob('*.xml'):
        path.write_text(path.read_text('utf-8').replace('</annotation>', size), 'utf-8')


def read_voc_set(folder: Path) -> None:
    data = VOCMultiLabelDataset(
        data_root=str(folder), image_set='train', class_names=LABELS.names, unannotated='negative', lazy_init=True
    )
    read_set(data)
    data.full_init()
    data.boxes()


def write_nuswide(folder: Path) -> None:
    names = np.array(['zebra/1.jpg', 'actor/2.jpg'])
    for name in names:
        (folder / 'Flickr' / name).parent.mkdir(parents=True)
        (folder / 'Flickr' / name).touch()
    np.save(folder / 'formatted_train_images.npy', names)
    np.save(folder / 'formatted_train_labels.npy', np.eye(2, 81))


def read_nuswide(folder: Path) -> None:
    read_set(NUSWIDEMultiLabelDataset(data_root=str(folder), lazy_init=True))


def write_list(folder: Path) -> None:
    touch(folder)
    (folder / 'list.txt').write_text('# photos\n' + '\n'.join(f'images/{name}' for name in LABELS.images))


READERS: dict[str, Reader] = {
    **{name: Reader(partial(write_labels, name), partial(read_labels, name)) for name in FORMS if name != 'folders'},
    'labelme': table_reader(write_labelme, ann_file='images'),
    'via': table_reader(write_via, ann_file='via.json'),
    'manifest': table_reader(write_manifest, ann_file='labels.jsonl'),
    'groups': table_reader(
        write_groups,
        ann_file='labels.csv',
        group_column='video',
        validation=dict(proportion=0.5, seed=0),
        part='validation',
    ),
    'split': Reader(write_split, read_split, suffixes=('split.txt',)),
    'classes': Reader(lambda folder: (touch(folder), write_classes(folder)), read_classes),
    'coco set': Reader(write_coco_set, read_coco_set),
    'voc set': Reader(write_voc_set, read_voc_set),
    'nuswide': Reader(write_nuswide, read_nuswide),
    'list of images': Reader(write_list, lambda folder: find_images(folder / 'list.txt')),
    **PHOTOS,
    **STATES,
    **PREDICTIONS,
}
