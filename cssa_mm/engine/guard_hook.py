"""Checks that need the whole run: before the first step, not after hours of training."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

from cssa_mm.engine.config_guard import check_config
from cssa_mm.semi.split import check_disjoint


@HOOKS.register_module()
class GuardHook(Hook):
    """Refuses unknown config keys and training images that are test images; says how many labels are used."""

    priority = 'VERY_HIGH'

    def before_run(self, runner: Runner) -> None:
        """Check the config; mmpretrain's own tools come by here, too."""
        check_config(runner.cfg)

    def before_train(self, runner: Runner) -> None:
        """Compare the training set with the validation set, by image id."""
        train = runner.train_dataloader.dataset
        labelled, total = len(train.labelled_indices), len(train)
        print_log(
            f'{labelled} of {total} training images are labelled ({labelled / total:.1%}), '
            f'{total - labelled} are not: {int((train.labels == 1).sum())} positive labels are used.',
            'current',
        )
        if runner.val_loop is not None:
            held_out = runner.val_dataloader.dataset
            if getattr(held_out, 'data_root', None) == train.data_root:
                check_disjoint(train.image_ids, held_out.image_ids, 'val_dataloader.dataset')
