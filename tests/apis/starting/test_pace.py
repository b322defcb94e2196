"""Estimates of time: monotone in the work, and in words."""

import math

import cssa_mm
from cssa_mm.apis.starting.pace import in_words, seconds_of_reading, seconds_of_training


def test_durations_in_words():
    assert [in_words(seconds) for seconds in (1, 47, 200, 9000)] == [
        'about 10 seconds',
        'about 50 seconds',
        'about 3 minutes',
        'about 2.5 hours',
    ]
    assert in_words(math.nan).startswith('unknown')


def test_more_work_takes_longer():
    config = cssa_mm.load_config('cssa_table')
    common = dict(config=config, images=300, labelled=30, classes=20, pace=0.05)
    base = seconds_of_training(**common)
    assert base > 2 * 300 * 0.05
    for change in (dict(images=600), dict(labelled=100), dict(classes=200), dict(pace=0.1)):
        assert seconds_of_training(**common | change) > base
    assert seconds_of_reading(100, 0.05, is_cpu=True) == 5.0
    assert seconds_of_reading(100, 0.05, is_cpu=False) <= 5.0
