"""What is measured of contestants, and whether it reaches a goal."""

import time

import numpy as np
import pytest

from cssa_mm.studies.benchmark.measuring import Contest, Figures, Goal, Seconds, measure


def figures(**values) -> Figures:
    names = ('ours_s', 'ours_min_s', 'baseline_s', 'baseline_min_s', 'limit_s', 'limit_min_s', 'max_difference')
    return Figures(**(dict.fromkeys(names) | dict(ours_s=2.0, peak_gib=0.5, process_gib=1.5, repeats=5) | values))


def test_contestants_take_turns_after_a_round_that_does_not_count():
    calls, rounds = [], []
    spent = iter([100.0, 3.0, 1.0, 2.0])

    def ours():
        calls.append('ours')
        return Seconds(next(spent))

    contest = Contest(
        ours, lambda: calls.append('baseline'), lambda: calls.append('limit') or Seconds(2), limit_scale=3.0
    )
    found = measure(contest, 3, lambda: rounds.append(len(calls)))
    assert calls == ['ours', 'baseline', 'limit'] * 4
    assert rounds == [3, 6, 9, 12]
    assert (found.ours_s, found.ours_min_s) == (2.0, 1.0)
    assert (found.limit_s, found.fraction_of_limit) == (6.0, 3.0)
    assert 0 < found.baseline_s < 1
    assert found.max_difference is None


def test_a_contestant_without_a_clock_of_its_own_is_timed():
    assert measure(Contest(lambda: time.sleep(0.01)), 1).ours_s >= 0.01


def test_memory_is_that_of_ours_alone():
    def fill(gib: float):
        return lambda: np.ones(int(gib * 2**27)).sum()

    found = measure(Contest(fill(0.2), fill(0.5)), 1)
    assert 0.18 < found.peak_gib < 0.4
    assert found.process_gib > found.peak_gib


@pytest.mark.parametrize(
    ('goal', 'values', 'met'),
    [
        (Goal(ratio=3), dict(baseline_s=6.0), True),
        (Goal(ratio=3), dict(baseline_s=5.9), False),
        (Goal(ratio=3), {}, None),
        (Goal(limit=1.25), dict(limit_s=1.6), True),
        (Goal(limit=1.25), dict(limit_s=1.5), False),
        (Goal(process_gib=1), {}, False),
        (Goal(gib=1), {}, True),
        (Goal(ratio=3, tolerance=1e-4), dict(baseline_s=9.0, max_difference=1e-3), False),
        (Goal(ratio=3, tolerance=1e-4), dict(baseline_s=9.0, max_difference=float('nan')), False),
        (Goal(ratio=3, tolerance=1e-4), dict(baseline_s=9.0, max_difference=1e-5), True),
        (Goal(), {}, None),
    ],
)
def test_a_goal_is_met_by_all_of_its_parts(goal, values, met):
    assert goal.is_met(figures(**values)) is met


def test_a_goal_reads_as_a_few_words():
    assert Goal(9, 1.05).text() == '9 x, <= 1.05 x limit'
    assert Goal(process_gib=8, gib=1).text() == '<= 8 GiB in all, <= 1 GiB'
    assert Goal().text() == '-'
