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
