"""Frozen features of the toy data."""

import pytest
import torch
from mmpretrain.registry import DATASETS

from cssa_mm.datasets.view import View
from cssa_mm.features.frozen_features import FrozenFeatures

VIEW = View(size=None)
CUTOUT = dict(type='Cutout', shape=8, prob=1.0)
PACK = dict(type='PackInputs', meta_keys=('image_id', 'is_labelled', 'flip'))


@pytest.fixture(scope='module')
def model(make_model):
    return make_model()


@pytest.fixture
def dataset(tiny_config):
    return DATASETS.build(tiny_config().train_dataloader.dataset)


@pytest.fixture
def features(model, dataset):
    """features(view, data=None, gib=1, folder=None, ...) -> FrozenFeatures of the training set."""
    return lambda view=VIEW, data=None, **options: FrozenFeatures(model, data or dataset, view, **options)


@pytest.fixture
def encoded(model, monkeypatch):
    """How many images the tower has encoded, as a list with one entry a batch."""
    counts, original = [], type(model.backbone).forward
    forward = lambda self, images: counts.append(len(images)) or original(self, images)  # noqa: E731
    monkeypatch.setattr(type(model.backbone), 'forward', forward)
    return counts


@pytest.fixture
def strong(dataset):
    """strong(): let training draw views that are not the plain one."""

    def draw() -> None:
        steps = [VIEW.as_config(), dict(type='RandomFlip', prob=0.5), CUTOUT, PACK]
        dataset.pipeline = dataset.with_pipeline(steps).pipeline

    return draw


@pytest.fixture
def reference(model, dataset):
    """reference(indices, mirrored=False) -> features of images that are read here, all at once."""

    def encode(indices, mirrored=False):
        pixels = [VIEW(dict(img_path=dataset.img_paths[index]))['img'] for index in indices]
        inputs = [torch.from_numpy((p[:, ::-1] if mirrored else p).copy()).permute(2, 0, 1) for p in pixels]
        with torch.no_grad():
            return model.backbone(model.data_preprocessor(dict(inputs=torch.stack(inputs)))['inputs'])

    return encode
