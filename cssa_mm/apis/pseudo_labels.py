"""Show the quality of a run's pseudo-labels: a table of its last epoch and a picture of all epochs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cssa_mm.evaluation.pseudo_label_records import Record, read_records
from cssa_mm.evaluation.pseudo_label_report import describe
from cssa_mm.visualization.pseudo_label_figure import draw_pseudo_labels
from cssa_mm.visualization.style import checked_picture


@dataclass(frozen=True)
class PseudoLabelReport:
    """The quality of a run's pseudo-labels.

    Attributes:
        records: one for each semi-supervised epoch, as `pseudo_labels.jsonl` has them, with nan for None.
        picture: picture of all epochs.
    """

    records: list[Record]
    picture: Path

    def text(self) -> str:
        """The table of the last epoch, worst classes first, and the path of the picture."""
        return f'{describe(self.records[-1])}\n\npicture: {self.picture}'


def show_pseudo_labels(*, work_dir: str | os.PathLike, out: str | os.PathLike | None = None) -> PseudoLabelReport:
    """Read what a training wrote about its pseudo-labels, and draw it.

    Args:
        work_dir: work directory of a training run.
        out: picture to write; `pseudo_labels.png` in the work directory by default.

    Raises:
        ConfigError: the run has no records, or `out` is not the name of a picture.
        DataError: its records cannot be read.

    Examples:
        >>> from cssa_mm.apis.pseudo_labels import show_pseudo_labels
        >>> show_pseudo_labels(work_dir='work_dirs/cssa_demo').records[-1]['CF1']  # doctest: +SKIP
        0.71
    """
    picture = checked_picture(out or Path(work_dir, 'pseudo_labels.png'))
    records = read_records(work_dir)
    draw_pseudo_labels(records, picture)
    return PseudoLabelReport(records, picture)
