import numpy as np
import pytest
import torch
from mmpretrain.registry import DATASETS

from cssa_mm.datasets.bad_images import BadImages
from cssa_mm.datasets.view import View
from cssa_mm.features import encode as encode_module
from cssa_mm.features.encode import encode, gather_rows, readable_rows, share_of_rank

VIEW = View(size=None)


@pytest.fixture
def dataset(tiny_config):
    return DATASETS.build(tiny_config().train_dataloader.dataset)


def one_by_one(model, dataset, indices, mirrored):
    """Features of images that are read here, one by one."""
    pixels = [VIEW(dict(img_path=dataset.img_paths[index]))['img'] for index in indices]
    inputs = [torch.from_numpy((p[:, ::-1] if mirrored else p).copy()).permute(2, 0, 1) for p in pixels]
    with torch.no_grad():
        batches = [model.backbone(model.data_preprocessor(dict(inputs=image[None]))['inputs']) for image in inputs]
    return [torch.cat(tensors) for tensors in zip(*batches, strict=True)]


@pytest.mark.parametrize('mirrored', [False, True])
def test_images_are_encoded_in_batches_and_in_the_order_that_is_asked_for(make_model, dataset, mirrored):
    model, indices = make_model().train(), [7, 2, 30, 3, 1]
    batches = list(encode(model, dataset, indices, VIEW, '', mirrored=mirrored, batch_size=2))
    assert [len(local) for local, _ in batches] == [2, 2, 1]
    found = [torch.cat(tensors) for tensors in zip(*batches, strict=True)]
    for tensor, expected in zip(found, one_by_one(model, dataset, indices, mirrored), strict=True):
        torch.testing.assert_close(tensor, expected, rtol=1e-4, atol=1e-5)
    assert not found[0].requires_grad
    assert model.training


def test_the_mode_comes_back_where_nobody_reads_to_the_end(make_model, dataset):
    model = make_model().train()
    batches = encode(model, dataset, [0, 1], VIEW, '', batch_size=1)
    next(batches)
    batches.close()
    assert model.training


def test_gradients_of_the_reader_stay_on(make_model, dataset):
    batches = encode(make_model(), dataset, [0, 1], VIEW, '', batch_size=1)
    assert not next(batches)[0].requires_grad
    assert torch.is_grad_enabled()  # while the generator waits for its reader


def test_bad_images_are_noted(make_model, dataset):
    dataset.bad_images = BadImages(shape=(64, 64))
    dataset.img_paths[5] += '.missing'
    list(encode(make_model(), dataset, [4, 5], VIEW, ''))
    assert list(dataset.bad_images.reasons) == [dataset.image_ids[5]]
    assert readable_rows(dataset, np.array([4, 5])).tolist() == [True, False]


def test_where_bad_images_are_errors_all_are_readable(dataset):
    assert readable_rows(dataset, np.array([3, 4])).tolist() == [True, True]


@pytest.mark.parametrize('world_size', [1, 2, 7])
def test_every_row_belongs_to_one_rank(monkeypatch, world_size):
    shares = []
    for rank in range(world_size):
        monkeypatch.setattr(encode_module, 'get_dist_info', lambda rank=rank: (rank, world_size))
        shares.append(share_of_rank(5).tolist())
    assert sorted(sum(shares, [])) == list(range(5))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize('shape', [(5, 2), (5, 3, 2)])
def test_gathered_rows_stand_where_they_belong(monkeypatch, shape):
    matrix = torch.arange(1.0, 1 + np.prod(shape)).reshape(shape)
    other = gather_rows(matrix[[1, 3]], [1, 3], 5)
    assert torch.equal(other[[1, 3]], matrix[[1, 3]])
    assert not other[[0, 2, 4]].any()
    monkeypatch.setattr(encode_module, 'all_reduce', lambda rows: rows.add_(other))
    assert torch.equal(gather_rows(matrix[[0, 2, 4]], [0, 2, 4], 5), matrix)
