"""The report of a check as text: what was understood, what must be fixed, what is asked, and a verdict."""

from __future__ import annotations

import os
import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from cssa_mm.apis.findings import FIX, WARN, Finding
from cssa_mm.apis.parts import Part
from cssa_mm.datasets.questions import how_to_go_on
from cssa_mm.datasets.readers import READERS
from cssa_mm.datasets.readers.understanding import Question

MOST_CLASSES = 120  # printed; all are in the JSON
LONGEST = 40  # characters of a name
INDENT, LABEL = '  ', 14
COLOURS = {FIX: '31', WARN: '33', 'question': '36', 'note': '2', 'accepted': '2', 'head': '1', 'good': '32'}


class Style:
    """How the report is laid out.

    Args:
        colour: Whether words are coloured, for a terminal.
        width: Characters of a line, for the columns.
    """

    def __init__(self, colour: bool = False, width: int = 120) -> None:
        self.colour = colour
        self.width = max(width, 60)

    def paint(self, text: str, kind: str) -> str:
        """The text in the colour of a kind."""
        return f'\x1b[{COLOURS[kind]}m{text}\x1b[0m' if self.colour and kind in COLOURS else text

    def line(self, text: str) -> str:
        """A line 'severity: ...' with its first word in colour."""
        kind, colon, rest = visible(text).partition(':')
        return self.paint(kind, kind) + colon + rest


def visible(text: str) -> str:
    """The text without characters that break a line or command a terminal, such as file names may hold."""
    return ''.join(c if c.isprintable() else c.encode('unicode_escape').decode() for c in text)


def understood(part: Part) -> dict:
    """What was read of a part, as JSON can hold it: the text prints the same, cut short."""
    labels, dataset = part.data.labels, part.dataset
    has_labels = (labels >= 0).any(axis=1)
    annotated = labels[has_labels]
    cells = {value: (annotated == value).sum(axis=0).tolist() for value in (1, 0, -1)}
    found = dataset.understanding
    return dict(
        source=dataset.in_root(dataset.ann_file) if found is None else found.source,
        format=type(dataset).__name__ if found is None else found.format,
        facts={} if found is None else dict(found.facts),
        classes={
            name: dict(positives=cells[1][c], negatives=cells[0][c], unknown=cells[-1][c])
            for c, name in enumerate(dataset.class_names)
        },
        annotated=int(has_labels.sum()),
        unlabelled=int((~has_labels).sum()),
        none_of_the_classes=int((annotated == 0).all(axis=1).sum()),
        taken=[] if found is None else list(found.taken),
        left={} if found is None else dict(found.left),
        left_out={} if found is None else {reason: list(names) for reason, names in found.left_out.items()},
        scaling=dict(Counter(facts.rule for facts in part.facts if facts.rule)),
        rows={part.data.image_ids[row]: _row(labels[row], dataset.class_names) for row in _examples(part)},
    )


def section(part: Part, style: Style) -> list[str]:
    """The lines of one part: its counts, then what was understood."""
    found = understood(part)
    title = READERS[found['format']].title if found['format'] in READERS else ''
    lines = [style.paint(summary(part), 'head')]
    add = _Lines(lines, style)
    add('file', _plain_path(found['source']))
    add('format', f'{found["format"]} ({title})' if title else found['format'])
    for name, value in found['facts'].items():
        add(name, value)
    if found['taken']:
        is_a_class_each = set(found['taken']) == set(found['classes'])
        names = ', '.join(map(_short, found['taken'][:MOST_CLASSES]))
        add('taken', f'{len(found["taken"])} columns, one a class' if is_a_class_each else names)
    if found['left']:
        names_of: dict[str, list[str]] = {}
        for name, reason in found['left'].items():
            names_of.setdefault(reason, []).append(_short(name))
        add('left', '; '.join(f'{", ".join(names)} ({reason})' for reason, names in names_of.items()))
    counted = f'{found["annotated"]:,} with labels, {found["none_of_the_classes"]:,} of them none of the classes; '
    add('labels', f'{counted}{found["unlabelled"]:,} without labels')
    for rule, count in found['scaling'].items():
        add('beyond 8 bits', f'{count:,} images: {rule}')
    for reason, names in found['left_out'].items():
        shown = ', '.join(map(_short, names[:3])) + (', ...' if len(names) > 3 else '')
        add('left out', f'{len(names):,} images: {reason}: {shown}')
    add('classes', f'{len(found["classes"])}: yes / no / unknown in images with labels')
    lines += _columns(found['classes'], style.width)
    for image, shown in found['rows'].items():
        add('read as', f'{image} -> {shown}')
    return lines


def summary(part: Part) -> str:
    """The counts in one line, with the rarest and the most frequent class."""
    found = part.counts()
    per_class = found['labelled_positives']
    rarest, most = min(per_class, key=per_class.get), max(per_class, key=per_class.get)
    return (
        f'{part.name}: {found["images"]:,} images of {len(per_class)} classes, {found["labelled"]:,} of them labelled '
        f'with {found["known_cells"]:,} known cells, {found["positives"]:,} positive: from {per_class[rarest]:,} '
        f"('{_short(rarest)}') to {per_class[most]:,} ('{_short(most)}') a class"
    )


def verdict(findings: Sequence[Finding], still_open: Sequence[Question], num_accepted: int, style: Style) -> list[str]:
    """The last lines of the report."""
    to_fix = [finding for finding in findings if finding.severity == FIX]
    if to_fix or still_open:
        parts = []
        if to_fix:
            kinds = ', '.join(f'{finding.kind} ({finding.part})' for finding in to_fix)
            parts.append(f'fix {len(to_fix)} of these before training: {kinds}')
        if still_open:
            count = len(still_open)
            parts.append(f'answer {count} question{"s" * (count > 1)} before training')
        lines = [how_to_go_on([question.kind for question in still_open])] if still_open else []
        return [*lines, style.paint(f'Verdict: {"; ".join(parts)}', FIX)]
    text = 'Verdict: training would run well'
    if num_accepted:
        text += f'; {num_accepted} question{"s" * (num_accepted > 1)} accepted'
    if any(finding.severity == WARN for finding in findings):
        text += '; the warnings above are worth a look'
    return [style.paint(text, 'good')]


class _Lines:
    """Adds indented lines with a label, wrapped to the width."""

    def __init__(self, lines: list[str], style: Style) -> None:
        self.lines, self.width, self.last = lines, style.width, ''

    def __call__(self, label: str, text: str) -> None:
        start = INDENT + ('' if label == self.last else label).ljust(LABEL) + ' '
        self.last = label
        self.lines += textwrap.wrap(
            visible(text),
            self.width,
            initial_indent=start,
            subsequent_indent=' ' * (len(INDENT) + LABEL + 1),
            break_long_words=False,
            break_on_hyphens=False,
        ) or [start.rstrip()]


def _columns(classes: dict[str, dict], width: int) -> list[str]:
    """The classes with their three numbers, in as many columns as fit."""
    shown = list(classes.items())[:MOST_CLASSES]
    names = [_short(name) for name, _ in shown]
    numbers = [[f'{count:,}' for count in counts.values()] for _, counts in shown]
    widths = [max(len(row[column]) for row in numbers) for column in range(3)]
    longest = max(map(len, names))
    cells = [
        f'{name.ljust(longest)} {" / ".join(number.rjust(size) for number, size in zip(row, widths, strict=True))}'
        for name, row in zip(names, numbers, strict=True)
    ]
    indent = INDENT * 2
    per_line = max((width - len(indent) + 4) // (len(cells[0]) + 4), 1)
    height = -(-len(cells) // per_line)  # read from top to bottom
    lines = [indent + '    '.join(cells[row::height]) for row in range(height)]
    if len(classes) > len(shown):
        lines.append(f'{indent}... and {len(classes) - len(shown):,} more, all in --out')
    return lines


def _examples(part: Part, count: int = 3) -> list[int]:
    """Rows that show how labels were read: two with several classes, one with none or without labels.

    Rows that the label file names come first, then those in front.
    """
    labels, named = part.data.labels, part.dataset.named_ids
    positives, known = (labels == 1).sum(axis=1), (labels >= 0).any(axis=1)
    is_named = np.array([named is None or image_id in named for image_id in part.data.image_ids])

    def first(wanted: int, *kinds: Any) -> list[int]:  # bool (n,)
        rows = [row for kind in kinds for mask in (kind & is_named, kind) for row in np.flatnonzero(mask)[:wanted]]
        return list(dict.fromkeys(map(int, rows)))[:wanted]

    shown = first(count - 1, positives > 1, positives == 1)
    empty = first(1, known & (positives == 0), ~known)
    rest = first(count, known, ~known)
    return sorted(list(dict.fromkeys([*shown, *empty, *rest]))[:count])


def _row(labels: np.ndarray, names: Sequence[str]) -> str:
    if not (labels >= 0).any():
        return 'unlabelled'
    shown = [_short(names[c]) for c in np.flatnonzero(labels == 1).tolist()]
    unknown = int((labels < 0).sum())
    text = ', '.join(shown[:8]) + (f' and {len(shown) - 8} more' if len(shown) > 8 else '')
    return (text or 'none of the classes') + (f' ({unknown} unknown)' if unknown else '')


def _plain_path(path: str) -> str:
    # '..' stays: it may lead out of a link.
    return path if '://' in path or '..' in path else os.path.normpath(path)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f'{name[: LONGEST - 3]}...'
