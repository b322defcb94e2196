"""The algorithm without a runner. Oracle of scores: images opened here, one by one, averages copied into the head."""

from collections import Counter

import numpy as np
import pytest
import torch

from cssa_mm.datasets.bad_images import BadImages
from cssa_mm.datasets.view import View
from cssa_mm.errors import DataError
from cssa_mm.features import encode as encode_module
from cssa_mm.features.cache import FeatureCache
from cssa_mm.features.encode import encode
from cssa_mm.models.evidence import DiscriminantEvidence
from cssa_mm.semi import semi_supervision
from cssa_mm.semi.policies import PseudoLabels
from cssa_mm.semi.reader import Reader
from cssa_mm.semi.semi_supervision import SemiSupervision, Settings, State

CLOSE = dict(rtol=1e-5, atol=1e-6)


def keep_features(algorithm: SemiSupervision, indices) -> None:
    """Keep the plain view of some images, as `fill_for_training` does."""
    batches = list(encode(algorithm.model, algorithm.dataset, indices, View(size=None), ''))
    local, pooled = (torch.cat(tensors) for tensors in zip(*batches, strict=True))
    views = [(algorithm.dataset.image_ids[index], False) for index in indices]
    algorithm.features.cache = FeatureCache(views, local, pooled, serves_training=False)


def unlabelled_ids(dataset) -> list[str]:
    return [dataset.image_ids[index] for index in dataset.unlabelled_indices]


# -- before the first step -----------------------------------------------------------------------------------------


@pytest.mark.smoke
def test_the_bias_makes_the_mean_score_of_labelled_images_their_rate_for_student_and_teacher(algorithm, model, dataset):
    algorithm().prepare()
    assert model.training
    local, pooled = (
        torch.cat(t) for t in zip(*encode(model, dataset, dataset.labelled_indices, View(size=None), ''), strict=True)
    )
    rates = ((dataset.labels[dataset.labelled_indices] == 1).sum(0) + 0.5) / 17
    for who in ('student', 'ema'):
        np.testing.assert_allclose(model.score(local, pooled, who).mean(0).numpy(), rates, rtol=1e-3)
    assert int(model.teacher.steps) == 0


def test_prepare_sets_the_contexts_and_the_taught_classes(algorithm, model, dataset):
    model.context_head.assignment.fill_(-1)
    dataset.labels[dataset.is_labelled, 1] = 0
    algorithm().prepare()
    assert sorted(set(model.context_head.assignment.tolist())) == [0, 1]
    assert model.is_taught.tolist() == [True, False, True, True, True, True]


def test_the_seed_of_the_contexts_is_that_of_the_settings(algorithm, monkeypatch):
    asked = []
    monkeypatch.setattr(semi_supervision, 'set_contexts', lambda model, dataset, seed: asked.append(seed))
    algorithm(context_seed=7).prepare()
    assert asked == [7]


def test_without_masking_every_class_is_taught(algorithm, model, dataset):
    dataset.labels[dataset.is_labelled, 1] = 0
    algorithm(mask_unseen_classes=True).prepare()
    assert not model.is_taught.all()
    algorithm(mask_unseen_classes=False).prepare()  # of the model that the first left: a warm start
    assert model.is_taught.all()


def test_without_calibration_the_bias_stays(algorithm, model):
    algorithm(calibrate_bias=False).prepare()
    assert model.head.bias.tolist() == [0.0] * 6
    assert not bool(model.head.bias_is_calibrated)


def test_a_model_from_a_checkpoint_keeps_its_bias_and_contexts(algorithm, model):
    model.context_head.assignment.copy_(torch.tensor([0, 0, 0, 1, 1, 1]))
    model.head.bias_is_calibrated.fill_(True)
    with torch.no_grad():
        model.head.bias.fill_(0.7)
    model.teacher.steps.fill_(9)
    algorithm().prepare()
    assert model.context_head.assignment.tolist() == [0, 0, 0, 1, 1, 1]
    assert model.head.bias.tolist() == pytest.approx([0.7] * 6)
    assert int(model.teacher.steps) == 9


def test_a_model_without_context_head_is_only_calibrated(make_model, dataset, algorithm):
    semi = algorithm()
    semi.model = semi.features.model = make_model(context_head=None)
    semi.prepare()
    assert bool(semi.model.head.bias_is_calibrated)


def test_a_bias_that_is_not_learned_counts_as_calibrated(make_model, algorithm):
    semi = algorithm()
    semi.model = semi.features.model = make_model(head=dict(bias=False))
    semi.prepare()
    assert semi.model.head.bias.tolist() == [0.0] * 6
    assert bool(semi.model.head.bias_is_calibrated)


def test_hidden_labels_have_no_influence(algorithm, model, dataset):
    unlabelled = dataset.unlabelled_indices
    algorithm().prepare()
    expected = model.head.bias.clone()
    with torch.no_grad():
        model.head.bias.zero_()
    model.head.bias_is_calibrated.fill_(False)
    dataset.hidden_labels[unlabelled] = 1 - dataset.hidden_labels[unlabelled]
    algorithm().prepare()
    assert torch.equal(model.head.bias, expected)


def test_other_classes_than_the_model_s_are_refused(make_model, algorithm):
    semi = algorithm()
    semi.model = make_model(class_names=['dog', 'cat'], context_head=None)
    with pytest.raises(DataError, match='found the classes dog, cat, traffic light'):
        semi.prepare()


# -- scores --------------------------------------------------------------------------------------------------------


@pytest.mark.smoke
@pytest.mark.parametrize('batch_size', [5, 64])
def test_the_teacher_scores_every_unlabelled_image(algorithm, model, dataset, reference_scores, batch_size):
    scores = algorithm(batch_size=batch_size).score(dataset.unlabelled_indices)
    assert scores.shape == (24, 6)
    assert scores.std(0).min() > 1e-5
    torch.testing.assert_close(scores, reference_scores(dataset.unlabelled_indices), **CLOSE)
    assert model.training


def test_the_scores_are_those_of_the_teacher_at_that_moment(algorithm, model, dataset, reference_scores):
    semi = algorithm()
    first = semi.score(dataset.unlabelled_indices)
    model.teacher.reset(model.head)
    second = semi.score(dataset.unlabelled_indices)
    assert (first - second).abs().max() > 1e-2
    torch.testing.assert_close(second, reference_scores(dataset.unlabelled_indices), **CLOSE)


def test_kept_features_give_bitwise_the_same_scores_without_the_tower(
    algorithm, model, dataset, reference_scores, monkeypatch
):
    semi, unlabelled = algorithm(), dataset.unlabelled_indices
    expected = semi.score(unlabelled)
    keep_features(semi, unlabelled)

    def refuse(self, images):
        raise AssertionError('the tower ran')

    with monkeypatch.context() as patch:
        patch.setattr(type(model.backbone), 'forward', refuse)
        assert torch.equal(semi.score(unlabelled), expected)
        model.teacher.reset(model.head)
        later = semi.score(unlabelled)
    # No text features of the epoch before.
    torch.testing.assert_close(later, reference_scores(unlabelled), **CLOSE)


@pytest.mark.parametrize(('part', 'world_size'), [('unlabelled', 2), ('unlabelled', 25), ('labelled', 3)])
def test_ranks_that_score_a_share_each_gather_the_matrix_of_one_process(
    algorithm, dataset, monkeypatch, part, world_size
):
    semi = algorithm()
    indices = getattr(dataset, f'{part}_indices')
    keep_features(semi, indices)  # to save time
    expected = semi.score(indices)
    shares = []
    monkeypatch.setattr(encode_module, 'all_reduce', lambda matrix: shares.append(matrix.clone()))
    for rank in range(world_size):
        monkeypatch.setattr(encode_module, 'get_dist_info', lambda rank=rank: (rank, world_size))
        semi.score(indices)
    assert len(shares) == world_size
    # To the last bits: a matrix product of another size may round differently.
    torch.testing.assert_close(sum(shares), expected, rtol=1e-6, atol=1e-7)
    total = len(indices)
    assert all((share != 0).any(1).sum() in (total // world_size, -(-total // world_size)) for share in shares)


# -- pseudo-labels -------------------------------------------------------------------------------------------------


def test_the_bank_holds_what_cat_says_of_the_scores(algorithm, dataset, reference_scores):
    semi = algorithm(dict(name='cat', eta_positive=1.0, eta_negative=0.5))
    report = semi.begin_epoch(1)
    torch.testing.assert_close(torch.from_numpy(report.scores), reference_scores(dataset.unlabelled_indices), **CLOSE)
    labelled = dataset.labels[dataset.labelled_indices]
    labels, weights = semi.state.bank.lookup(unlabelled_ids(dataset))
    assert (weights == 1).all()
    for c in range(6):
        rate = (labelled[:, c] == 1).sum() / 16
        ranked = np.argsort(-report.scores[:, c], kind='stable')
        expected = np.full(24, -1)
        expected[ranked[: int(rate * 24)]] = 1
        expected[ranked[24 - int(0.5 * (1 - rate) * 24) :]] = 0
        assert labels[:, c].tolist() == expected.tolist()
    assert set(labels.unique().tolist()) == {-1, 0, 1}
    assert torch.equal(labels, report.pseudo_labels.labels)
    assert np.array_equal(report.truth, dataset.hidden_labels[dataset.unlabelled_indices])


def test_a_class_without_labelled_positives_is_neither_flooded_nor_unlearned(algorithm, dataset):
    dataset.labels[dataset.labels[:, 2] == 1, 2] = 0
    report = algorithm().begin_epoch(1)
    labels = report.pseudo_labels.labels
    assert (labels[:, 2] == -1).all()
    assert (labels[:, [0, 1, 3, 4, 5]] == 1).any(0).all()


def test_the_oracle_gives_the_hidden_truth_and_asks_no_policy(algorithm, model, dataset):
    def refuse(*asked):
        raise AssertionError('the policy was asked')

    semi = algorithm()
    semi.settings = Settings(policy=refuse, oracle=True)
    dataset.bad_images = BadImages(shape=(64, 64))
    dataset.bad_images.reasons[unlabelled_ids(dataset)[4]] = 'truncated'
    model.is_taught.fill_(False)
    report = semi.begin_epoch(1)
    truth = dataset.hidden_labels[dataset.unlabelled_indices].copy()
    truth[4] = -1
    assert np.array_equal(semi.state.bank.lookup(unlabelled_ids(dataset))[0].numpy(), truth)
    assert np.array_equal(report.truth, truth)
    assert report.pseudo_labels.positive_thresholds.isnan().all()
    assert model.is_taught.tolist() == (truth == 1).any(0).tolist()


def test_the_data_set_keeps_its_hidden_labels(algorithm, dataset):
    before = dataset.hidden_labels.copy()
    dataset.bad_images = BadImages(shape=(64, 64))
    dataset.bad_images.reasons[unlabelled_ids(dataset)[4]] = 'truncated'
    algorithm(oracle=True, wrong_labels=0.5).begin_epoch(1)
    assert np.array_equal(dataset.hidden_labels, before)


def test_a_bad_image_has_no_pseudo_label(algorithm, dataset):
    dataset.bad_images = BadImages(shape=(64, 64))
    dataset.bad_images.reasons[unlabelled_ids(dataset)[4]] = 'truncated'
    report = algorithm(dict(name='fixed', positive=0.5, negative=0.4)).begin_epoch(1)
    assert (report.pseudo_labels.labels[4] == -1).all()
    assert (report.truth[4] == -1).all()
    assert (report.pseudo_labels.labels[[3, 5]] != -1).any(1).all()


# -- policies that learn from the labelled images ------------------------------------------------------------------


@pytest.fixture
def spied(algorithm):
    """spied(policy) -> the algorithm, and a list of what it hands to its policy: (scores, rates, *labelled)."""

    def make(policy: dict) -> tuple[SemiSupervision, list]:
        semi, calls = algorithm(policy), []
        original = semi.settings.policy

        def spy(scores, rates, labelled_scores, labelled_labels):
            calls.append((scores, rates, labelled_scores, labelled_labels))
            return original(scores, rates, labelled_scores, labelled_labels)

        semi.settings = Settings(policy=spy)
        return semi, calls

    return make


@pytest.mark.parametrize('name', ['mat', 'calibrated', 'instance_adaptive'])
def test_the_policy_gets_the_teacher_s_scores_of_the_labelled_images_with_their_labels(
    spied, dataset, reference_scores, name
):
    semi, calls = spied(dict(name=name))
    semi.begin_epoch(1)
    ((_, rates, labelled_scores, labels),) = calls
    torch.testing.assert_close(labelled_scores, reference_scores(dataset.labelled_indices), **CLOSE)
    assert np.array_equal(labels.numpy(), dataset.labels[dataset.labelled_indices])
    np.testing.assert_allclose(rates.numpy(), (dataset.labels == 1).sum(0) / 16, rtol=1e-6)
    assert len(semi.state.bank) == 24


@pytest.mark.parametrize('policy', [dict(name='cat'), dict(name='fixed'), dict(name='top_k', k=2)])
def test_no_labelled_image_is_scored_for_a_policy_that_does_not_ask(algorithm, dataset, monkeypatch, policy):
    semi, asked, original = algorithm(policy), [], Reader.share

    def share(self, of_batch, indices, *options):
        asked.append(indices)
        return original(self, of_batch, indices, *options)

    monkeypatch.setattr(Reader, 'share', share)
    semi.begin_epoch(1)
    assert [indices.tolist() for indices in asked] == [dataset.unlabelled_indices.tolist()]


def test_a_bad_labelled_image_teaches_the_policy_nothing(spied, dataset, reference_scores):
    dataset.bad_images = BadImages(shape=(64, 64))
    bad = dataset.labelled_indices[2]
    dataset.bad_images.reasons[dataset.image_ids[bad]] = 'truncated'
    semi, calls = spied(dict(name='mat'))
    semi.begin_epoch(1)
    ((_, _, labelled_scores, labels),) = calls
    kept = dataset.labelled_indices[np.delete(np.arange(16), 2)]
    torch.testing.assert_close(labelled_scores, reference_scores(kept), **CLOSE)
    assert np.array_equal(labels.numpy(), dataset.labels[kept])


def test_the_weights_of_calibrated_reach_the_bank(algorithm, dataset):
    semi = algorithm(dict(name='calibrated'))
    report = semi.begin_epoch(1)
    _, weights = semi.state.bank.lookup(unlabelled_ids(dataset))
    assert torch.equal(weights, report.pseudo_labels.weights)
    assert 0 < weights.min() < weights.max() < 1


# -- forced errors -------------------------------------------------------------------------------------------------


def test_wrong_labels_swap_a_share_of_each_class_and_their_weights_and_change_by_epoch(algorithm, dataset):
    def labels_of(share, epoch=1, seed=5):
        semi = algorithm(dict(name='calibrated'), seed=seed, wrong_labels=share)
        return semi.begin_epoch(epoch).pseudo_labels

    clean, noisy = labels_of(0.0), labels_of(0.5)
    for c in range(6):
        positives, negatives = (int((clean.labels[:, c] == value).sum()) for value in (1, 0))
        assert int((noisy.labels[:, c] == 1).sum()) == positives
        lost = (clean.labels[:, c] == 1) & (noisy.labels[:, c] == 0)
        assert int(lost.sum()) == min(round(0.5 * positives), negatives)
        for value in (1, 0):
            weights = [set(kind.weights[kind.labels[:, c] == value, c].tolist()) for kind in (clean, noisy)]
            assert weights[0] == weights[1]
    assert torch.equal(noisy.labels, labels_of(0.5).labels)
    assert not torch.equal(noisy.labels, labels_of(0.5, epoch=2).labels)
    assert not torch.equal(noisy.labels, labels_of(0.5, seed=6).labels)


def test_forced_errors_in_the_oracle_s_labels_are_wrong_for_certain(algorithm, dataset):
    semi = algorithm(seed=1, oracle=True, wrong_labels=0.25)
    report = semi.begin_epoch(1)
    truth = dataset.hidden_labels[dataset.unlabelled_indices]
    found = semi.state.bank.pseudo_labels.labels.numpy()
    for c in range(6):
        expected = min(round(0.25 * (truth[:, c] == 1).sum()), (truth[:, c] == 0).sum())
        assert ((truth[:, c] == 1) & (found[:, c] == 0)).sum() == expected
    assert np.array_equal(report.truth, truth)  # what the labels are compared with stays true


def test_forced_errors_need_no_weights():
    labels = torch.tensor([[1], [0], [1], [0]], dtype=torch.int8)
    none = torch.full((1,), float('nan'))
    found = PseudoLabels(labels, None, none, none).with_errors(0.5, [0, 1])
    assert Counter(found.labels[:, 0].tolist()) == {1: 2, 0: 2}
    assert found.weights is None
    assert labels[:, 0].tolist() == [1, 0, 1, 0]


# -- targets -------------------------------------------------------------------------------------------------------


@pytest.fixture
def batch(make_sample, dataset):
    """A labelled image, two unlabelled ones and a bad one."""
    first, second, third = unlabelled_ids(dataset)[2:5]
    samples = [
        make_sample('labelled', [1, 0, -1, 0, 0, 1]),
        make_sample(second, [-1] * 6, False),
        make_sample(first, [-1] * 6, False),
        make_sample(third, [-1] * 6, False),
    ]
    samples[3].set_metainfo(dict(bad_image='truncated'))
    return samples


def test_targets_are_the_annotations_until_the_first_pseudo_labels(algorithm, batch):
    targets = algorithm().targets(batch)
    assert targets.labels.tolist() == [[1, 0, -1, 0, 0, 1], *[[-1] * 6] * 3]
    assert (targets.weights == 1).all()
    assert targets.is_labelled.tolist() == [True, False, False, False]
    assert targets.is_readable.tolist() == [True, True, True, False]
    assert not targets.is_semi_supervised


def test_targets_of_unlabelled_images_come_from_the_bank_and_those_of_labelled_ones_from_the_annotations(
    algorithm, dataset, batch
):
    semi = algorithm(dict(name='calibrated'))
    found = semi.begin_epoch(1).pseudo_labels
    found.labels.copy_(torch.from_numpy(np.random.default_rng(0).integers(-1, 2, (24, 6))))
    targets = semi.targets(batch)
    rows = [3, 2, 4]  # of the images in the bank
    assert torch.equal(targets.labels[1:], found.labels[rows].float())
    assert torch.equal(targets.weights[1:], found.weights[rows])
    assert targets.labels[0].tolist() == [1, 0, -1, 0, 0, 1]
    assert targets.weights[0].tolist() == [1] * 6
    assert targets.is_readable.tolist() == [True, True, True, False]
    assert targets.is_semi_supervised


def test_a_batch_of_labelled_images_alone_belongs_to_a_semi_supervised_epoch_too(algorithm, batch):
    semi = algorithm()
    semi.begin_epoch(1)
    targets = semi.targets(batch[:1])
    assert targets.labels.tolist() == [[1, 0, -1, 0, 0, 1]]
    assert targets.is_semi_supervised


def test_an_unlabelled_image_that_was_not_scored_is_refused(algorithm, make_sample):
    semi = algorithm()
    semi.begin_epoch(1)
    with pytest.raises(DataError, match="found no labels for unlabelled image 'unknown'"):
        semi.targets([make_sample('unknown', [-1] * 6, False)])


# -- weights: from the policy through the bank and the targets into the loss ---------------------------------------


@pytest.fixture
def weighted_loss(algorithm, model, dataset, make_sample):
    """weighted_loss(weights) -> loss of four unlabelled images, by cell weights (24, 6) that a policy gives."""
    torch.manual_seed(3)
    inputs = torch.randn(4, 3, 64, 64)
    labels = torch.randint(0, 2, (24, 6)).to(torch.int8)
    model.context_head = None
    semi = algorithm()
    keep_features(semi, dataset.unlabelled_indices)  # to save time
    samples = [make_sample(image_id, [-1] * 6, False) for image_id in unlabelled_ids(dataset)[2:6]]

    def call(weights, masked=None):
        found = labels.clone()
        if masked is not None:
            found[masked] = -1
        none = torch.full((6,), float('nan'))
        semi.settings = Settings(policy=lambda scores, rates: PseudoLabels(found, weights, none, none))
        semi.begin_epoch(1)
        model.zero_grad()
        loss = model.loss(inputs, samples, targets=semi.targets(samples))['loss_unlabelled']
        loss.backward()
        return loss.detach(), [p.grad.clone() for p in model.parameters() if p.grad is not None]

    return call


def test_a_weight_of_zero_is_a_mask_in_loss_and_gradient(weighted_loss):
    weights = torch.ones(24, 6)
    weights[3, 2] = weights[4] = weights[5, 0] = 0
    found, gradients = weighted_loss(weights)
    expected, masked_gradients = weighted_loss(None, masked=weights == 0)
    torch.testing.assert_close(found, expected)
    for gradient, masked in zip(gradients, masked_gradients, strict=True):
        torch.testing.assert_close(gradient, masked)
    assert not torch.isclose(found, weighted_loss(None)[0])


def test_a_weight_scales_the_loss_of_its_own_cell(weighted_loss):
    whole = weighted_loss(torch.ones(24, 6))[0]
    torch.testing.assert_close(whole, weighted_loss(None)[0])
    total = torch.zeros(())
    for row, label in ((2, 0), (3, 5), (5, 1)):
        alone = torch.zeros(24, 6)
        alone[row, label] = 1
        cell = weighted_loss(alone)[0]
        weights = torch.ones(24, 6)
        weights[row, label] = 0.25
        torch.testing.assert_close(weighted_loss(weights)[0], whole - 0.75 * cell)
        total += cell
    assert 0 < total < whole
    outside = torch.zeros(24, 6)
    outside[2:6] = 1  # images 2 to 5 are in the batch, the others are not
    torch.testing.assert_close(weighted_loss(outside)[0], whole)


# -- steps and evidence --------------------------------------------------------------------------------------------


def test_a_step_moves_the_teacher_towards_the_student(algorithm, model):
    before = dict(model.teacher.named_buffers())['bias'].clone()
    with torch.no_grad():
        model.head.bias.fill_(3.0)
    algorithm().after_step()
    after = dict(model.teacher.named_buffers())['bias']
    torch.testing.assert_close(after, before + 0.9 * (3.0 - before))  # decay 1 / 10 at the first step
    assert int(model.teacher.steps) == 1


def test_scores_after_a_step_are_those_of_the_moved_teacher_in_eval_mode_too(algorithm, model):
    local, pooled = torch.randn(2, 5, 16), torch.randn(2, 16)
    model.eval().score(local, pooled)
    algorithm().after_step()
    found = model.score(local, pooled)
    model.unfold()
    assert torch.equal(found, model.score(local, pooled))


@pytest.fixture
def with_evidence(algorithm, make_model, monkeypatch):
    """The algorithm on a model with evidence, and a list with one entry per fit."""
    semi, fits = algorithm(evidence_images=5, evidence_seed=3), []
    semi.model = semi.features.model = make_model(evidence=dict(type='DiscriminantEvidence'))
    original = DiscriminantEvidence.fit
    monkeypatch.setattr(DiscriminantEvidence, 'fit', lambda self, *given: fits.append(1) or original(self, *given))
    return semi, fits


def test_the_evidence_is_fitted_only_where_the_teacher_has_moved(with_evidence):
    semi, fits = with_evidence
    assert semi.state.evidence_is_stale
    semi.refresh()
    semi.refresh()
    assert len(fits) == 1
    assert not semi.state.evidence_is_stale
    semi.after_step()
    semi.after_step()
    assert semi.state.evidence_is_stale
    semi.refresh()
    assert len(fits) == 2
    semi.prepare()  # the bias may have moved, and with it the teacher
    semi.refresh()
    assert len(fits) == 3


def test_the_evidence_is_fresh_before_the_images_are_scored(with_evidence, monkeypatch):
    semi, fits = with_evidence
    original = SemiSupervision.score_share
    when = []
    monkeypatch.setattr(
        SemiSupervision, 'score_share', lambda self, indices: when.append(len(fits)) or original(self, indices)
    )
    semi.begin_epoch(1)
    semi.after_step()
    semi.begin_epoch(2)
    semi.begin_epoch(3)  # no step between: nothing to fit
    assert when == [1, 2, 2]


def test_a_step_alone_leaves_the_evidence_where_it_was(with_evidence):
    semi, fits = with_evidence
    semi.refresh()
    before = {name: value.clone() for name, value in semi.model.evidence.named_buffers()}
    with torch.no_grad():
        semi.model.head.bias.add_(1)
    semi.after_step()
    assert all(torch.equal(value, before[name]) for name, value in semi.model.evidence.named_buffers())
    assert len(fits) == 1


def test_without_evidence_there_is_nothing_to_fit(algorithm, monkeypatch):
    monkeypatch.setattr(semi_supervision, 'EvidenceImages', None)
    semi = algorithm()
    semi.refresh()
    assert semi.state == State(bank=None, evidence_is_stale=True)


# -- several ranks -------------------------------------------------------------------------------------------------

TWO_RANKS = """
import sys
from pathlib import Path
from mmengine.config import Config
from mmengine.registry import DefaultScope
import cssa_mm
from mmpretrain.registry import DATASETS, MODELS
from cssa_mm.features.frozen_features import FrozenFeatures
from cssa_mm.semi.pseudo_label_hook import PseudoLabelHook
folder, rank = Path(sys.argv[1]), torch.distributed.get_rank()
config = Config.fromfile(folder / 'config.py')
torch.manual_seed(0)
with DefaultScope.overwrite_default_scope('mmpretrain'):
    model, dataset = MODELS.build(config.model), DATASETS.build(config.train_dataloader.dataset)
if rank == 1:  # other hardware, exaggerated
    batches = FrozenFeatures.batches
    def noisy(self, *given):
        for local, pooled in batches(self, *given):
            yield local + torch.randn_like(local), pooled + torch.randn_like(pooled)
    FrozenFeatures.batches = noisy
semi = PseudoLabelHook().algorithm(model, dataset, config)
semi.prepare()
prepared = {name: value.clone() for name, value in model.state_dict().items()}
report = semi.begin_epoch(0)
torch.save(dict(prepared=prepared, state=model.state_dict(), thresholds=report.pseudo_labels.positive_thresholds,
    scores=torch.from_numpy(report.scores)), folder / f'rank{rank}.pt')
"""


@pytest.mark.slow
def test_contexts_bias_taught_classes_and_evidence_are_those_of_the_first_rank(two_ranks, tiny_config, tmp_path):
    tiny_config(**{'model.evidence': dict(type='DiscriminantEvidence')}).dump(tmp_path / 'config.py')
    two_ranks(TWO_RANKS, tmp_path)
    first, second = (torch.load(tmp_path / f'rank{rank}.pt', weights_only=True) for rank in range(2))
    for part in ('prepared', 'state'):
        assert [name for name, value in first[part].items() if not torch.equal(value, second[part][name])] == []
    assert len(first['scores']) == len(second['scores']) == 12
    assert torch.equal(first['thresholds'], second['thresholds'])
    state = first['state']
    assert set(state['context_head.assignment'].tolist()) == {0, 1}
    assert state['is_taught'].all()
    assert state['head.bias'].abs().min() > 0
    assert torch.equal(state['teacher.bias'], state['head.bias'])
    assert state['evidence.is_fitted']
    assert state['evidence.direction'].abs().max() > 0
