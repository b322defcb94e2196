"""Every row at tiny sizes: its contestants run, and its check sees a wrong result. No time is asserted."""

import pytest
import torch
import torchvision

from cssa_mm.errors import ConfigError
from cssa_mm.models import CSSAClassifier
from cssa_mm.studies.benchmark.measuring import measure
from cssa_mm.studies.benchmark.rows import ROWS, chosen, row_of


@pytest.fixture(autouse=True)
def small_network(monkeypatch):
    monkeypatch.setattr(torchvision.models, 'resnet50', torchvision.models.resnet18)


@pytest.mark.parametrize('name', ['C1', 'C2', 'C3', 'C4', 'C5', 'C6', 'C9', 'C10', 'M1', 'M3'])
def test_a_row_runs_and_computes_what_it_should(tiny, name):
    row = row_of(name)
    figures = measure(row.build(tiny()), repeats=1)
    has_baseline, has_limit = row.goal.ratio is not None, row.goal.limit is not None
    assert (figures.baseline_s is not None, figures.limit_s is not None) == (has_baseline, has_limit or name == 'C4')
    if row.goal.tolerance is not None:
        assert figures.max_difference <= row.goal.tolerance
    assert figures.process_gib > 0
