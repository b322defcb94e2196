"""Tables in training: the losses read known cells only, and few labels suffice for the sampler."""

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from PIL import Image

from cssa_mm.datasets import TableDataset
from cssa_mm.semi.sampler import GlobalBatchSampler, SemiSupervisedSampler

NAMES = ['dog', 'cat', 'traffic light', 'red bicycle', 'table', 'window frame']
PIPELINE = [
    dict(type='LoadRGBImage'),
    dict(type='PackInputs', meta_keys=('image_id', 'is_labelled', 'flip', 'bad_image')),
]
TABLE = 'image,dog,cat,traffic light,red bicycle,table,window frame\n0.png,1,0,,,-1,0\n1.png,,1,,0,,\n2.png,,,,,,\n'


@pytest.fixture
def data(tmp_path) -> TableDataset:
    """Twelve photos: two with partial labels, a blank row, nine without a row."""
    for index in range(12):
        pixels = np.random.default_rng(index).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f'{index}.png')
    (tmp_path / 'labels.csv').write_text(TABLE)
    return TableDataset(data_root=str(tmp_path), ann_file='labels.csv', class_names=NAMES, pipeline=PIPELINE)


def test_the_loss_is_that_of_the_known_cells_alone(data, make_model):
    """Oracle: binary cross-entropy in float64, cell by cell, of the five cells that the table knows."""
    model = make_model(loss=dict(gamma_negative=0.0, clip=0.0, reduction='sum'), context_head=None).train()
    batch = model.data_preprocessor(pseudo_collate([data[i] for i in range(len(data))]), training=True)
    losses = model.loss(**batch)
    logits = model.align(*model.backbone(batch['inputs'])).logits.double()
    known = {'0.png': {0: 1, 1: 0, 5: 0}, '1.png': {1: 1, 3: 0}}
    expected = 0.0
    for row, sample in enumerate(batch['data_samples']):
        for column, label in known.get(sample.image_id, {}).items():
            score = torch.sigmoid(logits[row, column])
            expected -= torch.log(score if label else 1 - score).item()
    assert losses['loss_labelled'].item() == pytest.approx(expected, rel=1e-5)
    (gradient,) = torch.autograd.grad(losses['loss_labelled'], model.head.bias)
    never_known = [2, 4]
    assert torch.count_nonzero(gradient[never_known]) == 0
    assert (gradient[[0, 1, 3, 5]] != 0).all()


@pytest.mark.parametrize('labelled_per_batch', [1, 2, 5])
def test_a_batch_may_hold_more_labelled_images_than_there_are(data, labelled_per_batch):
    sampler = SemiSupervisedSampler(data, labelled_per_batch=labelled_per_batch, seed=3, rank=0, world_size=1)
    GlobalBatchSampler(sampler, batch_size=8)
    sampler.warmup_epochs = 1
    (warm_up,) = sampler.global_batches()
    assert {key.index for key in warm_up} == set(data.labelled_indices)
    sampler.set_epoch(1)
    batches = [[key.index for key in batch] for batch in sampler.global_batches()]
    assert all(len(batch) == 8 for batch in batches)
    for batch in batches:
        assert set(batch[:labelled_per_batch]) <= set(data.labelled_indices)
        assert set(batch[labelled_per_batch:]) <= set(data.unlabelled_indices)
    assert {index for batch in batches for index in batch[labelled_per_batch:]} == set(data.unlabelled_indices)
