"""Class names in any script: drawn by a font that has it, or shown by their number."""

import numpy as np
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cssa_mm.visualization.fonts import DrawableNames, columns, families_for

# What matplotlib's own fonts draw.
KNOWN = ['dog', 'собака', 'ελλάδα', 'قطة', 'שלום', 'café']


def picture(text, families):
    figure = Figure((3, 1), dpi=80)
    canvas = FigureCanvasAgg(figure)
    figure.text(0.1, 0.4, text, family=list(families), parse_math=False)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., 0]


def test_names_that_no_font_draws_are_shown_by_their_number(monkeypatch):
    own = [entry for entry in font_manager.fontManager.ttflist if 'mpl-data' in entry.fname]
    monkeypatch.setattr(font_manager.fontManager, 'ttflist', own)
    families_for.cache_clear()
    found = DrawableNames.of(['dog', '黑狗', *KNOWN])
    families_for.cache_clear()
    assert found.names[:3] == ('dog', 'class 1', 'dog')
    assert [name.strip('\u200e') for name in found.names[2:]] == KNOWN


def test_each_letter_gets_a_font_that_has_it():
    families, missing = families_for(frozenset(''.join(KNOWN)))
    assert missing == frozenset()
    charmaps = [font_manager.get_font(font_manager.findfont(name)).get_charmap() for name in families]
    for letter in set(''.join(KNOWN)):
        assert any(ord(letter) in charmap for charmap in charmaps), letter
    assert families_for(frozenset('dog'))[0] == ('monospace',)


def test_a_name_from_right_to_left_keeps_its_line():
    assert DrawableNames.of(['dog', 'שלום']).names == ('dog', '\u200eשלום')
    name = DrawableNames.of(['שלום'])
    line = picture(f'7, 0.62 ({name.names[0]})', name.families)
    start = picture('7, 0.62 (', name.families)
    ink = np.flatnonzero((start < 128).any(0))
    assert np.array_equal(line[:, : ink[-1]], start[:, : ink[-1]])


def test_dollar_signs_are_no_formula():
    assert (picture('US$ or $x', ['monospace']) < 128).any()


def test_wide_letters_count_twice():
    assert columns('dog') == 3
    assert columns('狗dog') == 5
