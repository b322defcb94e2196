"""Estimates of time: monotone in the work, and in words."""

import math

import pytest
import torch

import cssa_mm
from cssa_mm.apis.loading import zero_shot
from cssa_mm.apis.scorer import TorchScorer
from cssa_mm.apis.starting.pace import gib_of_features, in_words, seconds_of_reading, seconds_of_training


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
    assert seconds_of_training(**common, is_encoded=True) == pytest.approx(base - 2 * 300 * 0.05)
    assert seconds_of_reading(100, 0.05, is_cpu=True) == 5.0
    assert seconds_of_reading(100, 0.05, is_cpu=False) <= 5.0


def test_the_size_of_the_features_is_that_of_two_views_of_each_photo():
    tower = dict(model_name='cssa-demo-rn', pretrained='demo', size=96)
    scorer = TorchScorer(zero_shot(class_names=['sun'], **tower, device='cpu'))
    local, pooled = scorer.features(torch.zeros(1, 3, 96, 96, dtype=torch.uint8))
    assert gib_of_features(scorer, 1000) == pytest.approx(2 * 1000 * 4 * (local.numel() + pooled.numel()) / 2**30)
