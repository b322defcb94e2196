"""Tables of plain text."""

from __future__ import annotations

import math
from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of equal length as lines: the first column flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return '\n'.join(
        '  '.join([row[0].ljust(widths[0])] + [v.rjust(w) for v, w in zip(row[1:], widths[1:], strict=True)])
        for row in rows
    )


def aligned_left(rows: Sequence[Sequence[str]]) -> str:
    """Rows of equal length as lines, all columns flush left; the last one is not padded."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return '\n'.join(
        '  '.join([cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)] + [row[-1]])
        for row in rows
    )


def rounded(value: float, digits: int) -> str:
    """A number with so many decimals, or a dash where it is not finite."""
    return f'{value:.{digits}f}' if math.isfinite(value) else '-'
