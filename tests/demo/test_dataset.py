import functools
import json

import pytest

from cssa_mm.demo import dataset as module
from cssa_mm.demo.dataset import IconsDataset
from cssa_mm.demo.scenes import CLASS_NAMES, demo_scene, generate_demo
from cssa_mm.errors import ConfigError, DataError


@pytest.fixture
def few_scenes(monkeypatch):
    monkeypatch.setattr(module, 'generate_demo', functools.partial(generate_demo, num_train=30, num_test=10))


@pytest.mark.usefixtures('few_scenes')
def test_missing_scenes_are_drawn_and_agree_with_their_annotation(tmp_path):
    root = tmp_path / 'icons'
    train = IconsDataset(data_root=str(root), split=dict(proportion=0.1, seed=1))
    test = IconsDataset(data_root=str(root), subset='test', test_mode=True)
    assert (len(train), len(test)) == (30, 10)
    assert train.class_names == list(CLASS_NAMES)
    annotation = json.loads((root / 'annotations' / 'train.json').read_text())
    names = {category['id']: category['name'] for category in annotation['categories']}
    expected: dict[str, set] = {image_id: set() for image_id in train.image_ids}
    for item in annotation['annotations']:
        expected[str(item['image_id'])].add(names[item['category_id']])
    for image_id, row in zip(train.image_ids, train.hidden_labels, strict=True):
        assert {CLASS_NAMES[c] for c in row.nonzero()[0]} == expected[image_id]
    assert set(train.image_ids).isdisjoint(test.image_ids)


@pytest.mark.usefixtures('few_scenes')
def test_scenes_that_are_there_are_left_alone(tmp_path):
    generate_demo(tmp_path / 'icons', num_train=3, num_test=2, seed=7)
    assert len(IconsDataset(data_root=str(tmp_path / 'icons'), keep_empty=True)) == 3


def test_only_rank_0_draws(tmp_path, monkeypatch):
    events = []

    def barrier():
        """Rank 0 finishes while the others wait."""
        events.append('barrier')
        generate_demo(tmp_path / 'icons', num_train=3, num_test=2)

    monkeypatch.setattr(module, 'generate_demo', lambda root: events.append('drawn'))
    monkeypatch.setattr(module.dist, 'is_main_process', lambda: False)
    monkeypatch.setattr(module.dist, 'barrier', barrier)
    IconsDataset(data_root=str(tmp_path / 'icons'))
    assert events == ['barrier']


def test_scenes_of_another_generator_version_are_refused(tmp_path):
    root = generate_demo(tmp_path / 'icons', num_train=3, num_test=2)
    meta = json.loads((root / 'meta.json').read_text())
    (root / 'meta.json').write_text(json.dumps({**meta, 'generator_version': -1}))
    with pytest.raises(DataError, match="meta.json: found scenes of generator version -1.*remove '"):
        IconsDataset(data_root=str(root))


def test_an_unknown_subset_is_refused_with_the_nearest_one():
    with pytest.raises(ConfigError, match="found 'tset', expected one of train, test. Did you mean 'test'"):
        IconsDataset(subset='tset')


def test_scenes_know_the_boxes_of_their_icons(tmp_path):
    """Oracle: the scenes drawn again."""
    root = generate_demo(tmp_path / 'icons', num_train=2, num_test=4, seed=3)
    found = IconsDataset(data_root=str(root), subset='test', keep_empty=True).boxes()
    assert len(found) == 4
    for index, (boxes, size) in enumerate(found):
        scene = demo_scene('test', 3, index)
        assert size == scene.image.size
        expected = [(c, [x, y, x + w, y + h]) for c, (x, y, w, h) in zip(scene.classes, scene.boxes, strict=True)]
        assert sorted((c, corners) for c, each in boxes.items() for corners in each.tolist()) == sorted(expected)
