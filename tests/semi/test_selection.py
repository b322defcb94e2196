"""The score of a rank against sorting; several processes: test_shares.py."""

import numpy as np
import pytest
import torch

from cssa_mm.semi.policies import num_images, scores_at, selection

KINDS = {
    'coarse': lambda rng: rng.integers(0, 4, (97, 3)) / 4,
    'fine': lambda rng: rng.random((97, 3)),
    'near': lambda rng: 0.5 + rng.integers(0, 50, (97, 3)) * 2.0**-24,  # they differ in the last bits alone
    'any': lambda rng: rng.standard_normal((97, 3)) * 10.0 ** rng.integers(-45, 38, (97, 3)),
    'ends': lambda rng: rng.choice([-np.inf, -1.0, 0.0, 1e-45, 1.0, np.inf], (97, 3)),
}


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('cells', [5, 2**20])
def test_the_score_of_each_rank_is_that_of_sorting(kind, cells, monkeypatch):
    monkeypatch.setattr(selection, 'CELLS', cells)
    scores = torch.from_numpy(KINDS[kind](np.random.default_rng(0)).astype(np.float32))
    ranked = scores.sort(dim=0, descending=True).values
    for rank in (1, 2, 40, 96, 97):
        ranks = torch.tensor([rank, 98 - rank, (rank + 30) % 97 + 1])
        expected = ranked.gather(0, ranks[None] - 1)[0]
        assert torch.equal(scores_at(scores, ranks), expected)
    assert num_images(scores) == 97


def test_zeros_of_both_signs_are_tied():
    scores = torch.tensor([[0.0], [-0.0], [1.0], [-1.0]])
    assert [float(scores_at(scores, torch.tensor([rank]))) for rank in (1, 2, 3, 4)] == [1.0, 0.0, 0.0, -1.0]
