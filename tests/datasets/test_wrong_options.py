"""An option of a data set that does not fit is one line, before anything is read."""

import pytest

from cssa_mm import load_config
from cssa_mm.datasets import TableDataset
from cssa_mm.datasets.building import build_dataset
from cssa_mm.datasets.view import View
from cssa_mm.errors import ConfigError

TRAIN = 'train_dataloader.dataset'


@pytest.mark.parametrize('key', ['img_dir', 'data_root', 'ann_file', 'image_column', 'label_separators', 'encoding'])
@pytest.mark.parametrize('value', [1.5, True, ['a'], dict(a=1)])
def test_every_text_of_a_data_set_is_checked_when_the_config_is_read(tmp_path, key, value):
    with pytest.raises(ConfigError, match=rf'^{TRAIN}\.{key}: found .*, expected text'):
        load_config(tmp_path, overrides={f'{TRAIN}.{key}': value})
    with pytest.raises(ConfigError, match=f'^{key}: found '):
        TableDataset(lazy_init=True, **{key: value})


@pytest.mark.parametrize('value', [3, ['a', 3], [dict(a=1)], dict(img_dir='a'), [dict(ann_file=3)]])
def test_files_that_are_held_out_are_names_or_dicts(value):
    with pytest.raises(ConfigError, match='held_out: found'):
        TableDataset(lazy_init=True, held_out=value)


@pytest.mark.parametrize('step', [1, 'RandomFlip', ['a'], dict(prob=1)])
def test_a_step_of_a_pipeline_is_a_transform(step):
    with pytest.raises(ConfigError, match='pipeline: found the step'):
        TableDataset(lazy_init=True, pipeline=[step])


def test_options_that_a_transform_refuses_are_named_with_the_step():
    with pytest.raises(ConfigError, match='RandomFlip.*refused .probs must be float'):
        TableDataset(lazy_init=True, pipeline=[dict(type='RandomFlip', prob=3)])


@pytest.mark.parametrize(
    ('key', 'value'), [('transparency', 3), ('transparency', None), ('transparency', True), ('backend_args', 'abc')]
)
def test_a_view_refuses_wrong_types(key, value):
    with pytest.raises(ConfigError, match=f'^{key}: found {value!r}, expected'):
        View(size=8, **{key: value})


def test_a_column_may_be_called_by_a_number(tmp_path):
    (tmp_path / 'labels.csv').write_text('image,0\na.png,cat\n')
    config = load_config(tmp_path, overrides={f'{TRAIN}.label_column': 0})
    assert build_dataset(config.train_dataloader.dataset, TRAIN).options.label_column == '0'
