"""The real photos beside the repository, where they are: counts, labels and ids against their manifests."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from cssa_mm.datasets import COCOMultiLabelDataset, LoadRGBImage, TableDataset, VOCMultiLabelDataset
from cssa_mm.datasets.nuswide import NUSWIDE_CLASSES
from cssa_mm.datasets.voc import VOC_CLASSES
from cssa_mm.errors import DataError

PHOTOS = Path(__file__).resolve().parents[3] / 'shared' / 'data'
VOC = PHOTOS / 'VOC2012'
COCO = PHOTOS / 'coco_mini'

pytestmark = pytest.mark.skipif(not PHOTOS.is_dir(), reason='the real photos are not there')


def manifest(path: Path, split: str) -> list[dict]:
    with path.open() as file:
        return [row for row in csv.DictReader(file) if row['split'] == split]


def names(data, row: np.ndarray) -> set[str]:
    return {data.class_names[c] for c in np.flatnonzero(row == 1)}


def voc(image_set: str, **options) -> VOCMultiLabelDataset:
    return VOCMultiLabelDataset(data_root=str(VOC), image_set=image_set, **options)


# Image set -> splits of the manifest, number of photos.
VOC_SETS = {
    'train': (['train'], 1682),
    'val': (['val'], 1037),
    'test': (['val'], 1037),
    'trainval': (['train', 'val'], 2719),
    'seg2007': (['seg2007'], 182),
}


@pytest.mark.parametrize('image_set', VOC_SETS)
def test_voc_agrees_with_its_manifest(image_set):
    data = voc(image_set)
    splits, count = VOC_SETS[image_set]
    rows = [row for split in splits for row in manifest(VOC / 'manifest.csv', split)]
    rows = sorted(rows, key=lambda row: row['id'])
    assert len(data) == len(rows) == count
    assert data.image_ids == [row['id'] for row in rows]
    for labels, row in zip(data.labels, rows, strict=True):
        assert {name.replace(' ', '') for name in names(data, labels)} == set(row['labels'].split())
    assert data.is_labelled.all()
    check_sizes(data, rows)
    check_found_by_id(data, [row['id'] for row in rows])


@pytest.mark.parametrize('image_set', ['train', 'val', 'seg2007'])
def test_voc_s_list_of_each_class_agrees_with_the_labels_of_the_objects(image_set):
    data = voc(image_set)
    for column, name in zip(data.labels.T, data.class_names, strict=True):
        lines = (VOC / 'ImageSets' / 'Main' / f'{name.replace(" ", "")}_{image_set}.txt').read_text().splitlines()
        listed = {line.split()[0] for line in lines if line.split()[1] == '1'}
        assert {data.image_ids[i] for i in np.flatnonzero(column == 1)} == listed


def test_the_photos_without_full_labels_agree_with_their_list():
    data = TableDataset(
        data_root=str(VOC), ann_file='unlabeled.csv', img_dir='unlabeled', class_names=VOC_CLASSES, test_mode=True,
        image_column='file', label_column='animal_categories_from_keypoints',
    )  # fmt: skip
    with (VOC / 'unlabeled.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 1015
    assert sorted(data.image_ids) == sorted(row['file'] for row in rows)
    for row in rows:
        assert names(data, data.labels[data.index_of(row['file'])]) == {row['animal_categories_from_keypoints']}


@pytest.mark.parametrize(('part', 'count'), [('train2017', 166), ('val2017', 113)])
@pytest.mark.parametrize('keep_empty', [True, False])
def test_coco_agrees_with_its_manifest(part, count, keep_empty):
    data = coco(part, keep_empty=keep_empty)
    rows = manifest(COCO / 'manifest.csv', part)
    assert len(rows) == count
    kept = sorted((row for row in rows if row['labels'] or keep_empty), key=lambda row: str(int(row['file'][:-4])))
    assert data.image_ids == [str(int(row['file'][:-4])) for row in kept]
    assert [Path(path).name for path in data.img_paths] == [row['file'] for row in kept]
    for labels, row in zip(data.labels, kept, strict=True):
        assert names(data, labels) == set(filter(None, row['labels'].split(' | ')))
    check_sizes(data, kept)
    check_found_by_id(data, [str(int(row['file'][:-4])) for row in kept])


@pytest.mark.parametrize('part', ['train2017', 'val2017'])
def test_coco_agrees_with_its_instances(part):
    data = coco(part)
    content = json.loads((COCO / 'annotations' / f'instances_{part}.json').read_text())
    words = {category['id']: category['name'] for category in content['categories']}
    shown: dict[str, set[str]] = {}
    for item in content['annotations']:
        shown.setdefault(str(item['image_id']), set()).add(words[item['category_id']])
    assert data.image_ids == sorted(shown)
    assert {image_id: names(data, data.labels[data.index_of(image_id)]) for image_id in shown} == shown


def coco(part: str, **options) -> COCOMultiLabelDataset:
    return COCOMultiLabelDataset(
        data_root=str(COCO), ann_file=f'annotations/instances_{part}.json', img_dir=part, **options
    )


def check_sizes(data, rows) -> None:
    """Every 20th photo is decoded: its size proves that the paths go with the labels."""
    for path, row in list(zip(data.img_paths, rows, strict=True))[::20]:
        image = LoadRGBImage()(dict(img_path=path))['img']
        assert image.shape == (int(row['h']), int(row['w']), 3)


def check_found_by_id(data, image_ids) -> None:
    for image_id in image_ids:
        assert Path(data.img_paths[data.index_of(image_id)]).stem.lstrip('0') == image_id
    with pytest.raises(DataError, match='Did you mean'):
        data.index_of(image_ids[0] + 'x')


def test_the_concepts_of_nus_wide_are_the_listed_ones():
    listed = (PHOTOS / 'classes' / 'nuswide_labels.txt').read_text().splitlines()
    assert list(NUSWIDE_CLASSES) == [name.strip() for name in listed if name.strip()]


def test_the_lists_of_class_names_fit_both_data_sets():
    voc = VOCMultiLabelDataset(data_root=str(VOC), class_names=str(PHOTOS / 'classes' / 'voc_labels.txt'))
    np.testing.assert_array_equal(voc.labels, VOCMultiLabelDataset(data_root=str(VOC)).labels)
    listed = coco('val2017', class_names=str(PHOTOS / 'classes' / 'coco_labels.txt'))
    assert listed.class_names == coco('val2017').class_names


def test_five_per_cent_of_voc_are_84_labelled_photos_and_none_is_tested_on():
    data = VOCMultiLabelDataset(data_root=str(VOC), split=dict(proportion=0.05, seed=1))
    assert len(data.labelled_indices) == 84
    test = VOCMultiLabelDataset(data_root=str(VOC), image_set='val', test_mode=True)
    assert set(data.image_ids).isdisjoint(test.image_ids)
