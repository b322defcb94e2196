"""The picture of an explanation, by the artists of the figure."""

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from cssa_mm.visualization.explanation import Explanation
from cssa_mm.visualization.explanation_figure import MOST, draw_explanation, explanation_figure

RULE = 'Bright: where the features point the way of the prompt. ' * 2


def explanation(count: int, shape: tuple[int, int] = (90, 120)) -> Explanation:
    rng = np.random.default_rng(count)
    return Explanation(
        image=rng.integers(0, 256, (*shape, 3), dtype=np.uint8),
        names=tuple(f'label {n} with a name that is too long for it' if n % 3 else '$5' for n in range(count)),
        scores=tuple(0.9 - 0.05 * n for n in range(count)),
        thresholds=tuple((0.5, 0.99, math.nan)[n % 3] for n in range(count)),
        maps=rng.random((count, *shape)).astype(np.float32),
        peaks=np.full((count, 2), 10.0),
        rule=RULE,
        path='photos/a photo.jpg',
    )


@pytest.mark.parametrize(
    ('count', 'shape'),
    [(count, (90, 120)) for count in (1, 2, 3, 4, 7, 8, 9, 12)] + [(1, (60, 300)), (5, (300, 60)), (12, (60, 300))],
)
def test_nothing_overlaps_or_leaves_the_picture_whatever_the_number_of_labels(count, shape):
    figure = explanation_figure(explanation(count, shape))
    figure.canvas.draw()
    photo, *panels = figure.axes
    assert len(panels) == count
    texts = [*figure.texts, photo.title]
    for panel in panels:
        texts += [panel.title, *panel.texts]
    boxes = [artist.get_window_extent() for artist in (*texts, *figure.axes)]
    for box in boxes:
        assert figure.bbox.x0 - 1 <= box.x0 < box.x1 <= figure.bbox.x1 + 1
        assert figure.bbox.y0 - 1 <= box.y0 < box.y1 <= figure.bbox.y1 + 1
    for one, other in combinations(boxes, 2):
        assert not one.overlaps(other)


def test_every_label_has_its_score_and_threshold_and_the_rule_stands_below():
    found = explanation(3)
    figure = explanation_figure(found)
    photo, *panels = figure.axes
    assert photo.get_title() == 'a photo.jpg'
    assert panels[0].get_title() == '$5'
    assert panels[1].get_title().startswith('label 1')
    assert panels[1].get_title().endswith('…')
    assert [panel.texts[0].get_text() for panel in panels] == [found.verdict(number) for number in range(3)]
    (text,) = figure.texts
    assert text.get_text().replace('\n', ' ') == RULE.strip()


def test_more_labels_than_fit_are_left_out():
    assert len(explanation_figure(explanation(15)).axes) == 1 + MOST


def test_the_picture_is_written(tmp_path):
    path = draw_explanation(explanation(5), tmp_path / 'new' / 'a.png')
    assert min(Image.open(path).size) > 300


@pytest.mark.parametrize(
    ('truth', 'is_true', 'expected'),
    [
        (None, None, ''),
        ((), None, 'True labels: none.'),
        (('label 0', 'a $price$'), (True, None, None), 'True labels: label 0, a $price$.'),
        (('label 0',), (True, False, None), 'True labels: label 0. Red: predicted, and not true.'),
    ],
)
def test_true_labels_stand_above_the_rule(truth, is_true, expected):
    found = replace(explanation(3), is_true=is_true)
    (caption,) = explanation_figure(found, truth).texts
    lines = caption.get_text().split('\n')
    assert lines[0] == (expected or explanation_figure(found).texts[0].get_text().split('\n')[0])
    assert ' '.join(lines[1 if expected else 0 :]) == found.rule.rstrip()
