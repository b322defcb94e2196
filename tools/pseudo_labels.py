"""How good a run's pseudo-labels are, by class and epoch: `python tools/pseudo_labels.py WORK_DIR [--out FILE]`."""

from __future__ import annotations

from cssa_mm.cli.arguments import main_of
from cssa_mm.evaluation.pseudo_label_report import parser, show_pseudo_labels

if __name__ == '__main__':
    main_of(lambda: show_pseudo_labels(parser(__doc__).parse_args()))
