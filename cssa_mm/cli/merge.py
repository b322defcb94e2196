"""`cssa merge`: merge answers of the labelling page, or labels of any form, into `labels.csv`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from cssa_mm.apis.merging import PREFERENCES, merge
from cssa_mm.cli.arguments import command_parser, run

DESCRIPTION = (
    'Add answers to the labels of a project. The table as it was is kept beside it (labels.csv.1). Where an answer '
    'contradicts an earlier label, both are listed and nothing is written, with exit status 1, until --prefer says '
    'which counts. Answers for photos of a test or validation table are left out. Labels of another form, such as a '
    'Label Studio export, go on in a new labels.csv.'
)
EXAMPLE = 'cssa merge ~/Downloads/labels.csv --into photos/labels.csv'


def parser() -> argparse.ArgumentParser:
    """Arguments of `cssa merge`."""
    result = command_parser('merge', DESCRIPTION, EXAMPLE)
    result.add_argument(
        'answers', nargs='+', help='what the labelling page saved, or labels of any form; newer ones last'
    )
    result.add_argument('--into', required=True, metavar='LABELS', help='the label file, or the folder of the photos')
    result.add_argument('--prefer', choices=PREFERENCES, help='which of two labels that contradict each other counts')
    result.add_argument(
        '--test-photos', action='store_true', help='merge answers for photos of a test or validation table, too'
    )
    result.add_argument('--checkpoint', help='the earlier model: the command that starts from it is printed, too')
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cssa merge`; returns the exit status."""
    return run(parser(), _merge, arguments)


def _merge(options: argparse.Namespace) -> int:
    result = merge(
        answers=options.answers,
        into=options.into,
        prefer=options.prefer,
        test_photos=options.test_photos,
        checkpoint=options.checkpoint,
    )
    print(result.text())
    return 1 if result.is_refused else 0
