"""Running a model over a part of a data set, outside the runner's loops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.dist import all_reduce, get_dist_info
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from cssa_mm.errors import ConfigError


def bare_model(runner: Runner) -> torch.nn.Module:
    """The runner's model, out of the wrapper of a distributed run."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def plain_view(runner: Runner, pipeline: list | None = None) -> list:
    """The given transforms, or those of the validation or test data: the plain resize that a model is tested on.

    Raises:
        ConfigError: there is no such data to take them from.
    """
    if pipeline is not None:
        return pipeline
    if runner.val_loop is not None:
        return runner.val_loop.dataloader.dataset.pipeline.transforms
    # Only its pipeline is needed: its data may not be there when no test is wanted.
    held_out = runner.cfg.get('test_dataloader')
    if held_out is None:
        raise ConfigError(
            'default_hooks: found no val_dataloader and no test_dataloader, expected one of them, or a pipeline for '
            'the hook; give either'
        )
    return held_out['dataset']['pipeline']


def scoring_share(dataset: object, indices: np.ndarray | None = None) -> np.ndarray:
    """Which rows of the unlabelled images, or of `indices`, this rank scores: every row belongs to one rank."""
    rank, world_size = get_dist_info()
    return np.arange(len(dataset.unlabelled_indices if indices is None else indices))[rank::world_size]


def plain_features(
    model: torch.nn.Module, dataset: object, indices: Sequence[int], pipeline: list, description: str, **loader: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Features of the plain view of some images, from the cache where it holds them, else by `encode`.

    Not for a pipeline of a hook's own: the cache would not notice.
    """
    views = [(dataset.image_ids[i], False) for i in indices]
    cache = model.feature_cache
    if cache is not None and cache.holds(views):
        model.unfold()
        return cache.batches(views, model.head.bias.device)
    return encode(model, dataset, indices, pipeline, description, **loader)


def encode(
    model: torch.nn.Module,
    dataset: object,
    indices: Sequence[int],
    pipeline: list,
    description: str,
    batch_size: int = 64,
    num_workers: int = 0,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Local (b, N, D) and global (b, D) features of the images at `indices`, batch by batch, in order.

    All of them are read by this process; rank 0 shows progress.
    """
    loader = DataLoader(
        dataset.with_pipeline(pipeline, indices),
        batch_size=batch_size,
        num_workers=num_workers,
        collate_fn=pseudo_collate,
    )
    rank, _ = get_dist_info()
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for data in tqdm(loader, desc=description, leave=False, disable=rank != 0 or len(loader) < 2):
                if dataset.bad_images is not None:
                    dataset.bad_images.note(data['data_samples'])
                yield model.backbone(model.data_preprocessor(data)['inputs'])
    finally:
        model.train(was_training)


def readable_rows(dataset: object, indices: np.ndarray) -> Tensor:
    """Which of M images no rank has found to be bad, bool (M,); all ranks must call it."""
    if dataset.bad_images is None:
        return torch.ones(len(indices), dtype=torch.bool)
    dataset.bad_images.share()
    return torch.as_tensor(~dataset.bad_images.among([dataset.image_ids[i] for i in indices]))


def gather_rows(rows: Tensor, indices: Sequence[int], total: int) -> Tensor:
    """The full (total, C) matrix, on every rank, of the rows that each rank has computed (on the CPU).

    Every row belongs to one rank, so the sum over the ranks is exact.
    """
    matrix = torch.zeros(total, rows.shape[1], dtype=rows.dtype, device=rows.device)
    matrix[torch.as_tensor(indices, device=rows.device)] = rows
    all_reduce(matrix)
    return matrix.cpu()
