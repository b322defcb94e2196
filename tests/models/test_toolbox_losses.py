"""mmpretrain's losses on known cells against themselves, and against formulas by hand where cells are unknown."""

import pytest
import torch
from mmpretrain.registry import MODELS
from torch import nn

from cssa_mm.errors import ConfigError
from cssa_mm.models import ContextHead, MaskedAsymmetricLoss
from cssa_mm.models.alignment_head import Alignment
from cssa_mm.models.objective import SemiSupervisedObjective, Targets
from cssa_mm.models.toolbox_losses import ToolboxLoss, cell_loss

B, C, K = 5, 4, 3
NAMES = ['dog', 'cat', 'bus', 'cup']
LOSSES = {
    'bce': dict(type='CrossEntropyLoss', use_sigmoid=True),
    'weighted': dict(
        type='CrossEntropyLoss',
        use_sigmoid=True,
        class_weight=[1, 2, 0.5, 0],
        pos_weight=[3.0, 1, 1, 2],
        loss_weight=0.7,
    ),
    'asl': dict(type='AsymmetricLoss', gamma_pos=1.0, gamma_neg=2.0),
    'focal': dict(type='FocalLoss', gamma=1.5, alpha=0.4),
    'smooth': dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='multi_label', use_sigmoid=True),
}
OPTIONS = pytest.mark.parametrize('options', LOSSES.values(), ids=LOSSES)


def logits_of(columns=C, seed=0):
    return 2 * torch.randn(B, columns, generator=torch.Generator().manual_seed(seed))


def labels_of(columns=C):
    return (torch.arange(B * columns).reshape(B, columns) % 3 == 0).float()


@pytest.fixture
def context_head():
    """More contexts than classes would be odd; K differs from C."""
    head = ContextHead(C, 4, num_contexts=K)
    head.assignment.copy_(torch.tensor([0, 1, 2, 0]))
    return head


def alignment(logits):
    return Alignment(logits, torch.zeros(B, C, 4), None, logits_of(K, seed=1))


def targets_of(labels, num_labelled=B):
    rows = torch.arange(B)
    return Targets(labels, torch.ones(B, C), rows < num_labelled, torch.ones(B, dtype=torch.bool), num_labelled < B)


def all_taught():
    return torch.ones(C, dtype=torch.bool)


@OPTIONS
@pytest.mark.parametrize('reduction', ['mean', 'sum', None])
@pytest.mark.smoke
def test_on_fully_known_cells_the_objective_is_mmpretrain_s_own_value(options, reduction):
    options = options if reduction is None else options | dict(reduction=reduction)
    objective = SemiSupervisedObjective(cell_loss(options, NAMES), 1.0, 1.0)
    logits = logits_of().requires_grad_()
    (ours,) = objective(alignment(logits), targets_of(labels_of()), all_taught(), None).values()
    (own_gradient,) = torch.autograd.grad(ours, logits)
    theirs = MODELS.build(options)(logits, labels_of())
    (their_gradient,) = torch.autograd.grad(theirs, logits)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    torch.testing.assert_close(own_gradient, their_gradient)


@OPTIONS
def test_unknown_cells_have_no_loss_and_no_gradient_whatever_their_logits_are(options):
    labels, logits = labels_of(), logits_of()
    labels[0] = -1
    labels[1, 2] = labels[4, 0] = -1
    logits[0] = torch.tensor([torch.inf, -torch.inf, torch.nan, 1e30])
    logits[4, 0] = torch.nan
    learned = logits.clone().requires_grad_()
    loss = cell_loss(options, NAMES)
    loss(learned, labels).backward()
    assert (learned.grad[labels < 0] == 0).all()
    assert torch.isfinite(learned.grad).all()
    # Cell by cell with theirs, padded to fully known rows.
    expected, built = 0.0, MODELS.build(options | dict(reduction='none'))
    for row, column in (labels >= 0).nonzero().tolist():
        known = torch.full((2, C), float(logits[row, column]))
        expected += float(built(known, torch.full((2, C), float(labels[row, column])))[0, column])
    assert float(loss(logits, labels)) == pytest.approx(expected, rel=1e-5)
    assert float(loss(logits, torch.full((B, C), -1.0))) == 0


def test_each_cell_has_its_weight_and_its_mask():
    labels, logits, weight = labels_of(), logits_of(), torch.rand(B, C, generator=torch.Generator().manual_seed(3))
    mask = torch.arange(B * C).reshape(B, C) % 4 != 1
    loss = cell_loss(LOSSES['bce'], NAMES)
    p = torch.sigmoid(logits.double())
    by_hand = -(labels * p.log() + (1 - labels) * (1 - p).log())
    assert float(loss(logits, labels, weight=weight)) == pytest.approx(float((by_hand * weight).sum()), rel=1e-5)
    assert float(loss(logits, labels, mask=mask)) == pytest.approx(float(by_hand[mask].sum()), rel=1e-5)


@pytest.mark.parametrize(('reduction', 'divisors'), [('sum', (1, 1)), ('mean', (7, 9)), ('batch_mean', (2, 3))])
def test_each_part_is_reduced_over_its_own_known_cells(reduction, divisors):
    labels, logits = labels_of(), logits_of()
    labels[0, 1] = labels[3, 2] = labels[4, 0] = labels[4, 1] = -1
    options = LOSSES['bce'] | dict(reduction=reduction)
    losses = SemiSupervisedObjective(cell_loss(options, NAMES), 1.0, 1.0)(
        alignment(logits), targets_of(labels, 2), all_taught(), None
    )
    p = torch.sigmoid(logits.double())
    by_hand = torch.where(labels < 0, 0.0, -torch.where(labels == 1, p.log(), (1 - p).log()))
    expected = [float(by_hand[:2].sum() / divisors[0]), float(by_hand[2:].sum() / divisors[1])]
    assert list(map(float, losses.values())) == pytest.approx(expected, rel=1e-5)


@OPTIONS
def test_contexts_have_the_same_loss_without_weights_of_classes(options, context_head):
    objective = SemiSupervisedObjective(cell_loss(options, NAMES), 1.0, 0.5)
    losses = objective(alignment(logits_of()), targets_of(labels_of()), all_taught(), context_head)
    contexts = torch.stack([labels_of()[:, [0, 3]].amax(1), labels_of()[:, 1], labels_of()[:, 2]], dim=1)
    plain = {key: value for key, value in options.items() if key not in ('class_weight', 'pos_weight')}
    expected = 0.5 * MODELS.build(plain)(logits_of(K, seed=1), contexts)
    assert float(losses['loss_context_labelled']) == pytest.approx(float(expected), rel=1e-5)


@OPTIONS
def test_a_single_class_is_no_list_of_class_numbers(options):
    options = options | {key: [2.0] for key in ('class_weight', 'pos_weight') if key in options}
    logits, labels = logits_of(1), labels_of(1)
    ours = cell_loss(options, ['dog'])(logits, labels)
    factor = 2.0 if 'class_weight' in options else 1.0
    positive = factor if 'pos_weight' in options else 1.0
    two = MODELS.build(
        {k: v for k, v in options.items() if k not in ('class_weight', 'pos_weight')} | dict(reduction='none')
    )
    cells = two(logits.repeat(1, 2), labels.repeat(1, 2))[:, :1] * factor
    assert float(ours) == pytest.approx(float(torch.where(labels == 1, positive * cells, cells).sum()), rel=1e-5)


def test_half_precision_is_computed_in_float32():
    logits = logits_of().bfloat16()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss = cell_loss(LOSSES['focal'], NAMES)(logits, labels_of())
    assert loss.dtype == torch.float32
    assert float(loss) == float(cell_loss(LOSSES['focal'], NAMES)(logits.float(), labels_of()))


class StatefulLoss(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer('seen', torch.zeros(1))

    def forward(self, logits, targets, reduction_override=None):
        return nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction='none')


class SquaredLoss(nn.Module):
    """A regression to the labels: scores would not be probabilities."""

    def forward(self, logits, targets, reduction_override=None):
        return (logits - targets) ** 2


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(type='CrossEntropyLoss'), 'found CrossEntropyLoss, which couples the classes'),
        (dict(type='CrossEntropyLoss', use_soft=True), 'found CrossEntropyLoss, which couples the classes'),
        (dict(type='AsymmetricLoss', use_sigmoid=False), 'found AsymmetricLoss, which couples the classes'),
        (dict(type='LabelSmoothLoss', label_smooth_val=0.1), 'found LabelSmoothLoss, which couples the classes'),
        (dict(type='SeesawLoss'), 'found SeesawLoss, which is no loss of several labels an image'),
        (dict(type='CAELoss'), 'found CAELoss, which is no loss of several labels an image'),
        (dict(type='ResNet', depth=18), 'found ResNet, which is no loss of several labels'),
        (dict(type='FocalLos'), "unknown component 'FocalLos', expected a registered one. Did you mean 'FocalLoss'?"),
        (dict(type='FocalLoss', loss_weight=0.0), 'costs 0 in total and one that is wrong 0'),
        (dict(type='FocalLoss', gamma='high'), 'found FocalLoss, which cannot be computed'),
        (dict(type='LabelSmoothLoss'), "refuses its options: .*'label_smooth_val'"),
        (LOSSES['smooth'] | dict(label_smooth_val=0.6), 'by which a logit of 2 that is right'),
        (LOSSES['smooth'] | dict(num_classes=80), 'model.loss.num_classes: found 80, expected 4'),
        (LOSSES['bce'] | dict(class_weight=[1, 2]), r'model.loss.class_weight: found \[1, 2\], expected 4 numbers'),
        (LOSSES['bce'] | dict(pos_weight=[1, 2, 3, -4]), 'model.loss.pos_weight: found .*, expected 4 numbers from 0'),
        (LOSSES['bce'] | dict(reduction='none'), "model.loss.reduction: found 'none', expected one of sum, mean"),
        (dict(type=StatefulLoss), r'found StatefulLoss with a state \(seen\)'),
        (dict(type=SquaredLoss), 'found SquaredLoss.*label 0 costs'),
    ],
)
def test_what_is_no_loss_of_a_cell_is_refused_in_one_line(options, message):
    with pytest.raises(ConfigError, match=message) as error:
        cell_loss(options, NAMES)
    assert '\n' not in str(error.value)


def test_our_own_loss_stays_the_default_and_as_it_is():
    for options in (None, {}, dict(gamma_negative=1.0), dict(type=MaskedAsymmetricLoss)):
        assert type(cell_loss(options, NAMES)) is MaskedAsymmetricLoss
    assert cell_loss(dict(gamma_negative=1.0), NAMES).gamma_negative == 1.0


def test_a_model_trains_on_it_and_its_checkpoint_is_like_any_other(make_model, make_sample):
    model = make_model(loss=LOSSES['bce'])
    assert isinstance(model.objective.cell_loss, ToolboxLoss)
    assert set(model.state_dict()) == set(make_model().state_dict())
    samples = [make_sample('a', [1, 0, -1, 0, 0, 1]), make_sample('b', [-1] * 6, is_labelled=False)]
    losses = model.loss(torch.rand(2, 3, 64, 64), samples)
    sum(losses.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
