"""The weak and the strong view of the photos' configs."""

from pathlib import Path

import numpy as np
import open_clip
import pytest
from mmengine.config import Config
from mmpretrain.datasets import RandAugment
from mmpretrain.registry import TRANSFORMS

from cssa_mm.datasets import COCOMultiLabelDataset, LoadRGBImage
from cssa_mm.datasets.sample_key import SampleKey, seed_generators
from cssa_mm.datasets.views import paired_views

CONFIGS = Path(__file__).parents[2] / 'configs'
RAMP = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2).repeat(64, axis=0)


@pytest.fixture(scope='module')
def config() -> Config:
    return Config.fromfile(CONFIGS / 'cssa_coco_p05.py')


@pytest.fixture(scope='module')
def weak(config) -> list[dict]:
    return config.val_dataloader.dataset.pipeline


@pytest.fixture(scope='module')
def strong(config) -> list[dict]:
    return config.train_dataloader.dataset.pipeline


def step_of(pipeline: list[dict], kind: str) -> dict:
    (step,) = [step for step in pipeline if step['type'] == kind]
    return step


def test_the_weak_view_is_a_resize_and_the_strong_one_adds_flip_cutout_and_randaugment(weak, strong):
    assert [step['type'] for step in weak] == ['View', 'PackInputs']
    assert [step['type'] for step in strong] == [
        'View', 'RandomFlip', 'Cutout', 'RandAugment', 'PackInputs',
    ]  # fmt: skip
    assert weak[0] == strong[0]


def test_a_pair_is_decoded_once_and_is_bitwise_what_scoring_and_training_see(coco_options, weak, strong, monkeypatch):
    plain, augmented = (COCOMultiLabelDataset(**coco_options, pipeline=steps) for steps in (weak, strong))
    pairs = plain.with_pipeline(paired_views(weak, strong))
    decoded = []
    load = LoadRGBImage.load
    monkeypatch.setattr(LoadRGBImage, 'load', lambda self, path: decoded.append(path) or load(self, path))
    for index in range(len(plain)):
        key = SampleKey(index, 100 + index)
        decoded.clear()
        strong_view, weak_view = pairs[key]['img']
        assert decoded == [plain.img_paths[index]]
        np.testing.assert_array_equal(weak_view, plain[key]['inputs'].permute(1, 2, 0).numpy())
        np.testing.assert_array_equal(strong_view, augmented[key]['inputs'].permute(1, 2, 0).numpy())
        assert (strong_view != weak_view).any()


def test_views_depend_on_the_key_alone(coco_options, weak, strong):
    data = COCOMultiLabelDataset(**coco_options, pipeline=paired_views(weak, strong))
    first = [data[SampleKey(2, seed)]['img'] for seed in (5, 6)]
    np.random.seed(99)
    second = [data[SampleKey(2, seed)]['img'] for seed in (5, 6)]
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (first[0][0] != first[1][0]).any()


def test_views_that_share_nothing_still_come_in_pairs(coco_options):
    twice = [dict(type='LoadRGBImage'), dict(type='Resize', scale=(8, 8))]
    data = COCOMultiLabelDataset(**coco_options, pipeline=paired_views(twice[:1], twice))
    strong_view, weak_view = data[SampleKey(0, 0)]['img']
    assert strong_view.shape == (8, 8, 3)
    assert weak_view.shape == (20, 30, 3)


def test_cutout_hides_a_square_of_half_the_side_as_far_as_it_lies_in_the_image(strong):
    cutout = TRANSFORMS.build(step_of(strong, 'Cutout'))
    areas = []
    for seed in range(60):
        seed_generators(seed)
        hidden = (cutout(dict(img=np.full((224, 224, 3), 255, np.uint8)))['img'] != 255).any(-1)
        rows, columns = np.flatnonzero(hidden.any(1)), np.flatnonzero(hidden.any(0))
        assert hidden[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        areas.append(hidden.sum())
    assert max(areas) == 112 * 112
    assert min(areas) >= 55 * 55  # its centre is always inside


def test_randaugment_has_the_strength_of_cap(strong):
    """Two of fifteen operations, each applied with probability .5 at a level drawn evenly from 0 to the full range."""
    augment = TRANSFORMS.build(step_of(strong, 'RandAugment'))
    assert augment.num_policies == 2
    assert len(augment.transforms) == 15
    assert {operation.prob for operation in augment.transforms} == {0.5}
    limits = dict(Rotate=30, Solarize=256, ColorTransform=0.9, Shear=0.3, Translate=0.45, Posterize=8, Cutout=20)
    for operation in augment.transforms:
        if operation.magnitude_range is None:
            continue
        low, high = sorted(operation.magnitude_range)
        assert high == limits.get(type(operation).__name__, 0.9)
        seed_generators(0)
        drawn = (np.array([operation.random_magnitude() for _ in range(4000)]) - low) / (high - low)
        assert drawn.min() >= 0
        assert drawn.max() <= 1
        counts, _ = np.histogram(drawn, bins=4, range=(0, 1))
        assert (abs(counts - 1000) < 120).all(), operation


def test_posterize_leaves_four_bits_where_the_preset_of_the_toolbox_leaves_none(strong):
    def fewest_colours(policies) -> int:
        step = dict(step_of(strong, 'RandAugment'), magnitude_std=0.0, policies=policies)
        augment = TRANSFORMS.build(step)
        (posterize,) = [each for each in augment.transforms if type(each).__name__ == 'Posterize']
        posterize.prob = 1.0
        return len(np.unique(posterize(dict(img=RAMP.copy()))['img']))

    assert fewest_colours(step_of(strong, 'RandAugment')['policies']) == 16
    assert fewest_colours('timm_increasing') == 1


def test_no_operation_at_full_strength_wipes_an_image_out(strong):
    step = dict(step_of(strong, 'RandAugment'), magnitude_std=0.0)
    for operation in RandAugment(**{key: value for key, value in step.items() if key != 'type'}).transforms:
        operation.prob = 1.0
        for seed in range(4):  # both signs
            seed_generators(seed)
            image = operation(dict(img=RAMP.copy()))['img']
            assert len(np.unique(image)) >= 16, operation


def test_what_is_cut_out_has_the_mean_colour_of_the_clip(config, strong):
    backbone = config.model.backbone
    mean = open_clip.get_pretrained_cfg(backbone.model_name, backbone.pretrained)['mean']
    assert np.allclose(step_of(strong, 'Cutout')['pad_val'], [255 * value for value in mean], atol=1)


def test_pixels_are_normalised_as_the_preprocessing_config_of_open_clip_says(make_model, monkeypatch):
    own = dict(mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.5))
    monkeypatch.setattr('cssa_mm.models.open_clip_loader.open_clip.get_model_preprocess_cfg', lambda model: own)
    preprocessor = make_model().data_preprocessor
    assert preprocessor.mean.flatten().tolist() == pytest.approx([127.5, 102.0, 76.5])
    assert preprocessor.std.flatten().tolist() == pytest.approx([51.0, 63.75, 127.5])
