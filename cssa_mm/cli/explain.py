"""`cssa explain`: draw where the model looked for each label of an image."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from cssa_mm.apis.explanation_files import LIMIT, explain_files
from cssa_mm.cli.arguments import add_device, checkpoint_of, command_parser, run

DESCRIPTION = (
    'Draw where the model looked for each label of an image, with its score and threshold: one picture an image. Shown '
    'are the labels that reach their threshold; where none does, the best one, marked so.'
)
EXAMPLE = 'cssa explain photos/dog.jpg photos/park --checkpoint work_dirs/cssa_table/epoch_30.pth --out explanations'


def parser() -> argparse.ArgumentParser:
    """Arguments of `cssa explain`."""
    result = command_parser('explain', DESCRIPTION, EXAMPLE)
    result.add_argument(
        'images',
        nargs='+',
        help='images, folders, "patterns", lists (.txt), tables or label files, as predict takes them',
    )
    result.add_argument(
        '--checkpoint', required=True, help='checkpoint that training wrote; none for zero-shot CLIP, with --classes'
    )
    result.add_argument('--out', default='explanations', help='folder of the pictures (default: %(default)s)')
    chosen = result.add_mutually_exclusive_group()
    chosen.add_argument('--labels', metavar='"A, B"', help='the labels to show, whatever their scores')
    chosen.add_argument(
        '--top', type=int, metavar='K', help='show the K best labels, 12 at most, whatever their scores'
    )
    result.add_argument('--limit', type=int, default=LIMIT, help='the most pictures (default: %(default)s)')
    result.add_argument(
        '--classes', metavar='"A, B"|FILE', help='of zero-shot CLIP: class names, or a file with one a line'
    )
    result.add_argument(
        '--tower',
        metavar='PATH|NAME:TAG|NAME:PATH',
        help="new path of the weights of the checkpoint's tower, if they were moved; of zero-shot CLIP, the tower",
    )
    add_device(result)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cssa explain`; returns the exit status."""
    return run(parser(), _explain, arguments)


def _explain(options: argparse.Namespace) -> None:
    result = explain_files(
        images=options.images,
        checkpoint=checkpoint_of(options),
        out=options.out,
        labels=options.labels,
        top=options.top,
        limit=options.limit,
        classes=options.classes,
        tower=options.tower,
        device=options.device,
    )
    print(result.text())
