"""What the contexts ask of an image: `context_targets` against plain loops."""

import numpy as np
import pytest
import torch

from cssa_mm.errors import ConfigError, DataError
from cssa_mm.models.context_head import context_targets


def brute_force_targets(labels, assignment, num_contexts, kind):
    rows = []
    for row in labels.tolist():
        members = [[v for v, a in zip(row, assignment, strict=True) if a == k] for k in range(num_contexts)]
        if kind == 'multi':
            rows.append([1 if 1 in m else 0 if m and all(v == 0 for v in m) else -1 for m in members])
        else:
            counts = [m.count(1) for m in members]
            best = counts.index(max(counts))
            rows.append([-1] * num_contexts if max(counts) == 0 else [int(k == best) for k in range(num_contexts)])
    return rows


@pytest.mark.parametrize('kind', ['multi', 'single'])
def test_context_targets_equal_brute_force(kind):
    rng = np.random.default_rng(1)
    for _ in range(200):
        num_contexts, num_classes = int(rng.integers(2, 6)), int(rng.integers(1, 12))
        assignment = rng.integers(0, num_contexts, num_classes)
        labels = torch.tensor(rng.choice([1, 0, -1], (9, num_classes), p=[0.2, 0.6, 0.2]), dtype=torch.int8)
        found = context_targets(labels, torch.tensor(assignment), num_contexts, kind)
        assert found.dtype == torch.int8
        assert found.tolist() == brute_force_targets(labels, assignment.tolist(), num_contexts, kind)
        assert torch.equal(found, context_targets(labels, assignment, num_contexts, kind))


def test_an_image_without_labels_is_off_in_every_context_and_masked_as_a_single_label():
    labels, assignment = torch.zeros(1, 4, dtype=torch.int8), torch.tensor([0, 1, 1, 0])
    assert context_targets(labels, assignment, 2, 'multi').tolist() == [[0, 0]]
    assert context_targets(labels, assignment, 2, 'single').tolist() == [[-1, -1]]


def test_an_unknown_kind_of_target_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match="Did you mean 'multi'"):
        context_targets(torch.eye(4, dtype=torch.int8), torch.zeros(4), 2, 'mult')


def test_labels_and_assignment_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match='expected'):
        context_targets(torch.zeros(2, 3), torch.zeros(4), 2)
    with pytest.raises(DataError, match='ids from 0 to 2'):
        context_targets(torch.zeros(2, 3), torch.tensor([0, 1, 2]), 2)
