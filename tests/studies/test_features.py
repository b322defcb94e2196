import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS
from PIL import Image

from cssa_mm.errors import DataError
from cssa_mm.features.cache import FeatureCache
from cssa_mm.features.training import FeatureCacheHook, Part


@pytest.fixture
def train(tiny_config, tmp_path):
    """train(name, **options of the hook) -> the trained parameters, the buffers and the thresholds, all of them."""

    def call(name, seed=1, **options):
        work_dir = tmp_path / name
        overrides = {f'default_hooks.feature_cache.{key}': value for key, value in options.items()}
        overrides |= {'train_dataloader.dataset.split.seed': seed, 'default_hooks.feature_cache.num_workers': 0}
        runner = Runner.from_cfg(tiny_config(work_dir=str(work_dir), **overrides))
        runner.train()
        state = {k: v for k, v in runner.model.state_dict().items() if k != '_extra_state'}
        return state, (work_dir / 'pseudo_labels.jsonl').read_text()

    return call


def same(one, other) -> bool:
    (state, lines), (other_state, other_lines) = one, other
    return lines == other_lines and all(torch.equal(state[k], other_state[k]) for k in state | other_state)


def test_training_from_kept_features_is_bitwise_that_from_features_of_its_own(train, tmp_path, monkeypatch):
    folder = str(tmp_path / 'features')
    without = train('without')
    fresh = train('fresh', folder=folder)
    (file,) = (tmp_path / 'features').iterdir()
    stamp = file.stat().st_mtime_ns
    loaded = []
    load = FeatureCache.load
    monkeypatch.setattr(FeatureCache, 'load', lambda path: loaded.append(path) or load(path))
    kept = train('kept', folder=folder)
    other_split = train('other', seed=2, folder=folder)
    assert same(without, fresh)
    assert same(without, kept)
    assert not same(without, other_split)
    assert loaded == [file, file]
    assert file.stat().st_mtime_ns == stamp


@pytest.fixture
def parts(make_model, tiny_config):
    model = make_model().eval()
    config = tiny_config()
    dataset = DATASETS.build(config.test_dataloader.dataset)
    pipeline = [dict(step) for step in config.test_dataloader.dataset.pipeline]
    return model, dataset, Part(np.arange(len(dataset)), pipeline, False)


def test_features_are_computed_anew_when_tower_view_or_images_differ(parts, make_model, backbone_config, tmp_path):
    model, dataset, part = parts
    hook = FeatureCacheHook(num_workers=0, folder=str(tmp_path))
    smaller = [part.pipeline[0], dict(type='Resize', scale=(32, 32)), part.pipeline[1]]
    whole = hook.features(model, dataset, [part])
    hook.features(model, dataset, [part])
    assert len(list(tmp_path.iterdir())) == 1
    hook.features(model, dataset, [part._replace(pipeline=smaller)])
    hook.features(model, dataset, [part._replace(indices=np.arange(5))])
    hook.features(make_model(backbone=backbone_config('tiny-vit')).eval(), dataset, [part])
    hook.features(make_model(backbone=backbone_config(global_token=False)).eval(), dataset, [part])
    assert len(list(tmp_path.iterdir())) == 5
    path = dataset.img_paths[0]
    before = open(path, 'rb').read()
    try:
        Image.new('RGB', (64, 64), 'white').save(path)
        changed = hook.features(model, dataset, [part])
    finally:
        open(path, 'wb').write(before)
    view = [(dataset.image_ids[0], False)]
    device = torch.device('cpu')
    assert not torch.equal(whole.lookup(view, device)[1], changed.lookup(view, device)[1])


def test_bad_images_are_known_again_with_the_features(parts, tmp_path):
    from cssa_mm.datasets.bad_images import BadImages

    model, dataset, part = parts
    hook = FeatureCacheHook(num_workers=0, folder=str(tmp_path))
    dataset.bad_images = BadImages()
    dataset.bad_images.reasons[dataset.image_ids[3]] = 'truncated'
    hook.features(model, dataset, [part])
    dataset.bad_images = BadImages()
    hook.features(model, dataset, [part])
    assert dataset.bad_images.reasons == {dataset.image_ids[3]: 'truncated'}


def test_a_broken_file_of_features_says_what_to_do(parts, tmp_path):
    model, dataset, part = parts
    hook = FeatureCacheHook(num_workers=0, folder=str(tmp_path))
    hook.features(model, dataset, [part])
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(DataError, match='found no readable features .* remove the file'):
        hook.features(model, dataset, [part])
