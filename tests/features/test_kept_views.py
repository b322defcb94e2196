import numpy as np
import pytest
from mmpretrain.registry import TRANSFORMS

from cssa_mm.datasets.view import View
from cssa_mm.errors import ConfigError
from cssa_mm.features.kept_views import MIRRORED, PLAIN, Part, description_of, strong_pipeline, strong_seed, strong_side


def test_a_part_names_its_views(dataset):
    indices = np.array([3, 0])
    for side, rest in ((PLAIN, (False,)), (MIRRORED, (True,)), (strong_side(2), ('strong', 2))):
        assert Part(indices, side).views(dataset) == [(dataset.image_ids[i], *rest) for i in (3, 0)]
    assert Part(indices, strong_side(2)).description == 'Encoding strong views 3'


def test_strong_views_need_a_pipeline_that_packs(dataset):
    dataset.pipeline.transforms.pop()
    with pytest.raises(ConfigError, match='strong_views: found a training pipeline that ends with RandomFlip'):
        strong_pipeline(dataset)


def test_each_strong_view_of_each_image_has_a_seed_of_its_own():
    seeds = [strong_seed(image_id, number) for image_id in ('a', 'b', 'ab') for number in range(5)]
    assert len(set(seeds)) == 15
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert strong_seed('a', 0) == strong_seed('a', 0)


def test_transforms_with_other_options_are_described_otherwise():
    def rotating(degrees, policy='Rotate', **options):
        policies = [dict(type=policy, magnitude_range=(0, degrees))]
        return dict(type='RandAugment', policies=policies, num_policies=1, magnitude_level=10, **options)

    configs = [
        dict(type='RandomFlip', prob=0.5),
        dict(type='RandomFlip', prob=0.4),
        dict(type='Cutout', shape=8),
        dict(type='Cutout', shape=8, pad_val=[1, 2, 3]),
        rotating(30),
        rotating(20),
        rotating(30, 'Sharpness'),
        rotating(30, magnitude_std='inf'),
        dict(type='View', size=32),
    ]
    built = [[description_of(TRANSFORMS.build(dict(config))) for config in configs] for _ in range(2)]
    assert built[0] == built[1]
    assert len({repr(each) for each in built[0]}) == len(configs)
    assert description_of(View(size=32)) == description_of(View(size=32, backend_args=dict(backend='local')))
    assert description_of([np.arange(2), np.float32(0.5), len, None]) == [[0, 1], 0.5, 'builtins.len', None]
