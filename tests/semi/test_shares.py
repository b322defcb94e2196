"""Several processes find what one finds, bitwise, and none of them holds the scores of all images."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.semi import on_shares
from tests.semi.on_shares import CLASSES, SETS, Data

RANKS = (1, 2, 4)


@pytest.fixture(scope='module')
def alone():
    """The oracle: one process, without any group of processes."""
    return on_shares.story()


@pytest.fixture(scope='module')
def of_ranks(in_ranks, tmp_path_factory):
    """of_ranks(4) -> what each of four processes has found."""
    folder, known = tmp_path_factory.mktemp('shares'), {}

    def find(count: int) -> list[dict]:
        if count not in known:
            done = in_ranks(count, Path(on_shares.__file__), folder)
            assert [each.returncode for each in done] == [0] * count, '\n'.join(each.stderr for each in done)[-3000:]
            known[count] = [torch.load(folder / f'{count}-{rank}.pt', weights_only=False) for rank in range(count)]
        return known[count]

    return find


def same(found: torch.Tensor | None, expected: torch.Tensor | None) -> bool:
    """Whether two tensors are equal to the bit."""
    if found is None or expected is None:
        return found is expected
    return found.dtype == expected.dtype and torch.equal(found, expected)


@pytest.fixture(params=RANKS)
def pairs(request, alone, of_ranks):
    """Number of ranks, and (case, what one process found, what each rank found)."""
    ranks = [found['story'] for found in of_ranks(request.param)]
    return request.param, [(case, expected, [rank[case] for rank in ranks]) for case, expected in alone.items()]


def test_labels_and_weights_are_those_of_one_process(pairs):
    count, cases = pairs
    assert len(cases) == 11 + 4 * 6
    for case, expected, ranks in cases:
        for part in (0, 1):
            whole = expected['share'][part]
            shares = [rank['share'][part] for rank in ranks]
            assert all(same(share, None if whole is None else whole[r::count]) for r, share in enumerate(shares)), case
    labels = {case: expected['share'][0] for case, expected, _ in cases}
    assert not torch.equal(labels['ties', 'cat'], labels['ties', 'cat', 'wrong_labels'])


@pytest.mark.parametrize('name', SETS)
def test_forced_errors_take_their_weights_along(alone, name):
    clean, noisy = (alone[(name, 'calibrated', *rest)]['share'] for rest in ((), ('wrong_labels',)))
    for c in range(CLASSES):
        pairs = [sorted(zip(*(part[:, c].tolist() for part in share), strict=True)) for share in (clean, noisy)]
        assert pairs[0] == pairs[1]


def test_targets_of_every_part_of_a_batch_are_those_of_one_process(pairs):
    _, cases = pairs
    for case, expected, ranks in cases:
        for step, whole in enumerate(expected['targets']):
            for part in (0, 1):
                found = torch.cat([rank['targets'][step][part] for rank in ranks])
                assert same(found, whole[part]), case


def test_the_bank_is_gathered_on_the_first_rank_and_shared_out_again(pairs):
    _, cases = pairs
    for case, expected, (first, *others) in cases:
        weights = expected['share'][1]
        assert same(first['everything'][0], expected['share'][0]), case
        if first['everything'][1] is not None and weights is not None:
            assert same(first['everything'][1], weights), case
        assert [rank['everything'] for rank in others] == [None] * len(others)
        assert {rank['size'] for rank in (first, *others)} == {len(expected['share'][0])}
        for rank in (first, *others):
            assert all(same(*parts) for parts in zip(rank['shared_out'], rank['share'], strict=True)), case


def test_figures_and_taught_classes_are_those_of_one_process_on_every_rank(pairs):
    _, cases = pairs
    for case, expected, ranks in cases:
        for rank in ranks:
            assert repr(rank['figures']) == repr(expected['figures']), case  # nan is nan
            assert torch.equal(rank['taught'], expected['taught'])
    taught = {case: expected['taught'].tolist() for case, expected, _ in cases}
    assert taught['ties', 'oracle'] == [True] * CLASSES
    assert not any(taught['ties', 'cat'])


def test_the_figures_count_all_images(alone):
    figures, data = alone['ties', 'oracle']['figures'], Data('ties')
    truth = np.delete(data.hidden_labels[data.unlabelled_indices], 1, axis=0)
    assert sum(figures['reliability']['count']) == (truth != -1).sum()
    assert figures['positives'].tolist() == (truth == 1).sum(0).tolist()
    assert figures['masked'].tolist() == ((truth == -1).sum(0) + 1).tolist()


@pytest.mark.parametrize('name', SETS)
def test_the_thresholds_of_cat_are_the_scores_of_their_ranks(alone, name):
    """Oracle: all scores of a class sorted in plain Python."""
    data, rates = Data(name), Data(name).positive_rates()
    rows = np.delete(data.unlabelled_indices, 1) if len(data.unlabelled_indices) > 2 else data.unlabelled_indices
    for c in range(CLASSES):
        ranked = sorted(data.scores[rows, c].tolist(), reverse=True)
        for policy, (eta_positive, eta_negative) in {'cat': (1.0, 0.998), 'cat_positives': (1.7, 0.0)}.items():
            if (name, policy) not in alone:
                continue
            quotas = [
                min(int(eta * rate * len(ranked) + 1e-9), len(ranked)) if rates[c] else 0
                for eta, rate in ((eta_positive, rates[c]), (eta_negative, 1 - rates[c]))
            ]
            figures = alone[name, policy]['figures']
            upper = ranked[quotas[0] - 1] if quotas[0] else np.inf
            lower = ranked[len(ranked) - quotas[1]] if quotas[1] else -np.inf
            assert (figures['positive_thresholds'][c], figures['negative_thresholds'][c]) == (upper, lower)
            rules = [(score >= upper, score <= lower) for score in data.scores[rows, c].tolist()]
            expected = [{(True, False): 1, (False, True): 0}.get(rule, -1) for rule in rules]
            labels = alone[name, policy]['share'][0][:, c].tolist()
            assert (labels[:1] + labels[2:] if len(labels) > 2 else labels) == expected


@pytest.mark.parametrize('count', RANKS)
def test_every_rank_stops_where_one_finds_a_nan_or_an_unknown_image(of_ranks, count):
    for rank, found in enumerate(of_ranks(count)):
        first, second, unknown = found['refusals']
        assert first.startswith('2 of 1075 scores are NaN, the first in row 1, class 2; the teacher has diverged')
        assert second.startswith('2 of 1075 scores are NaN, the first in row 2, class 2')
        assert ("image 'stranger'," if rank == count - 1 else 'image of another process,') in unknown


def test_no_process_makes_a_tensor_of_all_scores(of_ranks):
    """8,000 images of 5 classes; the share of a rank, and a column of all images where errors are forced, are less."""
    sizes = {count: max(max(found['largest'].values()) for found in of_ranks(count)) for count in RANKS}
    assert sizes[1] >= 8000 * CLASSES  # it would be seen
    assert sizes[2] <= 8000 * CLASSES / 2 + CLASSES
    assert sizes[4] <= max(8000 * CLASSES / 4 + CLASSES, 8000)
