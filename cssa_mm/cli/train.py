"""`cssa train`: train a model; the arguments are those of mmpretrain's own train.py."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from mmengine.dist import is_main_process

from cssa_mm.apis.exporting.module import stored_line
from cssa_mm.apis.scorer import model_facts, stored_in_words
from cssa_mm.apis.training import train
from cssa_mm.cli.arguments import (
    add_config,
    add_runner,
    add_tower,
    add_yes,
    command_parser,
    overrides_of,
    run,
    set_local_rank,
)

EXAMPLE = 'cssa train cssa_demo --work-dir work_dirs/no_context --cfg-options model.context_head=None'


def parser() -> argparse.ArgumentParser:
    """Arguments of `cssa train`."""
    result = command_parser('train', 'Train a model from a config.', EXAMPLE)
    add_config(result)
    add_tower(result)
    result.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='checkpoint to go on from; without one, the latest of the work directory',
    )
    result.add_argument('--no-validate', action='store_true', help='train without validation')
    result.add_argument('--auto-scale-lr', action='store_true', help='scale the learning rate by the batch size')
    result.add_argument('--no-persistent-workers', action='store_true', help='restart data workers every epoch')
    result.add_argument(
        '--tensorboard',
        action='store_true',
        help='show the training in TensorBoard while it runs; for another service --cfg-options live=wandb',
    )
    add_yes(result)
    add_runner(result)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cssa train`; returns the exit status."""
    return run(parser(), _train, arguments)


def _train(options: argparse.Namespace) -> None:
    set_local_rank(options)
    result = train(
        config=options.config,
        data_root=options.data_root,
        overrides=overrides_of(options),
        tower=options.tower,
        work_dir=options.work_dir,
        resume=True if options.resume == 'auto' else options.resume or False,
        validate=not options.no_validate,
        device=options.device,
        amp=options.amp,
        auto_scale_lr=options.auto_scale_lr,
        pin_memory=not options.no_pin_memory,
        persistent_workers=not options.no_persistent_workers,
        tensorboard=options.tensorboard,
        launcher=options.launcher,
    )
    if result.checkpoint is not None and is_main_process():
        print(f'Checkpoint: {result.checkpoint}')
        model = getattr(result.runner.model, 'module', result.runner.model)  # without what shares it between ranks
        stored = stored_line(stored_in_words(model_facts(model)))
        print(f'Label photos with it: cssa predict FOLDER --checkpoint {result.checkpoint} --out predictions{stored}')
