import json
import math

import pytest

from cssa_mm.errors import CheckpointError
from cssa_mm.models.thresholds import ClassThresholds


def test_the_default_is_one_half_for_every_class_and_says_so():
    assert ClassThresholds.default(3) == ((0.5, 0.5, 0.5), 'default', (), ())


def test_a_model_that_was_never_trained_has_none():
    found = ClassThresholds.none(2)
    assert found.rule == 'none'
    assert len(found.values) == 2
    assert all(math.isnan(value) for value in found.values)
    assert not any(score >= value for value in found.values for score in (0.0, 0.5, 1.0))


@pytest.mark.parametrize(
    'thresholds',
    [ClassThresholds((0.1, 0.25, 1.0), 'default'), ClassThresholds((0.3, math.nan), 'f1'), ClassThresholds.none(2)],
)
def test_they_survive_strict_json(thresholds):
    text = json.dumps(thresholds.to_dict(), allow_nan=False)  # nan is no JSON
    found = ClassThresholds.from_dict(json.loads(text), len(thresholds.values))
    assert found.rule == thresholds.rule
    assert found.values == pytest.approx(thresholds.values, nan_ok=True, abs=0)
    assert isinstance(found.values, tuple)


@pytest.mark.parametrize(
    ('content', 'found'),
    [
        (None, 'no readable thresholds'),
        (dict(values=[0.5, 0.5]), 'no readable thresholds'),
        (dict(values=['high', 0.5], rule='default'), 'no readable thresholds'),
        (dict(values=[0.5], rule='default'), '1 thresholds, expected 2'),
        (dict(values=[0.5, 0.5], rule='f1', positives=[3]), '1 positives of thresholds, expected 2'),
        (dict(values=[0.5, math.inf], rule='f1'), 'the threshold inf, expected numbers from 0 to 1'),
        (dict(values=[-3, 0.5], rule='f1'), 'the threshold -3, expected'),
    ],
)
def test_what_is_no_threshold_for_each_class_is_refused(content, found):
    with pytest.raises(CheckpointError, match=f'^checkpoint: found {found}'):
        ClassThresholds.from_dict(content, 2)
