"""The real photos beside the repository, where they are: counts, labels and ids against their manifests."""

import csv
from pathlib import Path

import numpy as np
import pytest

from cssa_mm.datasets import COCOMultiLabelDataset, LoadRGBImage, VOCMultiLabelDataset
from cssa_mm.semi.split import check_disjoint

PHOTOS = Path(__file__).resolve().parents[3] / 'shared' / 'data'
VOC = PHOTOS / 'VOC2012'
COCO = PHOTOS / 'coco_mini'

pytestmark = pytest.mark.skipif(not PHOTOS.is_dir(), reason='the real photos are not there')


def manifest(path: Path, split: str) -> list[dict]:
    with path.open() as file:
        return [row for row in csv.DictReader(file) if row['split'] == split]


def names(data, row: np.ndarray) -> set[str]:
    return {data.class_names[c] for c in np.flatnonzero(row == 1)}


@pytest.mark.parametrize(('image_set', 'count'), [('train', 1682), ('val', 1037)])
def test_voc_agrees_with_its_manifest(image_set, count):
    data = VOCMultiLabelDataset(data_root=str(VOC), image_set=image_set, test_mode=image_set == 'val')
    rows = sorted(manifest(VOC / 'manifest.csv', image_set), key=lambda row: row['id'])
    assert len(data) == len(rows) == count
    assert data.image_ids == [row['id'] for row in rows]
    for labels, row in zip(data.labels, rows, strict=True):
        assert {name.replace(' ', '') for name in names(data, labels)} == set(row['labels'].split())
    check_sizes(data, rows)


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


def coco(part: str, **options) -> COCOMultiLabelDataset:
    return COCOMultiLabelDataset(
        data_root=str(COCO), ann_file=f'annotations/instances_{part}.json', img_dir=part, **options
    )


def check_sizes(data, rows) -> None:
    """Every 20th photo is decoded: its size proves that the paths go with the labels."""
    for path, row in list(zip(data.img_paths, rows, strict=True))[::20]:
        image = LoadRGBImage()(dict(img_path=path))['img']
        assert image.shape == (int(row['h']), int(row['w']), 3)


def test_the_lists_of_class_names_fit_both_data_sets():
    voc = VOCMultiLabelDataset(data_root=str(VOC), class_names=str(PHOTOS / 'classes' / 'voc_labels.txt'))
    np.testing.assert_array_equal(voc.labels, VOCMultiLabelDataset(data_root=str(VOC)).labels)
    listed = coco('val2017', class_names=str(PHOTOS / 'classes' / 'coco_labels.txt'))
    assert listed.class_names == coco('val2017').class_names


def test_five_per_cent_of_voc_are_84_labelled_photos_and_none_is_tested_on():
    data = VOCMultiLabelDataset(data_root=str(VOC), split=dict(proportion=0.05, seed=1))
    assert len(data.labelled_indices) == 84
    test = VOCMultiLabelDataset(data_root=str(VOC), image_set='val', test_mode=True)
    check_disjoint(data.image_ids, test.image_ids, 'VOC2012')
