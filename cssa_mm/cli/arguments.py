"""The command line of the tools: mmpretrain's arguments, and errors in one line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from mmengine.config import DictAction

from cssa_mm.errors import ConfigError, CSSAError


class Overrides(DictAction):
    """mmengine's key=value pairs; what is no such pair is a clear error."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: list[str],
        option_string: str | None = None,
    ) -> None:
        """Read the pairs.

        Raises:
            ConfigError: one has no `=`.
        """
        for value in values:
            if '=' not in value:
                raise ConfigError(f"{option_string}: found '{value}', expected key=value; mind the spaces around '='")
        super().__call__(parser, namespace, values, option_string)


def _data_options(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument('--data-root', help='directory of the data; replaces data_root of every data set')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=Overrides,
        help='override config keys: model.head.prompts.num_context=8 default_hooks.logger.interval=1 ...',
    )
    return parser


def _common(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument('--work-dir', help='directory of logs, checkpoints and results')
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision (CUDA)')
    parser.add_argument('--no-pin-memory', action='store_true', help='switch pinned memory off')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    return _data_options(parser)


def train_parser(description: str) -> argparse.ArgumentParser:
    """Arguments of tools/train.py: those of mmpretrain's, and `--data-root`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='checkpoint to go on from; without one, the latest of the work directory',
    )
    parser.add_argument('--no-validate', action='store_true', help='train without validation')
    parser.add_argument('--auto-scale-lr', action='store_true', help='scale the learning rate by the batch size')
    parser.add_argument('--no-persistent-workers', action='store_true', help='restart data workers every epoch')
    return _common(parser)


def test_parser(description: str) -> argparse.ArgumentParser:
    """Arguments of tools/test.py: those of mmpretrain's, and `--data-root`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file, or none for the untrained model')
    parser.add_argument('--out', help='file for the predictions or metrics (.json, .pkl)')
    parser.add_argument('--out-item', choices=['metrics', 'pred'], help='what --out holds; predictions by default')
    parser.add_argument('--show-dir', help='directory for pictures of the predictions')
    parser.add_argument('--show', action='store_true', help='show the predictions in a window')
    parser.add_argument('--interval', type=int, default=1, help='show every n-th image')
    parser.add_argument('--wait-time', type=float, default=2, help='seconds that a window stays')
    parser.add_argument('--tta', action='store_true', help='test-time augmentation')
    return _common(parser)


def probe_parser(description: str) -> argparse.ArgumentParser:
    """Arguments of tools/linear_probe.py."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('config', help='config file')
    parser.add_argument('--penalty', type=float, default=0.1, help='weight of the squared norm (1/C of scikit-learn)')
    return _data_options(parser)


def browse_parser(description: str) -> argparse.ArgumentParser:
    """Arguments of tools/browse_data.py."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('config', help='config file')
    parser.add_argument('--out', help='picture to write; work_dirs/NAME_OF_CONFIG/browse_data.png by default')
    parser.add_argument('--num', type=int, default=12, help='images to show, half of them labelled')
    return _data_options(parser)


def split_parser(description: str) -> argparse.ArgumentParser:
    """Arguments of tools/make_split.py."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('config', help='config file')
    parser.add_argument('--labelled', type=float, required=True, help='share of labelled images, e.g. 0.05')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--stratified', action='store_true', help="balance the classes; without, CAP's random rule")
    parser.add_argument('--out', help='file to write; splits/CONFIG_labelled0.05_seed1.txt by default')
    return _data_options(parser)


def check_parser(description: str) -> argparse.ArgumentParser:
    """Arguments of tools/check_data.py."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('config', help='config file')
    parser.add_argument('--out', help='JSON file for all that was found')
    parser.add_argument('--num-workers', type=int, help='processes that open images; all cores by default')
    return _data_options(parser)


def pointing_parser(description: str) -> argparse.ArgumentParser:
    """Arguments of tools/pointing_game.py."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('config', help='config file with a test set in VOC form')
    parser.add_argument('checkpoint', help='checkpoint file, or none for the untrained model')
    parser.add_argument('--tolerance', type=float, default=0.0, help='pixels that a miss may be off')
    parser.add_argument(
        '--max-box-share', type=float, default=1.0, help='leave out boxes that cover more than this share of the grid'
    )
    parser.add_argument('--out', help='JSON file for the figures')
    parser.add_argument('--work-dir', help='directory of the picture; work_dirs/NAME_OF_CONFIG by default')
    return _data_options(parser)


def main_of(command: Callable[[], object]) -> None:
    """Run a command; a mistake of the user ends in one line on stderr and exit status 2."""
    try:
        command()
    except CSSAError as error:
        if os.environ.get('CSSA_TRACEBACK'):
            raise
        print(f'error: {one_line(error)}', file=sys.stderr)
        sys.exit(2)


def one_line(error: Exception) -> str:
    """The message of an error; of one that a data worker raised, the last line of its traceback."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    if len(lines) > 1 and 'Traceback' in str(error):
        return lines[-1].split(': ', 1)[-1]
    return ' '.join(lines)
