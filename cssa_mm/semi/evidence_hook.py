"""Keeps the closed-form evidence of a model that has one (cssa_plus) in step with its teacher."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from mmengine.dist import broadcast, is_main_process
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

from cssa_mm.features.encode import bare_model, plain_features, plain_view, readable_rows


@HOOKS.register_module()
class EvidenceHook(Hook):
    """Keeps `model.evidence` in step with the teacher; without it (`model.evidence=None`) does nothing.

    It is fitted before the first step and at the end of every epoch that semi-supervised training, a validation or a
    checkpoint follows, and goes into the checkpoint. Frozen features of the images it reads are kept; bad images are
    not read.

    Args:
        max_images: at most so many labelled, and so many unlabelled images are read, drawn by `seed`.
        seed: of that draw.
        batch_size: images encoded at a time.
        num_workers: of the loader.
    """

    priority = 'NORMAL'

    def __init__(self, max_images: int = 2048, seed: int = 0, batch_size: int = 64, num_workers: int = 0) -> None:
        self.max_images = max_images
        self.seed = seed
        self.batch_size = batch_size
        self.num_workers = num_workers
        self._batches: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._labels = torch.zeros(0)
        self._readable = torch.zeros(0, dtype=torch.bool)

    def before_train(self, runner: Runner) -> None:
        """Encode the images, once, and fit for the first time."""
        model = bare_model(runner)
        if model.evidence is None:
            return
        dataset = runner.train_dataloader.dataset
        generator = np.random.default_rng(self.seed)
        indices = [self._some(part, generator) for part in (dataset.labelled_indices, dataset.unlabelled_indices)]
        indices = np.concatenate(indices)
        loader = dict(batch_size=self.batch_size, num_workers=self.num_workers)
        features = plain_features(model, dataset, indices, plain_view(runner), 'Evidence', **loader)
        self._batches = [(local.cpu(), pooled.cpu()) for local, pooled in features]
        self._readable = readable_rows(dataset, indices)
        self._labels = torch.as_tensor(dataset.labels[indices])[self._readable]
        self._fit(model)

    def after_train_epoch(self, runner: Runner) -> None:
        """Fit again where somebody is about to read the scores."""
        model, loop = bare_model(runner), runner.train_loop
        if model.evidence is None:
            return
        done = runner.epoch + 1
        is_validated = runner.val_loop is not None and done >= loop.val_begin and done % loop.val_interval == 0
        is_saved = any(
            isinstance(hook, CheckpointHook) and hook.by_epoch and hook.every_n_epochs(runner, hook.interval)
            for hook in runner.hooks
        )
        if done >= getattr(loop, 'warmup_epochs', 0) or is_validated or is_saved:
            self._fit(model)

    def _some(self, indices: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        if len(indices) <= self.max_images:
            return indices
        return np.sort(generator.choice(indices, self.max_images, replace=False))

    def _fit(self, model: torch.nn.Module) -> None:
        model.unfold()
        device = model.head.bias.device
        readable = self._readable.to(device).split([len(pooled) for _, pooled in self._batches])

        def read() -> Iterator[tuple[torch.Tensor, ...]]:
            for (local, pooled), rows in zip(self._batches, readable, strict=True):
                yield tuple(part[rows] for part in model.readings(local.to(device), pooled.to(device)))

        if is_main_process():
            model.evidence.fit(read, self._labels)
        # One rank's rounding for all: the ranks of pseudo-labels must not differ.
        for buffer in model.evidence.buffers():
            broadcast(buffer)
