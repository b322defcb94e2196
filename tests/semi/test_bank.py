import pytest
import torch

from cssa_mm.errors import DataError
from cssa_mm.semi.bank import PseudoLabelBank
from cssa_mm.semi.policies import PseudoLabels

IDS = ['7', '10', '9']
LABELS = torch.tensor([[1, 0], [-1, 1], [0, -1]], dtype=torch.int8)
NOTHING = torch.zeros(2)


def make_bank(weights=None):
    return PseudoLabelBank(IDS, PseudoLabels(LABELS, weights, NOTHING, NOTHING))


@pytest.mark.smoke
def test_rows_are_found_by_image_id_in_the_order_of_the_question():
    labels, weights = make_bank().lookup(['9', '7', '9'])
    assert labels.tolist() == [[0, -1], [1, 0], [0, -1]]
    assert labels.dtype == torch.int8
    assert weights.tolist() == [[1.0, 1.0]] * 3
    assert len(make_bank()) == 3


def test_weights_come_with_their_rows():
    weights = torch.tensor([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
    _, found = make_bank(weights).lookup(['10', '9'])
    assert torch.equal(found, weights[[1, 2]])


def test_an_image_that_was_not_scored_is_named():
    with pytest.raises(DataError, match="no labels for unlabelled image '8'"):
        make_bank().lookup(['7', '8'])


def test_a_change_of_what_was_looked_up_leaves_the_bank_alone():
    bank = make_bank()
    bank.lookup(['7'])[0].fill_(1)
    assert bank.lookup(['7'])[0].tolist() == [[1, 0]]


def test_what_a_bank_gathers_makes_the_same_bank_again():
    weights = torch.tensor([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
    bank = make_bank(weights)
    again = PseudoLabelBank.of_all(IDS, bank.gathered())
    for ids in (IDS, ['9', '7']):
        assert all(torch.equal(*pair) for pair in zip(bank.lookup(ids), again.lookup(ids), strict=True))
