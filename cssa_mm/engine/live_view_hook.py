"""A training as one watches it in TensorBoard or another service: figures of each epoch, and explained images."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import numpy as np
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.engine.config.vis_backends import how_to_watch, make_picture_folder, watched, write_out
from cssa_mm.errors import ConfigError, nearest
from cssa_mm.evaluation.pseudo_label_scalars import pseudo_label_scalars
from cssa_mm.semi.pseudo_label_hook import PseudoLabelHook, bare_model
from cssa_mm.values import Positive, Range, Seed, Whole, check_values

if TYPE_CHECKING:
    from cssa_mm.engine.live_pictures import LivePictures

MOST_LABELS = 12  # as many as a picture has room for

FOLDER = 'explain'  # before the names of the pictures
DRAWINGS = 10


@HOOKS.register_module()
class LiveViewHook(Hook):
    """Shows a training while it runs, wherever the visualizer has a backend beside LocalVisBackend (config key `live`).

    MMEngine shows losses, rates and the metrics of validations, of the EMA teacher and of the student. This adds, by
    epoch: numbers of pseudo-labels, their precision and recall where the truth is known, and thresholds, those of some
    classes by name and the lowest, median and highest of all; and pictures of the same few validation images, as
    `cssa explain` draws them, with their true labels.

    It changes nothing of the training: the images are encoded once, and without random numbers. A picture takes a
    quarter of a second of rank 0 and 0.4 MB in each backend. What goes wrong here costs a line in the log, and not the
    training.

    Args:
        interval: epochs from pictures to pictures, which the last epoch has, too; None draws them ten times.
        num_images: validation images that are explained; 0 draws none. They are drawn by `seed` so that each shows
            a class that those before it don't, as long as there are such.
        image_ids: ids of the images to explain in place of drawn ones.
        num_labels: most labels of an image, at most 12: its true ones, then predicted ones, the best first.
        num_classes: most classes whose thresholds are shown by name: those with the most labelled positives.
        seed: of the draw.

    Raises:
        ConfigError: a value is invalid, or no validation image has an id of `image_ids`.
    """

    priority = 'LOW'  # after calibration, pseudo-labels and the logger

    def __init__(
        self,
        interval: Positive | None = None,
        num_images: Whole = 4,
        image_ids: Sequence[str] | None = None,
        num_labels: Annotated[int, Range(1, MOST_LABELS)] = 6,
        num_classes: Whole = 20,
        seed: Seed = 0,
    ) -> None:
        check_values(LiveViewHook, locals(), 'default_hooks.live_view')
        self.interval = interval
        self.num_images = num_images
        self.image_ids = image_ids
        self.num_labels = num_labels
        self.num_classes = num_classes
        self.seed = seed
        self._is_watched = False
        self._has_failed = False
        self._indices: list[int] = []
        self._pictures: LivePictures | None = None

    def before_train(self, runner: Runner) -> None:
        """Choose the images, and say how to watch; without a backend that shows anything, do nothing at all."""
        self._is_watched, self._has_failed = bool(watched(runner.visualizer)), False
        if not self._is_watched:
            return
        for line in how_to_watch(runner.visualizer, runner.work_dir):
            print_log(line, 'current')
        dataset = None if runner.val_loop is None else runner.val_loop.dataloader.dataset
        reason = None
        if not isinstance(dataset, SemiMultiLabelDataset):
            reason = 'there are no validation images, or of a data set that is none of cssa_mm'
        elif not bare_model(runner).head.label_specific:
            reason = 'the model sees an image as a whole (model.head.label_specific=False)'
        elif self.image_ids is not None:
            self._indices = [_index_of(name, dataset.image_ids) for name in self.image_ids]
        else:
            from cssa_mm.engine.live_pictures import varied_images  # imports matplotlib

            self._indices = varied_images(np.asarray(dataset.labels), self.num_images, self.seed)
        if reason is not None:
            print_log(f'Live view: no pictures, as {reason}', 'current')

    def before_train_epoch(self, runner: Runner) -> None:
        """Show the pseudo-labels that the epoch starts with."""
        hook = _pseudo_labels_of(runner)
        if self._is_watched and hook is not None and hook.record is not None and hook.record['epoch'] > runner.epoch:
            scalars = pseudo_label_scalars(hook.record, self.num_classes)
            self._show(lambda: runner.visualizer.add_scalars(scalars, step=runner.epoch + 1))

    def after_train_epoch(self, runner: Runner) -> None:
        """Draw the pictures, if it is time for them."""
        interval = self.interval or -(-runner.max_epochs // DRAWINGS)
        if self._indices and (self.every_n_epochs(runner, interval) or self.is_last_train_epoch(runner)):
            hook = _pseudo_labels_of(runner)
            if hook is not None:  # all ranks fit the evidence together; the next epoch would do it otherwise
                hook.semi_supervision.refresh()
            self._show(lambda: self._draw(runner))
        if self._is_watched:
            self._show(lambda: write_out(runner.visualizer))

    def after_val_epoch(self, runner: Runner, metrics: Mapping[str, float] | None = None) -> None:
        """Show the metrics at once."""
        if self._is_watched:
            self._show(lambda: write_out(runner.visualizer))

    def _show(self, action: Callable[[], None]) -> None:
        """Do something on rank 0, and nothing more once it has failed."""
        if not is_main_process() or self._has_failed:
            return
        try:
            action()
        # Hours of training hang on it, and services raise what they like.
        except Exception as error:
            self._has_failed = True
            reason = f'{type(error).__name__}: {" ".join(str(error).split())}'
            print_log(f'Live view: it ends here ({reason}); the training goes on', 'current', logging.WARNING)

    def _draw(self, runner: Runner) -> None:
        if self._pictures is None:
            make_picture_folder(runner.visualizer, FOLDER)
            dataset = runner.val_loop.dataloader.dataset
            from cssa_mm.engine.live_pictures import LivePictures  # imports matplotlib

            self._pictures = LivePictures(bare_model(runner), dataset, self._indices, self.num_labels)
        for name, picture in self._pictures.draw():
            runner.visualizer.add_image(f'{FOLDER}/{name}', picture, step=runner.epoch + 1)


def _index_of(image_id: str, known: Sequence[str]) -> int:
    if image_id not in known:
        raise ConfigError(
            f"default_hooks.live_view.image_ids: found '{image_id}', expected ids of validation images, such as "
            f"'{known[0]}'.{nearest(image_id, known)}"
        )
    return known.index(image_id)


def _pseudo_labels_of(runner: Runner) -> PseudoLabelHook | None:
    return next((hook for hook in runner.hooks if isinstance(hook, PseudoLabelHook)), None)
