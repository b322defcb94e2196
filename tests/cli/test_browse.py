"""Pictures of the data: our browse_data, and mmpretrain's browse_dataset on our configs."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from cssa_mm.apis.browsing import browse_data, choose, describe_labels
from cssa_mm.errors import ConfigError

pytestmark = pytest.mark.cli
NAMES = ['dog', 'cat', 'sun']


def test_the_command_draws_weak_and_strong_pairs(quick_run, config, tmp_path):
    out = tmp_path / 'new' / 'pairs.png'
    done = quick_run('tools/browse_data.py', config, '--out', out, '--num', '4')
    assert done.returncode == 0, done.stderr[-3000:]
    assert '16 labelled and 24 unlabelled training images, 6 classes' in done.stdout
    assert 'weak:   LoadRGBImage, PackInputs' in done.stdout
    assert 'strong: LoadRGBImage, RandomFlip, Cutout, RandAugment, PackInputs' in done.stdout
    assert done.stdout.endswith(f'picture: {out}\n')
    with Image.open(out) as picture:
        assert picture.width > picture.height > 300
        assert len(np.unique(np.asarray(picture.convert('L')))) > 50
    assert [path.name for path in out.parent.iterdir()] == ['pairs.png']


@pytest.fixture
def drawn(config, tmp_path, monkeypatch):
    """drawn(**options) -> the pairs that browse_data would draw."""

    def call(num: int = 6, cfg_options: dict | None = None, **options) -> list:
        pairs = []
        monkeypatch.setattr('cssa_mm.apis.browsing.draw_view_pairs', lambda found, out: pairs.extend(found))
        arguments = dict(config=str(config), out=str(tmp_path / 'a.png'), data_root=None)
        browse_data(SimpleNamespace(**arguments | options, num=num, cfg_options=cfg_options))
        return pairs

    return call


def test_half_of_the_images_are_labelled_and_an_unlabelled_one_shows_no_label(drawn):
    pairs = drawn(num=7)
    assert [pair.is_labelled for pair in pairs] == [True] * 4 + [False] * 3
    assert all(pair.known == 'all 6 cells -1' for pair in pairs[4:])
    assert all('-1' not in pair.known for pair in pairs[:4])
    assert len({pair.image_id for pair in pairs}) == 7


def test_the_config_s_seed_decides_images_and_views(drawn):
    first, second, other = drawn(), drawn(), drawn(cfg_options={'randomness.seed': 2})
    for one, same in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.strong, same.strong)
    assert [pair.image_id for pair in first] != [pair.image_id for pair in other]


def test_the_weak_view_is_the_one_that_the_hook_scores(drawn):
    smaller = [dict(type='LoadRGBImage'), dict(type='Resize', scale=(32, 32)), dict(type='PackInputs')]
    assert {pair.weak.shape for pair in drawn()} == {(64, 64, 3)}
    pairs = drawn(cfg_options={'default_hooks.pseudo_labels.pipeline': smaller})
    assert {pair.weak.shape for pair in pairs} == {(32, 32, 3)}
    assert {pair.strong.shape for pair in pairs} == {(64, 64, 3)}


@pytest.mark.parametrize(
    ('labelled', 'unlabelled', 'num', 'expected'),
    [
        (10, 10, 6, (3, 3)),
        (10, 10, 5, (3, 2)),
        (1, 10, 6, (1, 5)),
        (10, 2, 6, (4, 2)),
        (2, 1, 6, (2, 1)),
        (4, 0, 3, (3, 0)),
    ],
)
def test_one_kind_fills_up_where_the_other_has_not_enough(labelled, unlabelled, num, expected):
    chosen = choose(np.arange(labelled), 100 + np.arange(unlabelled), num, np.random.default_rng(0))
    assert ((chosen < 100).sum(), (chosen >= 100).sum()) == expected
    assert len(set(chosen)) == len(chosen)


@pytest.mark.parametrize(
    ('labels', 'text'),
    [
        ([1, 0, 1], 'dog, sun'),
        ([0, 0, 0], 'none of the classes'),
        ([1, -1, -1], 'dog | unknown (-1): cat, sun'),
        ([0, -1, 0], 'none of the classes | unknown (-1): cat'),
        ([-1, -1, -1], 'all 3 cells -1'),
    ],
)
def test_labels_are_described_with_their_unknown_cells(labels, text):
    assert describe_labels(np.array(labels, np.int8), NAMES) == text


def test_of_many_classes_the_first_are_named():
    text = describe_labels(np.ones(9, np.int8), [f'class {c}' for c in range(9)])
    assert text == 'class 0, class 1, class 2, class 3, class 4, class 5, 3 more'


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(num=0), '--num: found 0, expected 1 or more'),
        (dict(out='pairs.txt'), "--out: found 'pairs.txt', expected a name that ends with .*[.]png"),
        (dict(cfg_options=dict(train_dataloader=None)), 'found no train_dataloader'),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(drawn, options, message):
    with pytest.raises(ConfigError, match=message) as caught:
        drawn(**options)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('mode', ['transformed', 'pipeline'])
def test_mmpretrain_s_browse_dataset_shows_our_data(quick_run, config, tmp_path, mode):
    arguments = ['--not-show', '--output-dir', tmp_path, '--show-number', '3', '--mode', mode]
    done = quick_run('tools/toolbox.py', 'visualization/browse_dataset', config, *arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    pictures = sorted(tmp_path.glob('*.jpg'))
    assert len(pictures) == 3
    assert all(len(np.unique(np.asarray(Image.open(path).convert('L')))) > 50 for path in pictures)


def test_an_unknown_tool_is_named_with_the_nearest_one(quick_run):
    done = quick_run('tools/toolbox.py', 'visualization/browse_data')
    assert done.returncode == 2
    assert "Did you mean 'visualization/browse_dataset'?" in done.stderr
