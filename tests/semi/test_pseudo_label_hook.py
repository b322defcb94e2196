import json
import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmpretrain.registry import DATASETS
from PIL import Image
from sklearn.metrics import f1_score
from torch import nn

from cssa_mm.datasets.bad_images import BadImages
from cssa_mm.engine import scoring
from cssa_mm.errors import ConfigError
from cssa_mm.features.cache import FeatureCache
from cssa_mm.features.encode import encode, gather_rows
from cssa_mm.semi.policies import PseudoLabels
from cssa_mm.semi.pseudo_label_hook import PseudoLabelHook

PLAIN_VIEW = [
    dict(type='LoadRGBImage'),
    dict(type='PackInputs', meta_keys=('image_id', 'is_labelled')),
]


@pytest.fixture
def dataset(tiny_config):
    return DATASETS.build(tiny_config().train_dataloader.dataset)


@pytest.fixture
def model(make_model):
    """A model whose teacher and student differ."""
    model = make_model().train()
    torch.manual_seed(1)
    with torch.no_grad():
        for value in model.teacher.buffers():
            if value.is_floating_point():
                value.add_(0.3 * torch.randn_like(value))
    return model


@pytest.fixture
def runner(model, dataset, tmp_path):
    """As much of a runner as the hook needs, at its second epoch after one of warm-up."""
    return SimpleNamespace(
        epoch=1,
        train_loop=SimpleNamespace(warmup_epochs=1),
        train_dataloader=SimpleNamespace(dataset=dataset),
        val_loop=SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset.with_pipeline(PLAIN_VIEW))),
        model=model,
        logger=logging.getLogger('test'),
        work_dir=str(tmp_path),
    )


@torch.no_grad()
def scores_one_by_one(model, dataset):
    """The teacher's scores of the unlabelled images: files opened here, one by one, averages copied into the head."""
    mean = 255 * torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
    std = 255 * torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
    own = [parameter.clone() for parameter in model.head.parameters()]
    averages = dict(model.teacher.named_buffers())
    for name, parameter in model.head.named_parameters():
        parameter.copy_(averages[name.replace('.', '__')])
    text = model.head.text_features(model.text_encoder)
    scores = []
    for path in (dataset.img_paths[index] for index in dataset.unlabelled_indices):
        pixels = torch.from_numpy(np.asarray(Image.open(path).convert('RGB')).copy()).permute(2, 0, 1).float()
        features = model.backbone(((pixels - mean) / std)[None])
        scores.append(torch.sigmoid(model.head(*features, text).logits)[0])
    for parameter, value in zip(model.head.parameters(), own, strict=True):
        parameter.copy_(value)
    return torch.stack(scores)


def record_of(tmp_path, epoch=-1) -> dict:
    def refuse(name):
        raise ValueError(f'{name} is not JSON')

    lines = (tmp_path / 'pseudo_labels.jsonl').read_text().splitlines()
    return json.loads(lines[epoch], parse_constant=refuse)


@pytest.mark.smoke
@pytest.mark.parametrize('batch_size', [5, 64])
def test_the_teacher_scores_every_unlabelled_image(model, dataset, batch_size):
    scores = PseudoLabelHook(batch_size=batch_size).score(model, dataset, PLAIN_VIEW)
    assert scores.shape == (24, 6)
    assert scores.std(0).min() > 1e-5
    torch.testing.assert_close(scores, scores_one_by_one(model, dataset), rtol=1e-5, atol=1e-6)
    assert model.training


def test_the_scores_are_those_of_the_teacher_at_that_moment(model, dataset):
    hook = PseudoLabelHook()
    first = hook.score(model, dataset, PLAIN_VIEW)
    model.teacher.reset(model.head)
    second = hook.score(model, dataset, PLAIN_VIEW)
    assert (first - second).abs().max() > 1e-2
    torch.testing.assert_close(second, scores_one_by_one(model, dataset), rtol=1e-5, atol=1e-6)


def fill_cache(model, dataset, indices, side=False):
    batches = list(encode(model, dataset, indices, PLAIN_VIEW, ''))
    local, pooled = (torch.cat(tensors) for tensors in zip(*batches, strict=True))
    views = [(dataset.image_ids[index], side) for index in indices]
    return FeatureCache(views, local, pooled, serves_training=False)


def test_cached_features_give_bitwise_the_same_scores_without_the_tower(model, dataset, monkeypatch):
    hook = PseudoLabelHook()
    expected = hook.score(model, dataset, PLAIN_VIEW)
    model.feature_cache = fill_cache(model, dataset, dataset.unlabelled_indices)

    def refuse(self, images):
        raise AssertionError('the tower ran')

    with monkeypatch.context() as patch:
        patch.setattr(type(model.backbone), 'forward', refuse)
        assert torch.equal(hook.score(model, dataset, PLAIN_VIEW), expected)
        model.teacher.reset(model.head)
        later = hook.score(model, dataset, PLAIN_VIEW)
    # No text features of the epoch before.
    torch.testing.assert_close(later, scores_one_by_one(model, dataset), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('world_size', [2, 3, 25])
def test_ranks_that_score_a_share_each_gather_the_matrix_of_one_process(model, dataset, monkeypatch, world_size):
    hook = PseudoLabelHook()
    expected = hook.score(model, dataset, PLAIN_VIEW)
    model.feature_cache = fill_cache(model, dataset, dataset.unlabelled_indices)  # to save time
    shares = []
    monkeypatch.setattr(scoring, 'all_reduce', lambda matrix: shares.append(matrix.clone()))
    for rank in range(world_size):
        monkeypatch.setattr(scoring, 'get_dist_info', lambda rank=rank: (rank, world_size))
        hook.score(model, dataset, PLAIN_VIEW)
    assert len(shares) == world_size
    # To the last bits: a matrix product of another size may round differently.
    torch.testing.assert_close(sum(shares), expected, rtol=1e-6, atol=1e-7)
    assert all((share != 0).any(1).sum() in (24 // world_size, -(-24 // world_size)) for share in shares)


def test_gathered_rows_stand_where_they_belong(monkeypatch):
    matrix = torch.arange(1.0, 11).reshape(5, 2)
    other = gather_rows(matrix[[1, 3]], [1, 3], 5)
    assert other.tolist() == [[0, 0], [3, 4], [0, 0], [7, 8], [0, 0]]
    monkeypatch.setattr(scoring, 'all_reduce', lambda rows: rows.add_(other))
    assert torch.equal(gather_rows(matrix[[0, 2, 4]], [0, 2, 4], 5), matrix)


def test_the_bank_holds_what_cat_says_of_the_scores(runner, model, dataset):
    PseudoLabelHook(policy=dict(name='cat', eta_positive=1.0, eta_negative=0.5)).before_train_epoch(runner)
    scores = PseudoLabelHook().score(model, dataset, PLAIN_VIEW)
    labelled = dataset.labels[dataset.labelled_indices]
    ids = [dataset.image_ids[index] for index in dataset.unlabelled_indices]
    labels, weights = model.bank.lookup(ids)
    assert (weights == 1).all()
    for c in range(6):
        rate = (labelled[:, c] == 1).sum() / 16
        ranked = np.argsort(-scores[:, c].numpy(), kind='stable')
        expected = np.full(24, -1)
        expected[ranked[: int(rate * 24)]] = 1
        expected[ranked[24 - int(0.5 * (1 - rate) * 24) :]] = 0
        assert labels[:, c].tolist() == expected.tolist()
    assert set(labels.unique().tolist()) == {-1, 0, 1}


def test_a_class_without_labelled_positives_is_neither_flooded_nor_unlearned(runner, model, dataset):
    dataset.labels[dataset.labels[:, 2] == 1, 2] = 0
    PseudoLabelHook().before_train_epoch(runner)
    labels = model.bank.pseudo_labels.labels
    assert (labels[:, 2] == -1).all()
    assert (labels[:, [0, 1, 3, 4, 5]] == 1).any(0).all()
    record = record_of(Path(runner.work_dir))
    assert record['positive_thresholds'][2] is None
    assert record['negative_thresholds'][2] is None
    assert record['precision'][2] is None


def test_warm_up_epochs_leave_the_bank_empty(runner, model, tmp_path):
    runner.epoch = 0
    PseudoLabelHook().before_train_epoch(runner)
    assert model.bank is None
    assert not (tmp_path / 'pseudo_labels.jsonl').exists()


def test_each_epoch_is_one_line_of_strict_json_with_thresholds_counts_and_quality(runner, model, dataset, tmp_path):
    hook = PseudoLabelHook()
    hook.before_train_epoch(runner)
    runner.epoch = 2
    model.teacher.reset(model.head)
    hook.before_train_epoch(runner)
    first, second = record_of(tmp_path, 0), record_of(tmp_path, 1)
    assert (first['epoch'], second['epoch']) == (2, 3)
    assert first['positive_thresholds'] != second['positive_thresholds']
    labels = model.bank.pseudo_labels.labels.numpy()
    truth = dataset.hidden_labels[dataset.unlabelled_indices]
    assert second['class_names'] == dataset.class_names
    for c in range(6):
        positive = labels[:, c] == 1
        assert second['positives'][c] == positive.sum()
        assert second['negatives'][c] == (labels[:, c] == 0).sum()
        assert second['masked'][c] == (labels[:, c] == -1).sum()
        assert second['precision'][c] == pytest.approx(truth[positive, c].mean())
        assert second['recall'][c] == pytest.approx(positive[truth[:, c] == 1].mean())


def test_the_oracle_gives_the_hidden_truth(runner, model, dataset, tmp_path):
    PseudoLabelHook(oracle=True).before_train_epoch(runner)
    truth = dataset.hidden_labels[dataset.unlabelled_indices]
    ids = [dataset.image_ids[index] for index in dataset.unlabelled_indices]
    assert np.array_equal(model.bank.lookup(ids)[0].numpy(), truth)
    record = record_of(tmp_path)
    assert record['micro_precision'] == record['micro_recall'] == 1
    assert record['positive_thresholds'] == [None] * 6


def test_a_model_inside_a_distributed_wrapper_is_found(runner, model):
    from mmengine.model import MMDistributedDataParallel

    wrapper = MMDistributedDataParallel.__new__(MMDistributedDataParallel)
    nn.Module.__init__(wrapper)
    wrapper.module = model
    runner.model = wrapper
    PseudoLabelHook().before_train_epoch(runner)
    assert len(model.bank) == 24


def test_a_pipeline_of_the_hook_s_own_is_used_even_where_a_cache_holds_the_plain_view(model, dataset):
    mirrored = [PLAIN_VIEW[0], dict(type='RandomFlip', prob=1.0), PLAIN_VIEW[1]]
    hook = PseudoLabelHook(pipeline=mirrored)
    expected = hook.score(model, dataset, mirrored)
    assert not torch.equal(expected, hook.score(model, dataset, PLAIN_VIEW))
    model.feature_cache = fill_cache(model, dataset, dataset.unlabelled_indices)
    assert torch.equal(hook.score(model, dataset, mirrored), expected)


# -- policies that learn from the labelled images ----------------------------------------------------------------------


def spy(monkeypatch, hook):
    """What the hook hands to its policy: (scores, rates, *labelled)."""
    calls = []
    policy = hook.policy
    hook.policy = lambda scores, rates, labelled_scores, labelled_labels: (
        calls.append((scores, rates, labelled_scores, labelled_labels)),
        policy(scores, rates, labelled_scores, labelled_labels),
    )[1]
    return calls


@torch.no_grad()
def labelled_scores_one_by_one(model, dataset):
    """As `scores_one_by_one`, of a data set whose labelled images are the unlabelled ones."""
    other = SimpleNamespace(img_paths=dataset.img_paths, unlabelled_indices=dataset.labelled_indices)
    return scores_one_by_one(model, other)


@pytest.mark.parametrize('name', ['mat', 'calibrated', 'instance_adaptive'])
def test_the_policy_gets_the_teacher_s_scores_of_the_labelled_images_with_their_labels(
    runner, model, dataset, monkeypatch, name
):
    hook = PseudoLabelHook(policy=dict(name=name))
    calls = spy(monkeypatch, hook)
    hook.before_train_epoch(runner)
    ((_, _, labelled_scores, labels),) = calls
    torch.testing.assert_close(labelled_scores, labelled_scores_one_by_one(model, dataset), rtol=1e-5, atol=1e-6)
    assert np.array_equal(labels.numpy(), dataset.labels[dataset.labelled_indices])
    assert len(model.bank) == 24
    record_of(Path(runner.work_dir))


@pytest.mark.parametrize('policy', [dict(name='cat'), dict(name='fixed'), dict(name='top_k', k=2)])
def test_no_labelled_image_is_scored_for_a_policy_that_does_not_ask(runner, dataset, monkeypatch, policy):
    hook = PseudoLabelHook(policy=policy)
    score, asked = hook.score, []
    monkeypatch.setattr(hook, 'score', lambda *args: (asked.append(args), score(*args))[1])
    hook.before_train_epoch(runner)
    assert len(asked) == 1


@pytest.mark.parametrize('world_size', [3, 17])
def test_ranks_share_the_labelled_images_too(model, dataset, monkeypatch, world_size):
    hook = PseudoLabelHook()
    expected = hook.score(model, dataset, PLAIN_VIEW, dataset.labelled_indices)
    assert expected.shape == (16, 6)
    shares = []
    monkeypatch.setattr(scoring, 'all_reduce', lambda matrix: shares.append(matrix.clone()))
    for rank in range(world_size):
        monkeypatch.setattr(scoring, 'get_dist_info', lambda rank=rank: (rank, world_size))
        hook.score(model, dataset, PLAIN_VIEW, dataset.labelled_indices)
    # The tower rounds differently in a smaller batch.
    torch.testing.assert_close(sum(shares), expected, rtol=1e-4, atol=1e-5)
    assert all((share != 0).any(1).sum() in (16 // world_size, -(-16 // world_size)) for share in shares)


def test_a_bad_labelled_image_teaches_the_policy_nothing(runner, model, dataset, monkeypatch):
    dataset.bad_images = BadImages(shape=(64, 64))
    bad = dataset.labelled_indices[2]
    dataset.bad_images.reasons[dataset.image_ids[bad]] = 'truncated'
    hook = PseudoLabelHook(policy=dict(name='mat'))
    calls = spy(monkeypatch, hook)
    hook.before_train_epoch(runner)
    ((_, _, labelled_scores, labels),) = calls
    kept = np.delete(np.arange(16), 2)
    torch.testing.assert_close(labelled_scores, labelled_scores_one_by_one(model, dataset)[kept], rtol=1e-5, atol=1e-6)
    assert np.array_equal(labels.numpy(), dataset.labels[dataset.labelled_indices[kept]])


# -- weights: from the policy through the bank into the loss ----------------------------------------------------------


@pytest.fixture
def weighted_loss(runner, model, dataset, make_sample, monkeypatch):
    """weighted_loss(weights) -> loss of four unlabelled images, by cell weights (24, 6) that a policy gives."""
    torch.manual_seed(3)
    inputs = torch.randn(4, 3, 64, 64)
    labels = torch.randint(0, 2, (24, 6)).to(torch.int8)
    model.context_head = None
    model.feature_cache = fill_cache(model, dataset, dataset.unlabelled_indices)  # to save time
    ids = [dataset.image_ids[index] for index in dataset.unlabelled_indices]
    samples = [make_sample(image_id, [-1] * 6, False) for image_id in ids[2:6]]

    def call(weights, masked=None):
        found = labels.clone()
        if masked is not None:
            found[masked] = -1
        none = torch.full((6,), float('nan'))
        hook = PseudoLabelHook()
        hook.policy = lambda scores, rates: PseudoLabels(found, weights, none, none)
        hook.before_train_epoch(runner)
        model.zero_grad()
        loss = model.loss(inputs, samples)['loss_unlabelled']
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


def test_the_weights_of_calibrated_reach_the_bank(runner, model, dataset):
    PseudoLabelHook(policy=dict(name='calibrated')).before_train_epoch(runner)
    _, weights = model.bank.lookup([dataset.image_ids[index] for index in dataset.unlabelled_indices])
    assert torch.equal(weights, model.bank.pseudo_labels.weights)
    assert 0 < weights.min() < weights.max() < 1


# -- forced errors, and what the record says ---------------------------------------------------------------------------


def test_wrong_labels_swap_a_share_of_each_class_and_their_weights_and_change_by_epoch(runner, model, tmp_path):
    def bank(share, epoch=1, seed=5):
        runner.epoch, runner.seed = epoch, seed
        PseudoLabelHook(policy=dict(name='calibrated'), wrong_labels=share).before_train_epoch(runner)
        return model.bank.pseudo_labels

    clean, noisy = bank(0.0), bank(0.5)
    for c in range(6):
        positives, negatives = (int((clean.labels[:, c] == value).sum()) for value in (1, 0))
        assert int((noisy.labels[:, c] == 1).sum()) == positives
        lost = (clean.labels[:, c] == 1) & (noisy.labels[:, c] == 0)
        assert int(lost.sum()) == min(round(0.5 * positives), negatives)
        for value in (1, 0):
            weights = [set(kind.weights[kind.labels[:, c] == value, c].tolist()) for kind in (clean, noisy)]
            assert weights[0] == weights[1]
    assert torch.equal(noisy.labels, bank(0.5).labels)
    assert not torch.equal(noisy.labels, bank(0.5, epoch=2).labels)
    assert not torch.equal(noisy.labels, bank(0.5, seed=6).labels)
    precision = [json.loads(line)['micro_precision'] for line in (tmp_path / 'pseudo_labels.jsonl').open()]
    assert precision[0] != precision[1]  # the record tells of the labels that training sees


def test_forced_errors_in_the_oracle_s_labels_are_wrong_for_certain(runner, model, dataset):
    runner.seed = 1
    PseudoLabelHook(oracle=True, wrong_labels=0.25).before_train_epoch(runner)
    truth = dataset.hidden_labels[dataset.unlabelled_indices]
    found = model.bank.pseudo_labels.labels.numpy()
    for c in range(6):
        expected = min(round(0.25 * (truth[:, c] == 1).sum()), (truth[:, c] == 0).sum())
        assert ((truth[:, c] == 1) & (found[:, c] == 0)).sum() == expected


def test_a_share_of_wrong_labels_that_is_none_is_refused():
    with pytest.raises(ConfigError, match='default_hooks.pseudo_labels: found wrong_labels=2'):
        PseudoLabelHook(wrong_labels=2)


def test_the_record_tells_f1_labelled_positives_and_the_calibration_of_readable_images(
    runner, model, dataset, tmp_path
):
    dataset.bad_images = BadImages(shape=(64, 64))
    unlabelled = dataset.unlabelled_indices
    dataset.bad_images.reasons[dataset.image_ids[unlabelled[4]]] = 'truncated'
    PseudoLabelHook(policy=dict(name='fixed', positive=0.5, negative=0.4)).before_train_epoch(runner)
    record = record_of(tmp_path)
    kept = np.delete(np.arange(24), 4)
    truth, labels = dataset.hidden_labels[unlabelled][kept], model.bank.pseudo_labels.labels.numpy()[kept]
    scores = scores_one_by_one(model, dataset).numpy()[kept]
    assert record['labelled_positives'] == (dataset.labels == 1).sum(0).tolist()
    for c in range(6):
        assert record['F1'][c] == pytest.approx(f1_score(truth[:, c] == 1, labels[:, c] == 1, zero_division=0))
    assert sum(record['reliability']['count']) == 23 * 6
    where = np.minimum((scores * 10).astype(int), 9)
    gaps = [abs((scores - truth)[where == index].sum()) for index in range(10)]
    assert record['overall_calibration_error'] == pytest.approx(sum(gaps) / (23 * 6), abs=1e-5)


def test_without_truth_the_record_says_nothing_of_precision_or_calibration(runner, dataset, tmp_path):
    dataset.hidden_labels[dataset.unlabelled_indices] = -1
    PseudoLabelHook().before_train_epoch(runner)
    record = record_of(tmp_path)
    assert record['precision'] == record['F1'] == record['calibration_error'] == [None] * 6
    assert record['CF1'] is record['overall_calibration_error'] is None
    assert record['reliability']['count'] == [0] * 10
    assert sum(record['positives']) > 0
