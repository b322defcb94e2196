"""mmpretrain's inferencers with our models: a path gives the pixels that tools/test.py sees."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import Compose
from mmpretrain.apis import FeatureExtractor, ImageClassificationInferencer
from mmpretrain.registry import TRANSFORMS
from PIL import Image

from cssa_mm.datasets import View
from cssa_mm.errors import ConfigError, DataError


@pytest.fixture(scope='module')
def inferencer(config):
    return ImageClassificationInferencer(str(config), pretrained=False, device='cpu')


@pytest.fixture(scope='module')
def paths(tmp_path_factory):
    """Photos whose colours, orientation and transparency every decoder must get right."""
    root = tmp_path_factory.mktemp('photos')
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:24, :, 0] = 255
    pixels[:, :20, 2] = 200
    exif = Image.Exif()
    exif[0x0112] = 6
    alpha = np.full((48, 64, 1), 255, np.uint8)
    alpha[:, 32:] = 0
    Image.fromarray(pixels).save(root / 'a.jpg', exif=exif)
    Image.fromarray(np.concatenate([pixels, alpha], axis=2)).save(root / 'b.png')
    Image.fromarray(pixels).save(root / 'c.png')
    return [str(root / name) for name in ('a.jpg', 'b.png', 'c.png')]


def inputs_of(inferencer, images):
    return [batch['inputs'][0] for batch in inferencer.preprocess(images)]


def test_a_path_gives_the_pixels_of_the_test_pipeline(inferencer, paths):
    steps = inferencer.config.test_dataloader.dataset.pipeline
    pipeline = Compose([TRANSFORMS.build(step) for step in steps])
    for path, found in zip(paths, inputs_of(inferencer, paths), strict=True):
        assert torch.equal(found, pipeline(dict(img_path=path))['inputs'])


@pytest.fixture
def extractor(config):
    """Made anew: a test says the order of its arrays."""
    return FeatureExtractor(str(config), pretrained=False, device='cpu')


def test_an_extractor_takes_arrays_whose_order_is_said(extractor, paths):
    loader = extractor.pipeline.transforms[0]
    assert isinstance(loader, View)
    arrays = [loader.load(path) for path in paths]
    with pytest.raises(DataError, match='found an array and no channel_order'):
        inputs_of(extractor, arrays)
    for order, images in (('rgb', arrays), ('bgr', [array[:, :, ::-1] for array in arrays])):
        extractor.channel_order = order
        for of_array, of_path in zip(inputs_of(extractor, images), inputs_of(extractor, paths), strict=True):
            assert torch.equal(of_array, of_path)
    extractor.channel_order = 'BGR'
    with pytest.raises(ConfigError, match="channel_order: found 'BGR'"):
        inputs_of(extractor, paths)


def test_an_extractor_takes_what_the_predictor_takes(extractor, paths):
    (expected,) = inputs_of(extractor, paths[2:])
    pixels = np.array(Image.open(paths[2]))
    for image in (
        Path(paths[2]),
        Path(paths[2]).read_bytes(),
        Image.open(paths[2]),
        torch.from_numpy(pixels).permute(2, 0, 1),
    ):
        assert torch.equal(inputs_of(extractor, [image])[0], expected)


def test_a_feature_extractor_takes_paths_in_batches(extractor, paths):
    batches = list(extractor.preprocess([paths[1], paths[2], paths[2]], batch_size=3))
    assert [len(batch['inputs']) for batch in batches] == [3]
    assert torch.equal(batches[0]['inputs'][1], batches[0]['inputs'][2])


def test_models_of_others_are_left_to_the_toolbox(paths):
    found = ImageClassificationInferencer('resnet18_8xb32_in1k', pretrained=False, device='cpu')
    (batch,) = found.preprocess(paths[2:])
    array = np.asarray(Image.open(paths[2]))
    (expected,) = found.preprocess([np.ascontiguousarray(array[..., ::-1])])  # the toolbox's convention is BGR
    assert torch.equal(batch['inputs'], expected['inputs'])
