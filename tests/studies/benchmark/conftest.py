"""A benchmark of tiny sizes."""

import pytest

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


@pytest.fixture
def tiny(tiny_overrides, tmp_path):
    """tiny(**sizes) -> a setting of tiny sizes."""

    def make(**sizes) -> Setting:
        small = dict(
            supervised_batch=2, scored=6, decoded=2, pairs=2, evaluated=4, photos=16, epochs=2, many_classes=(4, 8),
            fitted=16, optioned=2, scenes=4,
        )  # fmt: skip
        return Setting(overrides=tiny_overrides, folder=str(tmp_path), **(small | sizes))

    return make
