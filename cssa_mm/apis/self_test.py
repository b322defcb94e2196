"""A training in miniature: the demo's tower, one step and one scoring on random pixels, in seconds."""

from __future__ import annotations

import socket

import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmpretrain.structures import DataSample
from torch.utils.data import DataLoader, TensorDataset

from cssa_mm.apis.loading import zero_shot
from cssa_mm.datasets.workers import WorkerStart
from cssa_mm.errors import CSSAError
from cssa_mm.models import CSSAClassifier

NAMES = ['anchor', 'coffee', 'flag']
SIDE, IMAGES = 64, 4


def take_step(device: str | None) -> CSSAClassifier:
    """Train the demo's tower for one step on random images; returns the model.

    Raises:
        CSSAError: the step is not finite, or moves nothing.
    """
    with torch.random.fork_rng(devices=[]):
        model = zero_shot(class_names=NAMES, model_name='cssa-demo-rn', pretrained='demo', size=SIDE, device=device)
    model.train()
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    before = [parameter.detach().clone() for parameter in learned]
    optimiser = OptimWrapper(torch.optim.SGD(learned, lr=0.1))
    loss = float(BaseModel.train_step(model, _batch(), optimiser)['loss'].detach())
    moved = any(not torch.equal(old, new) for old, new in zip(before, learned, strict=True))
    if not (abs(loss) < float('inf') and moved and all(bool(torch.isfinite(p).all()) for p in learned)):
        raise CSSAError(f'a step of training has the loss {loss:g} and moves {"something" if moved else "nothing"}')
    return model.eval()


def score(model: CSSAClassifier) -> None:
    """Score random images, alone and together.

    Raises:
        CSSAError: scores are not finite, or depend on the other images of a batch.
    """
    batch = _batch()
    with torch.no_grad():
        together = _scores(model, batch)
        alone = _scores(model, {key: values[:1] for key, values in batch.items()})
    if not torch.isfinite(together).all() or (together[:1] - alone).abs().max() > 1e-2:
        raise CSSAError('scores of random images are not finite, or depend on the batch')


def load_in_worker() -> None:
    """Get a batch from a loader with a worker, through its shared memory."""
    pixels = torch.arange(3 * SIDE**2, dtype=torch.uint8).reshape(1, 3, SIDE, SIDE)
    loader = DataLoader(TensorDataset(pixels), num_workers=1, worker_init_fn=WorkerStart(), timeout=60)
    ((found,),) = loader
    if not torch.equal(found, pixels):
        raise CSSAError('a worker of a loader hands over other pixels than it has read')


def join_processes() -> None:
    """Let gloo join a group of one process at a free port, and add up a number."""
    if torch.distributed.is_initialized():
        return
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        port = listener.getsockname()[1]
    torch.distributed.init_process_group('gloo', init_method=f'tcp://127.0.0.1:{port}', rank=0, world_size=1)
    try:
        torch.distributed.all_reduce(torch.ones(1))
    finally:
        torch.distributed.destroy_process_group()


def _batch() -> dict[str, list]:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (IMAGES, 3, SIDE, SIDE), dtype=torch.uint8, generator=generator)
    samples = []
    for row in range(IMAGES):
        sample = DataSample(metainfo=dict(image_id=str(row), is_labelled=True))
        samples.append(sample.set_gt_score(torch.arange(len(NAMES)).eq(row % len(NAMES)).float()))
    return dict(inputs=list(pixels), data_samples=samples)


def _scores(model: CSSAClassifier, batch: dict[str, list]) -> torch.Tensor:
    return torch.stack([sample.pred_score for sample in BaseModel.test_step(model, batch)])
