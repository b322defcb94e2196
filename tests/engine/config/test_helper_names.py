"""Config files as mmpretrain's users write them: helpers at the top level, hooks with a priority, bases by name."""

import pytest

from cssa_mm import load_config
from cssa_mm.errors import ConfigError

PIPELINES = """
_base_ = 'cssa_mm::cssa_demo.py'
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', scale=64),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
"""


@pytest.fixture
def written(tmp_path):
    def write(text):
        (tmp_path / 'own.py').write_text(text)
        return str(tmp_path / 'own.py')

    return write


def test_a_pipeline_with_a_name_is_used_and_its_name_is_no_key(written):
    config = load_config(written(PIPELINES), data_root='elsewhere')
    assert [step.type for step in config.train_dataloader.dataset.pipeline] == [
        'LoadRGBImage',
        'RandomResizedCrop',
        'PackInputs',
    ]
    assert 'train_pipeline' not in config


@pytest.mark.parametrize(
    ('text', 'name'),
    [
        (PIPELINES + "dataset_type = 'CocoDataset'", 'dataset_type'),  # of no data set
        (PIPELINES.replace('pipeline=train_pipeline', ''), 'train_pipeline'),
        (
            "_base_ = 'cssa_mm::cssa_demo.py'\nbatch_size = 16\ntrain_dataloader = dict(batch_size=batch_size)",
            'batch_size',
        ),
        ("_base_ = 'cssa_mm::cssa_demo.py'\nval_evaluater = dict(type='CSSAMetric')", 'val_evaluater'),
    ],
)
def test_a_name_that_nothing_uses_and_a_number_are_refused_with_what_to_write(written, text, name):
    with pytest.raises(
        ConfigError, match=f"unknown key '{name}', .*a name of your own that others use begins with '_'"
    ):
        load_config(written(text))


def test_an_override_of_a_helper_is_refused_as_it_reaches_nothing(written):
    with pytest.raises(ConfigError, match="unknown key 'train_pipeline'"):
        load_config(written(PIPELINES), overrides={'train_pipeline.1.scale': 32})


@pytest.mark.parametrize('key', ['custom_hooks', 'default_hooks.mine'])
def test_hooks_have_a_priority_that_mmengine_reads(tiny_config, key):
    def with_hook(**options):
        hook = dict(type='EmptyCacheHook', **options)
        return tiny_config(**{key: [hook] if key == 'custom_hooks' else hook})

    load_config(with_hook(priority='LOW'))
    config = with_hook(priorityy='LOW')
    with pytest.raises(ConfigError, match='priorityy'):
        load_config(config)


@pytest.mark.parametrize(
    ('text', 'advice'),
    [
        ("_base_ = ['cssa_mm::cssa_demo.py', 'cssa_mm::_base_/runtime.py']", "'cssa_mm::_base_/models/cssa_plus.py'"),
        ("import torch\n_base_ = 'cssa_mm::cssa_demo.py'", 'write _base_ = ... above all imports'),
    ],
)
def test_what_mmengine_says_of_bases_comes_with_what_to_write(written, text, advice):
    with pytest.raises(ConfigError) as error:
        load_config(written(text))
    assert advice in str(error.value)
    assert '\n' not in str(error.value)
