"""`cssa test`: test a checkpoint, or the untrained model; the arguments are those of mmpretrain's own test.py."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from cssa_mm.apis.testing import test
from cssa_mm.cli.arguments import (
    add_checkpoint,
    add_config,
    add_runner,
    add_tower,
    checkpoint_of,
    command_parser,
    overrides_of,
    run,
    set_local_rank,
)

DESCRIPTION = (
    'Test a model. The checkpoint `none` tests the model as it starts, which is zero-shot CLIP where the prompts start '
    'from words.'
)
EXAMPLE = 'cssa test cssa_demo work_dirs/cssa_demo/epoch_162.pth --out metrics.json --out-item metrics'


def parser() -> argparse.ArgumentParser:
    """Arguments of `cssa test`."""
    result = command_parser('test', DESCRIPTION, EXAMPLE)
    add_config(result)
    add_tower(result)
    add_checkpoint(result)
    result.add_argument('--out', '--dump', help='file for the predictions or metrics (.json, .pkl)')
    result.add_argument('--out-item', choices=['metrics', 'pred'], help='what --out holds; predictions by default')
    result.add_argument('--show-dir', help='directory for pictures of the predictions')
    result.add_argument('--show', action='store_true', help='show the predictions in a window')
    result.add_argument('--interval', type=int, default=1, help='show every n-th image')
    result.add_argument('--wait-time', type=float, default=2, help='seconds that a window stays')
    result.add_argument('--tta', action='store_true', help="average views of each image: the config's tta_pipeline")
    add_runner(result)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cssa test`; returns the exit status."""
    return run(parser(), _test, arguments)


def _test(options: argparse.Namespace) -> None:
    set_local_rank(options)
    test(
        config=options.config,
        checkpoint=checkpoint_of(options),
        data_root=options.data_root,
        overrides=overrides_of(options),
        tower=options.tower,
        work_dir=options.work_dir,
        out=options.out,
        out_item=options.out_item,
        show=options.show,
        show_dir=options.show_dir,
        interval=options.interval,
        wait_time=options.wait_time,
        device=options.device,
        amp=options.amp,
        tta=options.tta,
        pin_memory=not options.no_pin_memory,
        launcher=options.launcher,
    )
