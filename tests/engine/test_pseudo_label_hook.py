import json
import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmpretrain.registry import DATASETS
from PIL import Image
from torch import nn

from cssa_mm.engine import scoring
from cssa_mm.engine.pseudo_label_hook import PseudoLabelHook
from cssa_mm.engine.scoring import encode, gather_rows
from cssa_mm.models.feature_cache import FeatureCache

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
