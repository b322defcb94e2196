"""The losses of a step against sums by hand, cell by cell, from logits and targets alone."""

import pytest
import torch

from cssa_mm.models import ContextHead, MaskedAsymmetricLoss
from cssa_mm.models import objective as objective_module
from cssa_mm.models.alignment_head import Alignment
from cssa_mm.models.objective import SemiSupervisedObjective, Targets
from cssa_mm.models.toolbox_losses import ToolboxLoss

B, C, K = 5, 6, 2
LABELS = torch.tensor(
    [
        [1, 0, 0, 1, 0, -1],  # labelled
        [0, 1, 0, 0, 0, 1],
        [1, -1, 0, -1, 0, 0],  # unlabelled: pseudo-labels
        [-1, -1, -1, -1, -1, -1],
        [0, 0, 1, -1, 1, -1],
    ],
    dtype=torch.float32,
)
OPTIONS = dict(gamma_negative=2.0, gamma_positive=1.0, clip=0.05)
REDUCTIONS = ['sum', 'mean', 'batch_mean']


@pytest.fixture
def alignment():
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(B, C, generator=generator)
    return Alignment(logits, torch.randn(B, C, 4, generator=generator), None, torch.randn(B, K, generator=generator))


@pytest.fixture
def context_head():
    """Context k holds the classes k, k + 2, k + 4."""
    head = ContextHead(C, 4, num_contexts=K)
    head.assignment.copy_(torch.arange(C) % K)
    return head


def make_targets(**changes):
    base = dict(
        labels=LABELS,
        weights=torch.ones(B, C),
        is_labelled=torch.arange(B) < 2,
        is_readable=torch.ones(B, dtype=torch.bool),
        is_semi_supervised=True,
    )
    return Targets(**(base | changes))


def make_objective(reduction='sum', unlabelled_weight=1.0, context_weight=1.0, **options):
    loss = MaskedAsymmetricLoss(**(OPTIONS | options), reduction=reduction)
    return SemiSupervisedObjective(loss, unlabelled_weight, context_weight)


def all_taught():
    return torch.ones(C, dtype=torch.bool)


def cell_losses(logits, labels):
    """Asymmetric loss of every cell in float64; 0 where the label is unknown."""
    p = 1 / (1 + torch.exp(-logits.detach().double()))
    shifted = (p - OPTIONS['clip']).clamp(min=0)
    positive = -((1 - p) ** OPTIONS['gamma_positive']) * torch.log(p)
    negative = -(shifted ** OPTIONS['gamma_negative']) * torch.log(1 - shifted)
    labels = torch.as_tensor(labels)
    return torch.where(labels == 1, positive, torch.where(labels == 0, negative, 0.0))


def by_hand(reduction, logits, labels, weights=1.0):
    labels = torch.as_tensor(labels)
    divisor = {'sum': 1, 'mean': max(int((labels >= 0).sum()), 1), 'batch_mean': len(labels)}[reduction]
    return float((cell_losses(logits, labels) * weights).sum() / divisor)


def context_labels(rows):
    groups = [[row[k::K] for k in range(K)] for row in torch.as_tensor(rows).int().tolist()]
    return [[1 if 1 in group else 0 if set(group) == {0} else -1 for group in row] for row in groups]


@pytest.mark.smoke
@pytest.mark.parametrize('reduction', REDUCTIONS)
def test_every_loss_equals_the_sum_by_hand(alignment, context_head, reduction):
    objective = make_objective(reduction, unlabelled_weight=0.7, context_weight=0.3)
    losses = objective(alignment, make_targets(), all_taught(), context_head)
    expected = {}
    for name, rows, factor in (('labelled', slice(0, 2), 1.0), ('unlabelled', slice(2, 5), 0.7)):
        expected[f'loss_{name}'] = factor * by_hand(reduction, alignment.logits[rows], LABELS[rows])
        contexts = context_labels(LABELS[rows])
        expected[f'loss_context_{name}'] = 0.3 * by_hand(reduction, alignment.contexts[rows], contexts)
    assert {name: float(value) for name, value in losses.items()} == pytest.approx(expected, rel=1e-5)
    assert min(expected.values()) > 0


def test_without_pseudo_labels_the_unlabelled_images_have_no_loss(alignment, context_head):
    targets = make_targets(is_semi_supervised=False)
    losses = make_objective()(alignment, targets, all_taught(), context_head)
    assert set(losses) == {'loss_labelled', 'loss_context_labelled'}


def test_without_a_context_head_or_context_logits_there_is_no_context_loss(alignment, context_head):
    for read, head in ((alignment, None), (alignment._replace(contexts=None), context_head)):
        losses = make_objective()(read, make_targets(), all_taught(), head)
        assert set(losses) == {'loss_labelled', 'loss_unlabelled'}


def test_weights_scale_each_cell_but_no_context(alignment, context_head):
    weights = torch.rand(B, C, generator=torch.Generator().manual_seed(1))
    plain = make_objective()(alignment, make_targets(), all_taught(), context_head)
    weighted = make_objective()(alignment, make_targets(weights=weights), all_taught(), context_head)
    expected = by_hand('sum', alignment.logits[2:], LABELS[2:], weights[2:])
    assert float(weighted['loss_unlabelled']) == pytest.approx(expected, rel=1e-5)
    assert float(weighted['loss_unlabelled']) < float(plain['loss_unlabelled'])
    assert float(weighted['loss_context_unlabelled']) == float(plain['loss_context_unlabelled'])


def test_masked_cells_and_the_rows_of_the_other_part_move_nothing(alignment):
    logits = alignment.logits.clone().requires_grad_()
    objective = make_objective(gamma_negative=0.0, clip=0.0)
    losses = objective(alignment._replace(logits=logits), make_targets(), all_taught(), None)
    losses['loss_unlabelled'].backward()
    assert torch.equal(logits.grad[2:] != 0, LABELS[2:] >= 0)
    assert (logits.grad[:2] == 0).all()


@pytest.mark.parametrize('reduction', REDUCTIONS)
def test_an_unreadable_image_counts_for_nothing_in_any_loss(alignment, context_head, reduction):
    readable = torch.tensor([True, False, True, True, False])
    objective = make_objective(reduction)
    found = objective(alignment, make_targets(is_readable=readable), all_taught(), context_head)
    rest = Alignment(*(None if part is None else part[readable] for part in alignment))
    targets = make_targets()
    targets = Targets(*(part[readable] for part in targets[:4]), targets.is_semi_supervised)
    expected = objective(rest, targets, all_taught(), context_head)
    assert {k: float(v) for k, v in found.items()} == pytest.approx({k: float(v) for k, v in expected.items()})


def test_an_untaught_class_is_masked_in_labels_and_pseudo_labels_and_masks_no_context(alignment, context_head):
    taught, given = all_taught(), LABELS.clone()
    taught[2] = False
    given[2] = torch.tensor([0, 0, -1, 0, 0, 0])  # its context is known but for this class
    losses = make_objective()(alignment, make_targets(labels=given), taught, context_head)
    labels, contexts = given.clone(), given.clone()
    labels[:, 2], contexts[:, 2] = -1, 0
    assert context_labels(given) != context_labels(contexts)
    for name, rows in (('labelled', slice(0, 2)), ('unlabelled', slice(2, 5))):
        expected = by_hand('sum', alignment.logits[rows], labels[rows])
        assert float(losses[f'loss_{name}']) == pytest.approx(expected, rel=1e-5)
        expected = by_hand('sum', alignment.contexts[rows], context_labels(contexts[rows]))
        assert float(losses[f'loss_context_{name}']) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('reduction', REDUCTIONS)
@pytest.mark.parametrize('is_theirs', [False, True], ids=['ours', 'theirs'])
def test_the_average_over_two_ranks_is_the_loss_of_the_global_batch(
    alignment, context_head, reduction, is_theirs, monkeypatch
):
    objective = make_objective(reduction)
    if is_theirs:
        theirs = dict(type='CrossEntropyLoss', use_sigmoid=True, class_weight=range(1, C + 1), reduction=reduction)
        objective = SemiSupervisedObjective(ToolboxLoss(theirs, C), 1.0, 1.0)
    whole = objective(alignment, make_targets(), all_taught(), context_head)

    def share(rows, reduce):
        monkeypatch.setattr(objective_module, 'get_world_size', lambda: 2)
        monkeypatch.setattr(objective_module, 'all_reduce', reduce)
        own = Alignment(*(None if part is None else part[rows] for part in alignment))
        targets = Targets(*(part[rows] for part in make_targets()[:4]), True)
        return objective(own, targets, all_taught(), context_head)

    ranks = (slice(0, 3), slice(3, 5))  # the second has no labelled image
    counts = []  # in the order of the losses: what both ranks count together
    for rows in ranks:
        found = []
        share(rows, lambda count, found=found: found.append(count.clone()))
        counts.append(found)
    totals = [sum(pair) for pair in zip(*counts, strict=True)]
    losses = []
    for rows in ranks:
        left = iter(totals)
        losses.append(share(rows, lambda count, left=left: count.copy_(next(left))))
    for name, expected in whole.items():
        assert float(losses[0][name] + losses[1][name]) / 2 == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize('reduction', REDUCTIONS)
def test_the_average_over_the_parts_of_a_step_is_the_loss_of_the_whole(alignment, context_head, reduction):
    objective, whole = make_objective(reduction), make_targets()
    expected = objective(alignment, whole, all_taught(), context_head)
    losses = []
    for rows in (slice(0, 3), slice(3, 5)):  # the second has no labelled image
        part = Alignment(*(None if tensor is None else tensor[rows] for tensor in alignment))
        losses.append(objective(part, whole.part(rows, 2), all_taught(), context_head))
    for name, value in expected.items():
        assert float(losses[0][name] + losses[1][name]) / 2 == pytest.approx(float(value), rel=1e-6)


def test_the_targets_of_annotations_hide_nothing_but_teach_no_unlabelled_image(make_sample):
    samples = [
        make_sample('a', [1, 0, -1]),
        make_sample('u', [-1, -1, -1], is_labelled=False),
        make_sample('b', [0] * 3),
    ]
    samples[2].set_field('broken file', 'bad_image', field_type='metainfo')
    targets = Targets.of_annotations(samples)
    assert targets.labels.tolist() == [[1, 0, -1], [-1, -1, -1], [0, 0, 0]]
    assert targets.weights.tolist() == [[1, 1, 1]] * 3
    assert targets.is_labelled.tolist() == [True, False, True]
    assert targets.is_readable.tolist() == [True, True, False]
    assert not targets.is_semi_supervised
