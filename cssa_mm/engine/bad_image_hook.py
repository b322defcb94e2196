"""Bad training images: a few are left out and reported, too many stop the training."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from mmengine.dist import get_dist_info, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS
from tqdm import tqdm

from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.datasets.bad_images import BadImages, reason_of
from cssa_mm.datasets.transforms import LoadRGBImage
from cssa_mm.engine.questions import refuse_untaught
from cssa_mm.errors import DataError, ImageError
from cssa_mm.files import write_text
from cssa_mm.values import Range, Workers, check_values

FILE = 'bad_images.txt'


@HOOKS.register_module()
class BadImageHook(Hook):
    """A bad training image becomes a neutral item, which contributes to no loss, pseudo-label, rank or class rate.

    `bad_images.txt` in the work directory lists them, path and reason with a tab between, as they are found: labelled
    ones before training, because class rates must not count them; unlabelled ones when they are first read, before the
    first epoch that trains on them. A bad validation or test image is an error: dropping images would make metrics
    incomparable. A resumed run finds the same images again.

    Args:
        max_share: largest share of the training images that may be bad. One is always tolerated, unless this is 0.
        num_workers: threads that open the labelled images.
    """

    priority = 'VERY_HIGH'

    def __init__(self, max_share: Annotated[float, Range(0, 1, below=True)] = 0.001, num_workers: Workers = 4) -> None:
        check_values(BadImageHook, locals(), 'default_hooks.bad_images')
        self.max_share = max_share
        self.num_workers = num_workers
        self._reported = 0

    def before_train(self, runner: Runner) -> None:
        """Open the labelled images and remove the labels of the bad ones."""
        dataset = runner.train_dataloader.dataset
        self.inspect(dataset)
        self._reported = 0
        if is_main_process():
            Path(runner.work_dir, FILE).unlink(missing_ok=True)  # of an earlier run
        self._report(runner)
        if dataset.bad_images is not None and dataset.bad_images.reasons:
            refuse_untaught(dataset, runner.cfg)

    def inspect(self, dataset: SemiMultiLabelDataset) -> None:
        """Make a training set tolerate bad images, and find those among its labelled ones; all ranks must call it."""
        loader = next((step for step in dataset.pipeline.transforms if isinstance(step, LoadRGBImage)), None)
        if loader is None:
            return  # another loader raises errors of its own
        rank, world_size = get_dist_info()
        indices = dataset.labelled_indices[rank::world_size]
        with ThreadPoolExecutor(max(self.num_workers, 1)) as pool:
            opened = pool.map(lambda index: _open(loader, dataset.img_paths[index]), indices)
            found = list(
                tqdm(opened, 'Labelled images', len(indices), leave=False, disable=rank != 0 or len(indices) < 100)
            )
        shapes = [shape for shape, _ in found if shape is not None]
        dataset.bad_images = bad_images = BadImages(*shapes[:1])
        for index, (_, reason) in zip(indices, found, strict=True):
            if reason is not None:
                bad_images.reasons[dataset.image_ids[index]] = reason
        bad_images.share()
        dataset.labels[bad_images.among(dataset.image_ids)] = -1

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Before the first step of an epoch, report what the feature cache and the scoring have found."""
        if batch_idx == 0:
            self._share_and_report(runner)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Collect what the loader's workers have found."""
        bad_images = runner.train_dataloader.dataset.bad_images
        if bad_images is not None:
            bad_images.note(data_batch['data_samples'])
            if get_dist_info()[1] == 1:
                self._report(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Report what the other ranks have found in this epoch."""
        self._share_and_report(runner)

    def _share_and_report(self, runner: Runner) -> None:
        bad_images = runner.train_dataloader.dataset.bad_images
        if bad_images is not None:
            bad_images.share()
            self._report(runner)

    def _report(self, runner: Runner) -> None:
        dataset = runner.train_dataloader.dataset
        if dataset.bad_images is None or len(dataset.bad_images.reasons) == self._reported:
            return
        # Names that are no UTF-8 can be opened, but not written.
        rows = np.flatnonzero(dataset.bad_images.among(dataset.image_ids))
        lines = [f'{dataset.img_paths[i]}\t{dataset.bad_images.reasons[dataset.image_ids[i]]}' for i in rows]
        lines = [line.encode('utf-8', 'backslashreplace').decode() for line in lines]
        path = Path(runner.work_dir, FILE)
        known = set(path.read_text('utf-8').splitlines()) if path.is_file() else set()
        if is_main_process():
            write_text(path, ''.join(f'{line}\n' for line in lines))
        self._reported = len(lines)
        tolerated = tolerated_bad_images(len(dataset), self.max_share)
        if len(lines) > tolerated:
            raise DataError(
                f'{path}: found {len(lines)} bad images among {len(dataset)} training images, expected at most '
                f'{tolerated} (default_hooks.bad_images.max_share={self.max_share}); restore or remove the images that '
                f'it names; cssa check finds all of them at once.'
            )
        for line in lines:
            if line not in known:
                print_log(f'Bad image, not trained on: {line.replace(chr(9), ": ")}', 'current', logging.WARNING)


def tolerated_bad_images(num_images: int, max_share: float) -> int:
    """How many bad images training tolerates: the share, but at least one; none for a share of 0."""
    return max(int(max_share * num_images), 1) if max_share > 0 else 0


def _open(loader: LoadRGBImage, path: str) -> tuple[tuple[int, int] | None, str | None]:
    """Height and width of a good image, or what is wrong with a bad one."""
    try:
        return loader.load(path).shape[:2], None
    except ImageError as error:
        return None, reason_of(error, path)
