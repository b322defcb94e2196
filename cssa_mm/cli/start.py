"""`cssa start`: from a folder of photos to labels, as far as its labels allow."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cssa_mm.apis.starting.project import has_class_names
from cssa_mm.apis.starting.run import start
from cssa_mm.cli.arguments import add_device, add_overrides, add_tower, add_yes, command_parser, run

DESCRIPTION = (
    'From a folder of photos to labels. Without labels, CLIP labels all photos, and a page opens in the browser to '
    'label the 30 that tell most; with labels, a model is trained, labels all photos, and asks for the next 20. Each '
    'step prints the command that does it alone. The same command goes on where it was.'
)
EXAMPLE = "cssa start photos --classes 'dog, cat, person'"


def parser() -> argparse.ArgumentParser:
    """Arguments of `cssa start`."""
    result = command_parser('start', DESCRIPTION, EXAMPLE)
    result.add_argument('photos', help='folder of the photos, with labels of any form or without')
    result.add_argument(
        '--classes', metavar='"A, B"', help='what the photos can show, where nothing is labelled yet; asked for else'
    )
    result.add_argument(
        '--labels',
        metavar='FILE',
        help='answers of the labelling page, which are merged into labels.csv; or the label file in the folder, where '
        'there are several',
    )
    result.add_argument('--out', help='folder of the results (default: work_dirs/NAME_OF_FOLDER)')
    result.add_argument('--seed', type=int, default=0, help='of the choice of photos (default: %(default)s)')
    add_tower(result)
    add_yes(result)
    add_device(result)
    add_overrides(result)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cssa start`; returns the exit status."""
    return run(parser(), _start, arguments)


def _start(options: argparse.Namespace) -> None:
    classes = options.classes
    if classes is None and sys.stdin.isatty() and not has_class_names(Path(options.photos).expanduser()):
        classes = input('What can the photos show? Names, with commas between them: ')
    overrides = dict(options.cfg_options or {}) | (dict(accept='all') if options.yes else {})
    start(
        photos=options.photos,
        classes=classes,
        labels=options.labels,
        out=options.out,
        tower=options.tower,
        overrides=overrides,
        device=options.device,
        seed=options.seed,
    )
