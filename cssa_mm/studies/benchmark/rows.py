"""The rows of the benchmark: what each compares, and what it should reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from cssa_mm.errors import ConfigError, nearest
from cssa_mm.studies.benchmark import cached, gpu, many, options, passes, start, steps, views, whole
from cssa_mm.studies.benchmark.measuring import Contest, Goal
from cssa_mm.studies.benchmark.setting import Setting

SUITES = ('cpu', 'gpu')


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        id: its short name; that of several rows begins alike (C7.20, C7.80).
        title: what ours does.
        suite: 'cpu' or 'gpu'.
        goal: what it should reach.
        build: makes its contest.
        is_on_request: whether it runs only when it is named, because it takes long.
    """

    id: str
    title: str
    suite: str
    goal: Goal
    build: Callable[[Setting], Contest]
    is_on_request: bool = False


SAME = 1e-4  # of scores in 0..1, summed in another order
POINTS = 0.2  # of mAP
ROWS = (
    Row('C1', 'text of 160 prompts, and its gradients', 'cpu', Goal(9, tolerance=1e-5), steps.text),
    Row('C2', 'supervised step', 'cpu', Goal(7, 1.05, tolerance=SAME), steps.supervised),
    Row('C3', 'semi-supervised step', 'cpu', Goal(4, 1.3, tolerance=SAME), steps.semi_supervised),
    Row('C4', 'pseudo-labels of 2,000 cached images', 'cpu', Goal(150, tolerance=SAME), passes.pseudo_labels),
    Row('C5', 'weak and strong view of JPEGs', 'cpu', Goal(1.1, 1.3, tolerance=1), views.pair),
    Row('C6', 'evaluation', 'cpu', Goal(limit=1 / 0.99, tolerance=SAME), passes.evaluation),
    Row('C7.20', 'training from features, 20 classes', 'cpu', Goal(10), partial(cached.cached_training, classes='c20')),
    Row('C7.80', 'training from features, 80 classes', 'cpu', Goal(30), partial(cached.cached_training, classes='c80')),
    Row(
        'C8.again',
        'start with features of an earlier run',
        'cpu',
        Goal(limit=0.4),
        partial(start.start, is_cached=True),
    ),
    Row('C8.first', 'start without them', 'cpu', Goal(limit=1), partial(start.start, is_cached=False)),
    Row('C9', 'step at 9,600 classes', 'cpu', Goal(limit=1.2, process_gib=8, tolerance=SAME), many.many_classes),
    Row('C10', 'fit of the evidence', 'cpu', Goal(limit=3, gib=1), many.evidence),
    Row('C11', 'quickstart', 'cpu', Goal(3), whole.quickstart, is_on_request=True),
    Row('M1', 'tower in bfloat16', 'cpu', Goal(1, tolerance=POINTS), options.half_precision, is_on_request=True),
    Row('M2', 'tower compiled', 'cpu', Goal(1, tolerance=POINTS), options.compiled, is_on_request=True),
    Row('M3', 'tower with channels last', 'cpu', Goal(1, tolerance=POINTS), options.channels_last, is_on_request=True),
    Row('G1', 'step at 224', 'gpu', Goal(limit=1 / 0.85), partial(gpu.step, side=224)),
    Row('G2', 'step at 448', 'gpu', Goal(limit=1 / 0.9), partial(gpu.step, side=448)),
    Row('G3', 'supervised step', 'gpu', Goal(3), gpu.published_step),
    Row('G4', 'training from photos', 'gpu', Goal(limit=1 / 0.9), gpu.busy),
    Row('G5', 'pseudo-labels of photos', 'gpu', Goal(limit=1 / 0.9), gpu.scoring),
    Row('G6', 'tower in bfloat16', 'gpu', Goal(1, tolerance=POINTS), options.half_precision),
    Row('G7', 'tower compiled', 'gpu', Goal(1, tolerance=POINTS), options.compiled),
    Row('G8', 'tower with channels last', 'gpu', Goal(1, tolerance=POINTS), options.channels_last),
)


def chosen(names: Sequence[str] | None, suite: str) -> list[Row]:
    """The rows of these names, `C7` for all that begin with `C7.`; by default those of a suite that run unasked.

    Raises:
        ConfigError: a name or suite is unknown.
    """
    if suite not in SUITES:
        raise ConfigError(f"--suite: found '{suite}', expected one of {', '.join(SUITES)}.{nearest(suite, SUITES)}")
    if names is None:
        return [row for row in ROWS if row.suite == suite and not row.is_on_request]
    found = []
    for name in names:
        rows = [row for row in ROWS if name.casefold() in (row.id.casefold(), row.id.casefold().split('.')[0])]
        if not rows:
            known = [row.id for row in ROWS]
            raise ConfigError(f"--rows: found '{name}', expected some of {', '.join(known)}.{nearest(name, known)}")
        found += [row for row in rows if row not in found]
    return found


def row_of(identifier: str) -> Row:
    """The row of exactly this id."""
    return next(row for row in ROWS if row.id == identifier)
