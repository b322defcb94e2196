"""Charts for pages: SVG text that follows the colours of its page, in light, dark and on paper.

The same values give the same bytes. Texts stay texts, in the letters of the page.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from html import escape

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cssa_mm.visualization.pages.report_data import ClassRow, Contexts, Curve, PseudoLabelEpoch
from cssa_mm.visualization.style import ACCENT, COLOURS, DOTS, INK, MUTED, SECOND, plain_axes

# Colours of the figures -> those of the page (style.css and report.css).
PAGE_COLOURS = {INK: 'currentColor', '#000000': 'currentColor', ACCENT: 'var(--accent)', SECOND: 'var(--second)'}
PAGE_COLOURS |= {MUTED: 'var(--muted)', **{colour: f'var(--line-{n})' for n, colour in enumerate(COLOURS[2:6], 3)}}
CELL = np.array([26, 154, 146]) / 255  # of a matrix: seen on white and on black; more of it is more
FEW = 40  # points up to which each gets a dot


def curves_chart(title: str, curves: Sequence[Curve], unit: str = '') -> Markup:
    """Lines over the epochs, one a curve."""
    figure, axes = _figure(6.4, 3.4)
    for number, curve in enumerate(curves):
        colour = COLOURS[number % (len(COLOURS) - 1)]
        dots = DOTS if len(curve.epochs) <= FEW else {}
        axes.plot(curve.epochs, curve.values, color=colour, label=_text(curve.name), **dots)
    axes.set(xlabel='epoch', ylabel=unit)
    _whole_epochs(axes)
    axes.legend(frameon=False)
    return _svg(figure, title, ', '.join(curve.name for curve in curves))


def pseudo_label_chart(epochs: Sequence[PseudoLabelEpoch]) -> Markup:
    """Precision, recall and masked share of the pseudo-labels, in per cent, over the epochs."""
    numbers = tuple(float(epoch.epoch) for epoch in epochs)
    columns = {
        name: tuple(100 * getattr(epoch, name) for epoch in epochs) for name in ('precision', 'recall', 'masked')
    }
    names = dict(precision='precision', recall='recall', masked='masked share')
    known = [Curve(names[name], numbers, values) for name, values in columns.items() if not np.isnan(values).all()]
    return curves_chart('Pseudo-labels by epoch', known, 'per cent')


def zero_shot_chart(classes: Sequence[ClassRow], most: int = 40) -> Markup:
    """Average precision of each class, from zero-shot CLIP to the model; of many, those that changed most."""
    rows = [row for row in classes if np.isfinite([row.ap, row.zero_shot_ap]).all()]
    rows = sorted(rows, key=lambda row: -abs(row.ap - row.zero_shot_ap))[:most]
    rows.sort(key=lambda row: row.ap - row.zero_shot_ap)
    figure, axes = _figure(6.4, 1.0 + 0.21 * len(rows), left=_width([row.name for row in rows], 8), top=0.4)
    places = np.arange(len(rows))
    before, after = (100 * np.array([getattr(row, name) for row in rows]) for name in ('zero_shot_ap', 'ap'))
    axes.hlines(places, before, after, color=[ACCENT if gained else SECOND for gained in after >= before], linewidth=2)
    axes.plot(before, places, 'o', color=MUTED, markersize=5, label='zero-shot')
    axes.plot(after, places, 'o', color=INK, markersize=5, label='this model')
    axes.set_yticks(places, [_text(row.name) for row in rows], fontsize=8)
    axes.set(xlabel='average precision, per cent', xlim=(-2, 102), ylim=(-0.8, len(rows) - 0.2))
    axes.legend(frameon=False, loc='lower left', bbox_to_anchor=(0, 1), ncols=2)
    return _svg(figure, 'Zero-shot and this model', 'average precision of each class before and after')


def contexts_chart(contexts: Contexts) -> Markup:
    """The matrix of labels that occur together, in the order of the contexts, which boxes frame."""
    shares, names = np.array(contexts.shares, dtype=float), contexts.names
    margin, side = _width(names, 7), max(2.4, 0.17 * len(names))
    figure, axes = _figure(margin + side + 0.1, margin + side + 0.1, left=margin, bottom=margin)
    cells = np.empty((*shares.shape, 4))
    cells[..., :3], cells[..., 3] = CELL, np.nan_to_num(shares) ** 0.7
    axes.imshow(cells, interpolation='none')
    places = np.arange(len(names))
    axes.set_xticks(places, map(_text, names), rotation=90, fontsize=7)
    axes.set_yticks(places, map(_text, names), fontsize=7)
    axes.tick_params(length=0)
    start = 0
    for group in contexts.groups if contexts.is_learned else ():
        count = len(set(group) & set(names))
        corner = (start - 0.5, start - 0.5)
        axes.add_patch(matplotlib.patches.Rectangle(corner, count, count, fill=False, edgecolor=INK, linewidth=1))
        start += count
    return _svg(figure, 'Labels that occur together', f'a matrix of {len(names)} labels')


def _figure(
    width: float, height: float, left: float = 0.65, bottom: float = 0.55, top: float = 0.1
) -> tuple[Figure, Axes]:
    """A figure of a size in inches, and its axes inside of these margins; to have them found would take a second."""
    figure = Figure((width, height))
    FigureCanvasSVG(figure)
    axes = figure.add_axes((left / width, bottom / height, 1 - (left + 0.1) / width, 1 - (bottom + top) / height))
    plain_axes(axes)
    return figure, axes


def _width(names: Sequence[str], points: float) -> float:
    """Inches that the longest of the names takes, and a little more."""
    return 0.2 + 0.62 * points / 72 * max(len(_text(name)) for name in names)


def _whole_epochs(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(x=0.02)


def _text(name: str) -> str:
    """A name that matplotlib does not take for mathematics, nor for a label to hide."""
    shown = name if len(name) <= 28 else f'{name[:27]}…'
    return shown.replace('$', r'\$') if not shown.startswith('_') else f'\u200b{shown}'


def _svg(figure: Figure, title: str, description: str) -> Markup:
    """The figure as an element of a page; its ids begin with a word made of its title, as no two may be the same."""
    buffer = io.StringIO()
    with matplotlib.rc_context({'svg.fonttype': 'none', 'svg.hashsalt': 'cssa_mm'}):
        figure.savefig(
            buffer, format='svg', transparent=True, metadata=dict.fromkeys(('Date', 'Creator', 'Format', 'Type'))
        )
    text = buffer.getvalue()
    text = re.sub(r'<metadata>.*?</metadata>', '', text[text.index('<svg') :], flags=re.S)
    prefix = re.sub(r'\W+', '-', title.lower())
    text = re.sub(r'(\bid="|href="#|url\(#)', rf'\g<1>{prefix}-', text)
    text = re.sub(
        r'((?:fill|stroke): )(#[0-9a-f]{6})', lambda found: found[1] + PAGE_COLOURS.get(found[2], found[2]), text
    )
    box = re.search(r'viewBox="0 0 ([\d.]+) [\d.]+"', text)
    width = f' style="max-width: {float(box[1]):.0f}pt"' if box else ''
    head = f'<svg {box[0] if box else ""} role="img" aria-label="{escape(f"{title}: {description}")}"{width}>'
    text = head + text[text.index('>', text.index('<svg')) + 1 :]
    return Markup(text)  # nosec B704 # matplotlib escapes the names in its texts


def epoch_curves(curves: Mapping[str, Sequence[Curve]]) -> dict[str, Markup]:
    """The charts of several panels of curves, by their titles."""
    return {
        title: curves_chart(title, of_panel, '' if title.startswith('loss') else 'per cent')
        for title, of_panel in curves.items()
    }
