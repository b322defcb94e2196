import numpy as np
import pytest

from cssa_mm.apis.browsing import browse, choose, describe_labels
from cssa_mm.errors import ConfigError

NAMES = ['dog', 'cat', 'sun']


@pytest.fixture
def drawn(config, tmp_path, monkeypatch):
    """drawn(**options) -> the pairs that `browse` would draw."""

    def call(num: int = 6, **options) -> list:
        pairs = []
        monkeypatch.setattr('cssa_mm.apis.browsing.draw_view_pairs', lambda found, out: pairs.extend(found))
        browse(**dict(config=config, out=tmp_path / 'a.png') | options, num=num)
        return pairs

    return call


def test_half_of_the_images_are_labelled_and_an_unlabelled_one_shows_no_label(drawn):
    pairs = drawn(num=7)
    assert [pair.is_labelled for pair in pairs] == [True] * 4 + [False] * 3
    assert all(pair.known == 'all 6 cells -1' for pair in pairs[4:])
    assert all('-1' not in pair.known for pair in pairs[:4])
    assert len({pair.image_id for pair in pairs}) == 7


def test_the_config_s_seed_decides_images_and_views(drawn):
    first, second, other = drawn(), drawn(), drawn(overrides={'randomness.seed': 3})
    for one, same in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.strong, same.strong)
    assert [pair.image_id for pair in first] != [pair.image_id for pair in other]


def test_the_weak_view_is_the_one_that_the_hook_scores(drawn):
    assert {pair.weak.shape for pair in drawn()} == {(64, 64, 3)}
    strong = [dict(type='LoadRGBImage'), dict(type='PackInputs', meta_keys=('image_id', 'is_labelled', 'flip'))]
    pairs = drawn(overrides={'view.size': 32, 'train_dataloader.dataset.pipeline': strong})
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
        (dict(overrides=dict(train_dataloader=None)), 'found no train_dataloader'),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(drawn, options, message):
    with pytest.raises(ConfigError, match=message) as caught:
        drawn(**options)
    assert '\n' not in str(caught.value)


def test_the_result_names_the_picture_the_images_and_the_steps_of_both_views(config, tmp_path):
    result = browse(config=config, out=tmp_path / 'a.pdf', num=2)
    assert result.path == tmp_path / 'a.pdf'
    assert result.path.read_bytes().startswith(b'%PDF')
    assert (result.num_labelled, result.num_unlabelled, result.num_classes) == (16, 24, 6)
    assert result.weak == ('View', 'PackInputs')
    assert result.strong == ('View', 'RandomFlip', 'Cutout', 'RandAugment', 'PackInputs')
