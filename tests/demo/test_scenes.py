import hashlib
import json

import numpy as np
import pytest

from cssa_mm.demo import drawing
from cssa_mm.demo.drawing import SceneStyle, draw_scene
from cssa_mm.demo.glyphs import (
    CLASS_GLYPHS,
    CLASS_NAMES,
    CONTEXT_OF,
    SIBLING_GLYPHS,
    SIBLING_NAMES,
    glyph_mask,
)
from cssa_mm.demo.scenes import (
    SceneMix,
    demo_scene,
    generate_demo,
    sample_classes,
    scene_rng,
)
from cssa_mm.errors import DataError


def digests(root):
    files = sorted(path for path in root.rglob('*') if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def coco(root, part):
    return json.loads((root / 'annotations' / f'{part}.json').read_text())


@pytest.fixture(scope='module')
def demo(tmp_path_factory):
    return generate_demo(tmp_path_factory.mktemp('data') / 'icons', num_train=12, num_test=8, seed=3)


def test_the_same_parameters_give_the_same_bytes(demo, tmp_path):
    again = generate_demo(tmp_path / 'icons', num_train=12, num_test=8, seed=3)
    assert digests(again) == digests(demo)
    assert digests(generate_demo(tmp_path / 'other', num_train=12, num_test=8, seed=4)) != digests(demo)


def test_a_scene_does_not_depend_on_how_many_are_made(demo, tmp_path):
    fewer = generate_demo(tmp_path / 'icons', num_train=5, num_test=3, seed=3)
    full = digests(demo)
    pictures = {name: digest for name, digest in digests(fewer).items() if name.endswith('.jpg')}
    assert len(pictures) == 8
    assert all(full[name] == digest for name, digest in pictures.items())


def test_another_test_seed_changes_the_test_part_alone(demo, tmp_path):
    fresh = digests(generate_demo(tmp_path / 'icons', num_train=12, num_test=8, seed=3, test_seed=11))
    for name, digest in digests(demo).items():
        if name.endswith('.jpg') or name.startswith('annotations'):
            assert (fresh[name] == digest) == ('train' in name), name


def test_training_test_and_pretraining_scenes_are_disjoint(demo):
    assert not {d for n, d in digests(demo).items() if n.startswith('train/')} & {
        d for n, d in digests(demo).items() if n.startswith('test/')
    }
    first = {stream: scene_rng(stream, 3, 0).random(4).tolist() for stream in ('train', 'test', 'pretraining')}
    assert first['train'] != first['test'] != first['pretraining'] != first['train']
    ids = [{image['id'] for image in coco(demo, part)['images']} for part in ('train', 'test')]
    assert not ids[0] & ids[1]


def test_annotations_describe_the_scenes_that_were_drawn(demo):
    content = coco(demo, 'train')
    assert [category['name'] for category in content['categories']] == list(CLASS_NAMES)
    for index, image in enumerate(content['images']):
        scene = demo_scene('train', 3, index)
        found = [a for a in content['annotations'] if a['image_id'] == image['id']]
        assert {a['category_id'] - 1 for a in found} == set(np.flatnonzero(scene.labels()))
        assert sorted(tuple(a['bbox']) for a in found) == sorted(scene.boxes)
        for x, y, width, height in scene.boxes:
            assert 0 <= x
            assert 0 <= y
            assert x + width <= image['width']
            assert y + height <= image['height']


def test_a_box_holds_the_pictograph_and_nothing_outside_it_changes():
    """Oracle: the scene drawn again with the same random numbers and without ink differs in the box alone."""
    label = CLASS_NAMES.index('anchor')
    style = SceneStyle(letters=0)
    scene = draw_scene(np.random.default_rng(5), [label], style, siblings=[])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, '_stamp', lambda image, colour, area, mask: None)
        empty = draw_scene(np.random.default_rng(5), [label], style, siblings=[])
    changed = np.abs(np.asarray(scene.image, int) - np.asarray(empty.image, int)).sum(2) > 0
    rows, columns = np.nonzero(changed)
    x, y, width, height = scene.boxes[0]
    assert changed.sum() > 100
    found = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    assert found == pytest.approx((x, y, x + width, y + height), abs=2)
    assert columns.min() >= x
    assert rows.min() >= y
    assert columns.max() < x + width
    assert rows.max() < y + height


def test_demo_labels_co_occur_by_context_and_pretraining_labels_do_not():
    """Share of label pairs inside one context: far above chance in the demo, at chance when uniform."""

    def share(mix):
        inside = total = 0
        for index in range(1500):
            classes = sorted(set(sample_classes(np.random.default_rng([7, index]), mix)))
            for i, one in enumerate(classes):
                for other in classes[i + 1 :]:
                    inside += CONTEXT_OF[one] == CONTEXT_OF[other]
                    total += 1
        return inside / total

    sizes = np.bincount(CONTEXT_OF)
    chance = (sizes * (sizes - 1)).sum() / (len(CLASS_NAMES) * (len(CLASS_NAMES) - 1))
    assert share(SceneMix()) > 3 * chance
    assert share(SceneMix(contextual=False)) == pytest.approx(chance, abs=0.03)


def test_class_frequencies_have_a_moderate_tail():
    rates = np.mean([demo_scene('train', 1, index).labels() for index in range(600)], axis=0)
    assert 0.02 < rates.min() < 0.09
    assert 0.12 < rates.max() < 0.3


def test_every_pictograph_exists_in_the_font_and_is_unlike_the_others():
    missing = np.asarray(glyph_mask('\U0010fffd')).tobytes()
    masks = [np.asarray(glyph_mask(glyph)).tobytes() for glyph in (*CLASS_GLYPHS, *SIBLING_GLYPHS)]
    assert missing not in masks
    assert len(set(masks)) == len(masks)
    assert len(CLASS_NAMES) == len(CLASS_GLYPHS) == len(SIBLING_GLYPHS) == len(SIBLING_NAMES) == 24


def test_a_second_call_reuses_the_data_and_other_parameters_replace_it(tmp_path):
    root = generate_demo(tmp_path / 'icons', num_train=2, num_test=2)
    before = (root / 'meta.json').stat().st_mtime_ns
    generate_demo(root, num_train=2, num_test=2)
    assert (root / 'meta.json').stat().st_mtime_ns == before
    generate_demo(root, num_train=3, num_test=2)
    assert len(list((root / 'train').iterdir())) == 3
    assert [path.name for path in tmp_path.iterdir()] == ['icons']


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / 'holiday.txt').write_text('mine')
    with pytest.raises(DataError, match='holds something other than demo data'):
        generate_demo(tmp_path, num_train=1, num_test=1)
    assert (tmp_path / 'holiday.txt').read_text() == 'mine'


@pytest.mark.parametrize('wrong', [dict(num_train=0), dict(num_test=-1), dict(seed=-1), dict(test_seed=-2)])
def test_impossible_parameters_are_refused(tmp_path, wrong):
    with pytest.raises(DataError, match='expected at least one scene'):
        generate_demo(tmp_path / 'icons', **wrong)
