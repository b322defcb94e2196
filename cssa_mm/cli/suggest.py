"""`cssa suggest`: choose which photos to label next, and write a page to label them in."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from cssa_mm.apis.config import load_config
from cssa_mm.apis.suggesting import COUNT, LOOKED_AT, suggest
from cssa_mm.cli.arguments import CONFIG_HELP, add_device, add_overrides, checkpoint_of, command_parser, run

DESCRIPTION = (
    'Choose the unlabelled photos whose labels would teach the model most: those with scores near the thresholds, '
    'unlike each other. OUT/label.html is a page to label them in, which opens from disk with a double click; Label '
    'Studio tasks and a table to fill in lie beside it.'
)
EXAMPLE = 'cssa suggest photos --checkpoint work_dirs/cssa_table/epoch_22.pth --out next'


def parser() -> argparse.ArgumentParser:
    """Arguments of `cssa suggest`."""
    result = command_parser('suggest', DESCRIPTION, EXAMPLE)
    result.add_argument(
        'images', help='folder of photos, whose labelled ones are left out; a config; or what predict takes'
    )
    result.add_argument('--out', required=True, help='folder to write, new or empty')
    result.add_argument(
        '--checkpoint', default='none', help='checkpoint or ONNX file; zero-shot CLIP by default (none)'
    )
    result.add_argument('--force', action='store_true', help='replace the files of an earlier call in OUT')
    choice = result.add_argument_group('choice')
    choice.add_argument('--count', type=int, default=COUNT, help='photos to choose (default: %(default)s)')
    choice.add_argument('--random', action='store_true', help='draw them at random, the baseline')
    choice.add_argument('--seed', type=int, default=0, help='of every draw (default: %(default)s)')
    choice.add_argument(
        '--look-at',
        type=int,
        default=LOOKED_AT,
        metavar='N',
        help='photos to score; of more, these are drawn at random (default: %(default)s)',
    )
    data = result.add_argument_group('labels')
    data.add_argument('--labels', metavar='FILE', help='label file of the photos, where it is not found')
    data.add_argument('--data-root', help='directory of the data of a config')
    add_overrides(data)
    zero_shot = result.add_argument_group('zero-shot CLIP, without --checkpoint')
    zero_shot.add_argument('--classes', metavar='"A, B"|FILE', help='class names, or a file with one a line')
    zero_shot.add_argument(
        '--neighbours',
        nargs='?',
        const=True,
        default=False,
        metavar='PREDICTIONS',
        help='each photo leans on those that look like it; a folder of predict --neighbours has read them already',
    )
    zero_shot.add_argument('--config', help=f'{CONFIG_HELP}; its classes and tower')
    machine = result.add_argument_group('model and machine')
    machine.add_argument(
        '--tower',
        metavar='PATH|NAME:TAG|NAME:PATH',
        help="new path of the weights of the checkpoint's tower, if they were moved; without one, the tower to take",
    )
    machine.add_argument('--batch-size', type=int, default=32, help='photos scored at a time (default: %(default)s)')
    machine.add_argument('--workers', type=int, help='processes that decode; goes by the cores by default')
    add_device(machine)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cssa suggest`; returns the exit status."""
    return run(parser(), _suggest, arguments)


def _suggest(options: argparse.Namespace) -> None:
    config, tower = options.config, options.tower
    if config is not None and options.checkpoint == 'none':
        config, tower = load_config(config, tower=tower), None
    result = suggest(
        images=options.images,
        out=options.out,
        checkpoint=checkpoint_of(options),
        count=options.count,
        is_random=options.random,
        seed=options.seed,
        looked_at=options.look_at,
        labels=options.labels,
        data_root=options.data_root,
        overrides=options.cfg_options,
        config=config,
        tower=tower,
        classes=options.classes,
        neighbours=options.neighbours,
        replaces=options.force,
        batch_size=options.batch_size,
        workers=options.workers,
        device=options.device,
    )
    print(result.text())
