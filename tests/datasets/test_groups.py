"""`group_column`: frames of a film, photos of a patient stay on one side."""

import numpy as np
import pytest
from PIL import Image

from cssa_mm.apis.splitting import split
from cssa_mm.datasets import TableDataset
from cssa_mm.errors import DataError, SplitError

FILMS = ['a', 'a', 'a', 'b', 'b', 'b', 'c', 'c', 'c', '', '', '']


@pytest.fixture
def root(tmp_path):
    """Twelve listed photos, three films of three frames and three single photos, and four that no row mentions."""
    (tmp_path / 'images').mkdir()
    for n in range(16):
        Image.new('RGB', (8, 8), (n, 0, 0)).save(tmp_path / 'images' / f'{n:02d}.png')
    rows = [f'{n:02d}.png,{"cat" if n % 2 else "dog;cat"},{film}' for n, film in enumerate(FILMS)]
    (tmp_path / 'labels.csv').write_text('\n'.join(['image,labels,film', *rows]) + '\n')
    return tmp_path


def films_of(image_ids):
    return {FILMS[int(image_id[:2])] for image_id in image_ids if int(image_id[:2]) < 12} - {''}


def sides(dataset):
    ids = np.array(dataset.image_ids)
    return films_of(ids[dataset.is_labelled]), films_of(ids[~dataset.is_labelled])


@pytest.mark.parametrize('seed', range(6))
def test_a_drawn_split_cuts_no_group(root, seed):
    options = dict(data_root=str(root), ann_file='labels.csv', include_unlisted=False)
    drawn = dict(split=dict(proportion=0.5, seed=seed))
    labelled, others = sides(TableDataset(**options, **drawn, group_column='film'))
    assert labelled
    assert not labelled & others


def test_without_a_group_column_the_split_is_that_of_before(root):
    options = dict(data_root=str(root), ann_file='labels.csv', include_unlisted=False, class_names=['cat', 'dog'])
    cuts = [sides(TableDataset(**options, split=dict(proportion=0.5, seed=seed))) for seed in range(6)]
    assert any(labelled & others for labelled, others in cuts)  # so the test above tests something


def test_validation_and_training_share_no_group(root):
    options = dict(data_root=str(root), ann_file='labels.csv', group_column='film', validation=dict(proportion=0.4))
    train, held_out = (TableDataset(**options, part=part) for part in ('all', 'validation'))
    assert films_of(held_out.image_ids)
    assert not films_of(train.image_ids) & films_of(held_out.image_ids)
    assert {f'{n}.png' for n in range(12, 16)} <= set(train.image_ids)


def test_a_test_table_may_lack_the_column_and_a_training_table_may_not(root):
    (root / 'test.csv').write_text('image,labels\n12.png,cat\n')
    options = dict(data_root=str(root), class_names=['cat', 'dog'], group_column='film')
    assert TableDataset(ann_file='test.csv', test_mode=True, **options).groups is None
    with pytest.raises(DataError, match="found no column 'film', which group_column names"):
        TableDataset(ann_file='test.csv', **options)


def test_an_image_in_two_groups_is_refused(root):
    with (root / 'labels.csv').open('a') as file:
        file.write('00.png,dog;cat,b\n')
    with pytest.raises(DataError, match="labels.csv: found the image '00.png' in the groups 'a' and 'b'"):
        TableDataset(data_root=str(root), ann_file='labels.csv', group_column='film')


def test_the_command_draws_whole_groups_and_its_file_is_read_back(root):
    overrides = {'train_dataloader.dataset.group_column': 'film', 'train_dataloader.dataset.include_unlisted': False}
    common = dict(config='cssa_table', data_root=root, overrides=overrides | {'val_dataloader': None})
    result = split(**common, labelled=0.5, seed=3, out=root / 'split.txt')
    assert result.split.rule == 'grouped'
    assert "rule 'grouped'" in result.text()
    options = dict(data_root=str(root), ann_file='labels.csv', include_unlisted=False, split='split.txt')
    labelled, others = sides(TableDataset(**options, group_column='film'))
    assert not labelled & others
    with pytest.raises(SplitError, match='set group_column'):
        TableDataset(**options, class_names=['cat', 'dog'])
