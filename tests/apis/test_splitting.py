import json

import numpy as np
import pytest

from cssa_mm.apis.splitting import default_path, split
from cssa_mm.datasets.splits.split import Split, load_split, make_split
from cssa_mm.errors import ConfigError, SplitError


def test_the_result_is_the_split_that_the_file_holds_and_its_text_says_how_to_use_it(config, toy_data, tmp_path):
    ids = [str(image['id']) for image in json.loads((toy_data / 'train.json').read_text())['images']]
    result = split(config=config, labelled=0.1, seed=3, out=tmp_path / 'split.txt')
    assert set(result.split.image_ids) == {ids[index] for index in np.random.RandomState(3).permutation(40)[:4]}
    assert load_split(result.path) == result.split
    assert (result.path, result.num_images) == (tmp_path / 'split.txt', 40)
    assert result.text().startswith(f"{result.path}: 4 of 40 images labelled, rule 'cap', seed 3, ids ")
    assert f'--cfg-options train_dataloader.dataset.split={tmp_path}/split.txt' in result.text()


def test_overrides_and_data_root_are_those_of_the_config(config, tmp_path):
    with pytest.raises(ConfigError, match='unknown key'):
        split(config=config, labelled=0.1, overrides={'model.heads': 1})
    with pytest.raises(Exception, match='nowhere/train.json: cannot be read'):
        split(config=config, labelled=0.1, data_root='nowhere')


def test_nothing_is_written_where_nothing_can_be_drawn(config, tmp_path):
    with pytest.raises(SplitError, match='labels 0'):
        split(config=config, labelled=0.01, out=tmp_path / 'new' / 'split.txt')
    assert list(tmp_path.iterdir()) == []


def test_without_out_the_file_is_named_by_all_that_decides_it():
    split = Split(('a',), 2, 0.05, 'x', {})
    assert str(default_path('configs/cssa_voc_p05.py', split)) == 'splits/cssa_voc_p05_labelled0.05_seed2.txt'
    ids = [str(index) for index in range(10)]
    stratified = make_split(ids, 0.5, 1, np.ones((10, 2), np.int8), 'ab', stratified=True)
    assert default_path('my.py', stratified).name == 'my_labelled0.5_seed1_stratified.txt'
    limited = [make_split(ids, 0.5, 1, np.eye(10, 2, dtype=np.int8), 'ab', at_most=dict(a=limit)) for limit in (0, 1)]
    first, second = (default_path('my.py', found).name for found in limited)
    assert first.startswith('my_labelled0.5_seed1_limited_')
    assert first != second
