"""Encode a part of a data set outside the runner's loops, and share that work between ranks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.dataset import pseudo_collate
from mmengine.dist import all_reduce, get_dist_info
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.datasets.sample_key import SampleKey
from cssa_mm.datasets.view import View
from cssa_mm.datasets.workers import WorkerStart
from cssa_mm.features.cache import Features
from cssa_mm.features.view import scoring_pipeline
from cssa_mm.models import CSSAClassifier


def encode(
    model: CSSAClassifier,
    dataset: SemiMultiLabelDataset,
    indices: Sequence[int] | np.ndarray,
    view: View,
    description: str,
    *,
    mirrored: bool = False,
    pipeline: Sequence | None = None,
    seeds: Sequence[int] | None = None,
    batch_size: int = 64,
    num_workers: int = 0,
) -> Iterator[Features]:
    """Local (b, N, D) and global (b, D) features of a view of the images at `indices`, batch by batch, in order.

    This process reads all of them; rank 0 shows progress, if there is a description. A `pipeline` takes the place of
    the view, and the seed of each image decides what it draws.
    """
    loader: DataLoader[dict] = DataLoader(
        dataset.with_pipeline(pipeline or scoring_pipeline(view, mirrored), indices),
        sampler=None if seeds is None else [SampleKey(*key) for key in enumerate(seeds)],
        batch_size=batch_size,
        num_workers=num_workers,
        collate_fn=pseudo_collate,
        worker_init_fn=WorkerStart(),
    )
    rank, _ = get_dist_info()
    was_training = model.training
    model.eval()
    try:
        is_quiet = rank != 0 or len(loader) < 2 or not description
        for data in tqdm(loader, desc=description, leave=False, disable=is_quiet):
            if dataset.bad_images is not None:
                dataset.bad_images.note(data['data_samples'])
            yield model.backbone(model.data_preprocessor(data)['inputs'])
    finally:
        model.train(was_training)


def unit_pooled(batches: Iterable[Features]) -> np.ndarray:
    """Unit global features (n, D) of all batches."""
    return torch.cat([F.normalize(pooled, dim=-1).cpu() for _, pooled in batches]).numpy()


def share_of_rank(total: int) -> np.ndarray:
    """Which of `total` rows this rank computes: every row belongs to one rank."""
    rank, world_size = get_dist_info()
    return np.arange(total)[rank::world_size]


def gather_rows(rows: Tensor, indices: Sequence[int] | np.ndarray, total: int) -> Tensor:
    """The full (total, ...) tensor, on every rank, of the rows that each rank has computed; on the CPU.

    Every row belongs to one rank, so the sum over the ranks is exact.
    """
    result = torch.zeros(total, *rows.shape[1:], dtype=rows.dtype, device=rows.device)
    result[torch.as_tensor(np.asarray(indices), device=rows.device)] = rows
    all_reduce(result)
    return result.cpu()


def readable_rows(dataset: SemiMultiLabelDataset, indices: np.ndarray) -> Tensor:
    """Which of M images no rank has found to be bad, bool (M,); all ranks must call it."""
    if dataset.bad_images is None:
        return torch.ones(len(indices), dtype=torch.bool)
    dataset.bad_images.share()
    return torch.as_tensor(~dataset.bad_images.among([dataset.image_ids[i] for i in indices]))
