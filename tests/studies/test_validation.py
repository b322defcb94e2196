"""Settings are chosen on a part of the training images; the test set has no part in it."""

import json
from pathlib import Path

import pytest
from mmengine.config import Config
from mmpretrain.registry import DATASETS

from cssa_mm.demo.scenes import generate_demo
from cssa_mm.studies.jobs import row_config, row_jobs
from cssa_mm.studies.spec import load_study


@pytest.fixture
def jobs():
    def make(seeds, **options):
        study = load_study('baselines')
        row = next(row for row in study.rows if row.name == 'cssa')
        config = row_config(study, row, validation=0.25, **options)
        return row_jobs(study, row, config, seeds, Path('nowhere'), 'features', 'any data')

    return make


def test_the_held_out_training_images_take_the_place_of_the_test_set(jobs, small_demo):
    (job,) = jobs([3], data_root=small_demo)
    config = Config(job.config)
    train, held_out = (DATASETS.build(config[f'{name}_dataloader'].dataset) for name in ('train', 'test'))
    everything = DATASETS.build(dict(type='IconsDataset', data_root=str(small_demo), subset='train'))
    assert (len(train), len(held_out)) == (90, 30)
    assert sorted(train.image_ids + held_out.image_ids) == sorted(everything.image_ids)
    assert held_out.is_labelled.all()
    assert train.is_labelled.sum() == 4  # 5 % of 90


def test_all_seeds_are_measured_on_the_same_images(jobs):
    held_out = [Config(job.config).test_dataloader.dataset for job in jobs([1, 2])]
    assert held_out[0] == held_out[1]


def test_a_study_on_validation_images_never_reads_the_test_set(run_toy, tmp_path):
    root = tmp_path / 'icons'
    generate_demo(root, num_train=60, num_test=2)
    (root / 'annotations' / 'test.json').write_text('no annotation')
    summary = run_toy('baselines', tmp_path / 'study', validation=0.3, rows=['zero_shot'], data_root=root)
    assert summary['failures'] == {}
    assert json.loads((tmp_path / 'study' / 'zero_shot-1' / 'result.json').read_text())['mAP'] > 0
