"""Measure contestants in turn, so that a machine that others load slows all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import torch

from cssa_mm.studies.memory import forget_peak_memory, memory, peak_memory

Call = Callable[[], object]


class Seconds(float):
    """What a contestant returns that times itself, because part of its work does not count."""


@dataclass(frozen=True)
class Contest:
    """The contestants of a row, ready to run; each call does the same work again.

    Attributes:
        ours: our code.
        baseline: a published method, written here from its description.
        limit: the least that the work can take: the frozen tower on the same images, by open_clip alone.
        difference: the largest difference between what ours computes and what it must be, by other code.
        baseline_scale: the baseline does this part of the work only, and its time is multiplied.
        limit_scale: the same for the limit.
    """

    ours: Call
    baseline: Call | None = None
    limit: Call | None = None
    difference: Callable[[], float] | None = None
    baseline_scale: float = 1.0
    limit_scale: float = 1.0


@dataclass(frozen=True)
class Goal:
    """What a row should reach; None asks for nothing.

    Attributes:
        ratio: the baseline takes at least this many times as long as ours.
        limit: ours takes at most this many times as long as the limit.
        process_gib: memory of the whole process.
        gib: memory that ours adds while it runs.
        tolerance: of the difference.
    """

    ratio: float | None = None
    limit: float | None = None
    process_gib: float | None = None
    gib: float | None = None
    tolerance: float | None = None

    def text(self) -> str:
        """The goal in a few words."""
        parts = [] if self.ratio is None else [f'{self.ratio:g} x']
        parts += [] if self.limit is None else [f'<= {self.limit:.3g} x limit']
        parts += [] if self.process_gib is None else [f'<= {self.process_gib:g} GiB in all']
        parts += [] if self.gib is None else [f'<= {self.gib:g} GiB']
        return ', '.join(parts) or '-'

    def is_met(self, figures: Figures) -> bool | None:
        """Whether the figures reach all of it; None where there is nothing to reach, or no figure to tell."""
        wanted = [
            (figures.ratio, self.ratio, 1),
            (figures.fraction_of_limit, None if self.limit is None else 1 / self.limit, 1),
            (figures.process_gib, self.process_gib, -1),
            (figures.peak_gib, self.gib, -1),
            (figures.max_difference, self.tolerance, -1),
        ]
        asked = [(found, goal, sign) for found, goal, sign in wanted if goal is not None]
        known = [(found, goal, sign) for found, goal, sign in asked if found is not None]
        if not asked or len(known) < len(asked):
            return None
        # A difference that is nan reaches nothing.
        return all(sign * found >= sign * goal for found, goal, sign in known)


@dataclass(frozen=True)
class Figures:
    """What was measured: medians and shortest times in seconds, memory in GiB; None where there is no such contestant.

    `peak_gib` is what ours adds to the memory while it runs, `process_gib` the whole process meanwhile.
    """

    ours_s: float
    ours_min_s: float
    baseline_s: float | None
    baseline_min_s: float | None
    limit_s: float | None
    limit_min_s: float | None
    max_difference: float | None
    peak_gib: float
    process_gib: float
    repeats: int

    @property
    def ratio(self) -> float | None:
        """Baseline / ours: how many times faster we are."""
        return None if self.baseline_s is None else self.baseline_s / max(self.ours_s, 1e-9)

    @property
    def fraction_of_limit(self) -> float | None:
        """Limit / ours: 1 at the limit."""
        return None if self.limit_s is None else self.limit_s / max(self.ours_s, 1e-9)

    def as_dict(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        return asdict(self) | dict(ratio=self.ratio, fraction_of_limit=self.fraction_of_limit)


def measure(contest: Contest, repeats: int, after_round: Call = lambda: None) -> Figures:
    """Run each contestant once to warm up, then `repeats` times in turn.

    Args:
        contest: the contestants.
        repeats: rounds that count.
        after_round: called after each round, the first one included.
    """
    # First of all, before the others take memory.
    before = memory()
    forget_peak_memory()
    _seconds(contest.ours)
    peak = peak_memory()
    difference = None if contest.difference is None else contest.difference()
    calls = dict(ours=contest.ours, baseline=contest.baseline, limit=contest.limit)
    scales = dict(ours=1.0, baseline=contest.baseline_scale, limit=contest.limit_scale)
    there = {name: call for name, call in calls.items() if call is not None}
    for name, call in there.items():
        if name != 'ours':
            _seconds(call)
    after_round()
    times: dict[str, list[float]] = {name: [] for name in there}
    for _ in range(repeats):
        for name, call in there.items():
            times[name].append(scales[name] * _seconds(call))
        after_round()
    found = {f'{name}_s': median(times[name]) if name in times else None for name in calls}
    found |= {f'{name}_min_s': min(times[name]) if name in times else None for name in calls}
    memories = dict(peak_gib=max(peak - before, 0) / 2**30, process_gib=peak / 2**30)
    return Figures(**found, max_difference=difference, **memories, repeats=repeats)  # type: ignore[arg-type]


def _seconds(call: Call) -> float:
    """The time of a call; what it left on the GPU included."""
    started = time.perf_counter()
    result = call()
    if isinstance(result, Seconds):
        return float(result)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started
