"""A benchmark of tiny sizes."""

import pytest

from cssa_mm.demo.scenes import generate_demo
from cssa_mm.studies.benchmark.setting import Setting


@pytest.fixture(scope='session')
def tiny_overrides(backbone_config):
    """The config behind the rows on a tiny tower."""
    tower = {f'model.backbone.{key}': value for key, value in backbone_config().items() if key != 'type'}
    return tower | {
        'view.size': 64,
        'train_dataloader.batch_size': 4,
        'train_dataloader.sampler.labelled_per_batch': 2,
        'train_dataloader.num_workers': 0,
        'train_dataloader.persistent_workers': False,
        'default_hooks.pseudo_labels.num_workers': 0,
        'default_hooks.bad_images.num_workers': 0,
        'model.head.prompts.num_context': 4,
    }


@pytest.fixture(scope='session')
def few_scenes(tmp_path_factory):
    """A folder with `data/icons`, the demo's scenes, of which there are few."""
    folder = tmp_path_factory.mktemp('few')
    generate_demo(folder / 'data' / 'icons', num_train=1, num_test=4)
    return folder


@pytest.fixture
def tiny(tiny_overrides, tmp_path, few_scenes, monkeypatch):
    """tiny(**sizes) -> a setting of tiny sizes."""

    monkeypatch.chdir(few_scenes)

    def make(**sizes) -> Setting:
        small = dict(
            folder=str(tmp_path), supervised_batch=2, scored=6, decoded=2, pairs=2, evaluated=4, photos=16, epochs=2,
            many_classes=(4, 8), fitted=16, optioned=2, scenes=4,
        )  # fmt: skip
        return Setting(overrides=tiny_overrides, **(small | sizes))

    return make
