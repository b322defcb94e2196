"""Services that show a training: what the key `live` adds to the visualizer."""

import sys
from types import ModuleType

import pytest
from mmengine.config import Config

from cssa_mm.engine.config.vis_backends import apply_vis_backends, live_services
from cssa_mm.errors import ConfigError

LOCAL, BOARD = dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')


@pytest.fixture(autouse=True)
def packages(monkeypatch):
    for name in ('tensorboard', 'wandb'):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))


def backends_of(live, **sections):
    config = Config(dict(live=live, **sections))
    apply_vis_backends(config)
    apply_vis_backends(config)  # twice, as a config that is loaded and then run
    assert config.get('vis_backends') in (None, config.visualizer.vis_backends)
    return config.visualizer.to_dict()


@pytest.mark.parametrize('live', [None, [], ''])
def test_nothing_is_added_where_nobody_watches(live):
    given = dict(type='UniversalVisualizer', vis_backends=[LOCAL])
    assert backends_of(live, visualizer=given) == given


@pytest.mark.parametrize(
    ('live', 'given', 'expected'),
    [
        ('tensorboard', [LOCAL], [LOCAL, BOARD]),
        (['tensorboard', 'wandb'], [LOCAL], [LOCAL, BOARD, dict(type='WandbVisBackend')]),
        ('tensorboard', [dict(BOARD, save_dir='x')], [dict(BOARD, save_dir='x')]),
        ('tensorboard', [dict(type='mmengine.TensorboardVisBackend')], [dict(type='mmengine.TensorboardVisBackend')]),
        ('tensorboard', None, [LOCAL, BOARD]),
    ],
)
def test_a_service_is_added_beside_what_is_there_and_once(live, given, expected):
    visualizer = dict(type='UniversalVisualizer', vis_backends=given, name='mine')
    assert backends_of(live, visualizer=visualizer) == dict(visualizer, vis_backends=expected)


def test_a_config_without_visualizer_gets_one_that_writes_files_too():
    assert backends_of('tensorboard', visualizer=None)['vis_backends'] == [LOCAL, BOARD]


def test_the_helper_of_mmpretrain_stays_the_same_as_what_it_helps():
    assert backends_of('tensorboard', visualizer=dict(vis_backends=[LOCAL]), vis_backends=[LOCAL])


@pytest.mark.parametrize(
    ('live', 'message'),
    [
        ('tensorbord', "^live: found 'tensorbord', expected a list of tensorboard, .*Did you mean 'tensorboard'?"),
        ([3], '^live: found 3, expected a list of tensorboard, wandb'),
        (True, '^live: found True, expected a list of tensorboard'),
    ],
)
def test_an_unknown_service_is_named(live, message):
    with pytest.raises(ConfigError, match=message):
        live_services(dict(live=live))


def test_a_missing_package_is_one_line_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, 'tensorboard', None)
    with pytest.raises(ConfigError, match='package tensorboard is not installed; install it with pip install tensorbo'):
        apply_vis_backends(Config(dict(live='tensorboard')))
