"""A value of a wrong type is one line that names key, value and what is expected, before anything is read."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from cssa_mm import load_config
from cssa_mm.datasets import TableDataset
from cssa_mm.datasets.building import build_dataset
from cssa_mm.datasets.view import View
from cssa_mm.errors import ConfigError
from cssa_mm.values import check_values

TRAIN = 'train_dataloader.dataset'


def taker(
    text: str,
    words: str | Sequence[str] = (),
    switch: bool = False,
    one: str | Mapping | Sequence | None = None,
    steps: Sequence = (),
    number: float = 0.0,
    thing: object | Path | None = None,
    **others: str,
):
    """Options of several kinds."""


@pytest.mark.parametrize(
    'options',
    [
        dict(text='a', words='b', switch=True, one=None, steps=[1]),
        dict(words=['a', 'b'], one=dict(a=1)),
        dict(words=(), one=['a'], text=Path('a')),
        dict(number=3, thing='left to the taker', unknown=3),
    ],
)
def test_right_values_stay(options):
    known = ('text', 'words', 'switch', 'one', 'steps', 'number')
    assert check_values(taker, options, takes_digits=True) == {
        key: value for key, value in options.items() if key in known
    }


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        (dict(text=None), 'x.text: found None, expected text'),
        (dict(text=['a']), r"x.text: found \['a'\], expected text"),
        (dict(words=[['a']]), 'expected text or a list of texts'),
        (dict(words=True), "for the text, put it in quotes: words='True'"),
        (dict(words=1.5), "put it in quotes: words='1.5'"),
        (dict(switch=1), 'x.switch: found 1, expected True or False'),
        (dict(switch='no'), "found 'no', expected True or False"),
        (dict(one=True), 'expected text, a dict, a list or None'),
        (dict(steps='abc'), "found 'abc', expected a list"),
    ],
)
def test_wrong_values_are_one_line(options, text):
    with pytest.raises(ConfigError, match=text):
        check_values(taker, options, 'x')


def test_whole_numbers_are_text_where_only_text_is_taken():
    found = check_values(taker, dict(text=3, words=[0, 'a', -1]), takes_digits=True)
    assert found == dict(text='3', words=['0', 'a', '-1'])


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
