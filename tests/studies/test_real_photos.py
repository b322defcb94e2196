"""The studies of real photos, on the photos beside the repository, where they are."""

from pathlib import Path

import pytest
from mmpretrain.registry import DATASETS

from cssa_mm.studies.jobs import row_config
from cssa_mm.studies.spec import load_study

PHOTOS = Path(__file__).resolve().parents[3] / 'shared' / 'data'

pytestmark = pytest.mark.skipif(not PHOTOS.is_dir(), reason='the real photos are not there')


def training_set(name: str, row: str, data: str):
    study = load_study(name)
    (found,) = study.chosen([row])
    return DATASETS.build(row_config(study, found, data_root=PHOTOS / data).train_dataloader.dataset)


@pytest.mark.parametrize('number', [30, 84, 168, 336])
def test_x_is_the_number_of_labelled_photos(number):
    study = load_study('real_photos')
    rows = [row for row in study.rows if row.x == number]
    assert {row.line for row in rows} >= {'zero-shot', 'labelled-only', 'cssa_plus', 'oracle'}
    assert len({str(row.options['train_dataloader.dataset.split.proportion']) for row in rows}) == 1
    data = training_set('real_photos', f'cssa_plus@{number}', 'VOC2012')
    assert (len(data), data.is_labelled.sum()) == (1682, number)


@pytest.mark.parametrize('number', [30, 80])
def test_coco_mini_has_as_many_labelled_photos_as_x_says(number):
    for method in ('CSSA', 'cssa_plus'):
        data = training_set('coco_mini', f'{method}@{number}', 'coco_mini')
        assert (len(data), data.is_labelled.sum(), len(data.class_names)) == (166, number, 80)
    study = load_study('coco_mini')
    test = row_config(study, study.rows[0], data_root=PHOTOS / 'coco_mini').test_dataloader.dataset
    assert len(DATASETS.build(test)) == 112  # one photo has no annotation


@pytest.mark.parametrize('seed', [1, 31])
def test_classes_of_photos_are_made_as_rare_as_the_study_says(seed):
    study = load_study('rare_photos')
    (row,) = study.chosen(['cssa_plus'])
    config = row_config(study, row, data_root=PHOTOS / 'VOC2012').train_dataloader.dataset
    data = DATASETS.build(config | dict(split=config.split | dict(seed=seed)))
    assert data.is_labelled.sum() == 84
    limits = {'horse': 0, 'car': 0, 'chair': 1, 'potted plant': 1, 'sofa': 2, 'dining table': 2}
    counts = {name: int((data.labels[:, data.class_names.index(name)] == 1).sum()) for name in data.class_names}
    assert all(counts[name] <= limit for name, limit in limits.items())
    assert counts['dog'] > 10
