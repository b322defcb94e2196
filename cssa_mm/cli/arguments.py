"""Arguments that commands share, and how a command ends."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import NoReturn

from cssa_mm.cli.overrides import Overrides
from cssa_mm.datasets.workers import end_with_parent
from cssa_mm.errors import ConfigError, CSSAError
from cssa_mm.values import short

CONFIG_HELP = "config file, the name of a shipped config such as 'cssa_demo', or a folder of your own photos"


# Flags of other tools and earlier versions of the toolbox -> what does it here.
ELSEWHERE = {
    '--seed': '--cfg-options randomness.seed=N',
    '--deterministic': '--cfg-options randomness.deterministic=True',
    '--diff-seed': '--cfg-options randomness.diff_rank_seed=True',
    '--gpu-id': 'CUDA_VISIBLE_DEVICES=N in front of the command',
    '--gpu-ids': 'CUDA_VISIBLE_DEVICES=N in front of the command',
    '--gpus': 'bash tools/dist_train.sh CONFIG NUMBER_OF_PROCESSES',
    '--options': '--cfg-options',
    '--resume-from': '--resume PATH',
    '--load-from': '--cfg-options load_from=PATH',
    '--batch-size': '--cfg-options train_dataloader.batch_size=N',
    '--epochs': '--cfg-options train_cfg.semi_epochs=N',
    '--lr': '--cfg-options optim_wrapper.optimizer.lr=X',
    '--metrics': 'the test_evaluator of the config, and --out FILE.json --out-item metrics',
    '--eval': 'the test_evaluator of the config, and --out FILE.json --out-item metrics',
}


class CommandParser(argparse.ArgumentParser):
    """A parser whose error tells what takes the place of a flag that users know from elsewhere."""

    def error(self, message: str) -> NoReturn:
        """End the process with the message; status 2."""
        flags = [word.partition('=')[0] for word in message.split() if word.startswith('--')]
        known = next((flag for flag in flags if flag in ELSEWHERE), None)
        is_unknown = message.startswith('unrecognized arguments')
        super().error(f'{message}; in place of {known}: {ELSEWHERE[known]}' if known and is_unknown else message)


def command_parser(name: str, description: str, example: str) -> argparse.ArgumentParser:
    """The parser of `cssa NAME`, without arguments yet; `--help` ends with the example."""
    return CommandParser(prog=f'cssa {name}', description=description, epilog=f'example: {example}')


def add_config(parser: argparse.ArgumentParser) -> None:
    """CONFIG, `--data-root`, `--labels` and `--cfg-options`: what `load_config` takes."""
    parser.add_argument('config', help=CONFIG_HELP)
    parser.add_argument('--data-root', help='directory of the data; replaces data_root of every data set')
    parser.add_argument('--labels', help='label file of the training images; by default the one in the data root')
    add_overrides(parser)


def overrides_of(options: argparse.Namespace) -> dict[str, object]:
    """The overrides of `--labels`, `--yes` and `--cfg-options`."""
    given = dict(options.cfg_options or {}) | (dict(accept='all') if getattr(options, 'yes', False) else {})
    if options.labels is None:
        return given
    if not options.labels:
        raise ConfigError("--labels: found '', expected the label file of the training images, such as labels.csv")
    config, labels = map(os.path.expanduser, (options.config, options.labels))
    root = os.path.expanduser(options.data_root or (config if os.path.isdir(config) else ''))
    path = os.path.join(root, labels)
    if not os.path.exists(path):
        path = labels  # counted from here, not from the data
    is_below = os.path.abspath(path).startswith(os.path.join(os.path.abspath(root), ''))
    name = os.path.relpath(path, root) if root and is_below else os.path.abspath(path)
    return {'train_dataloader.dataset.ann_file': name, **given}


def add_tower(parser: argparse.ArgumentParser) -> None:
    """`--tower NAME:TAG` or `NAME:PATH`."""
    parser.add_argument(
        '--tower',
        metavar='NAME:TAG|NAME:PATH',
        help="the image and text tower in place of the config's: name and weights at once, such as "
        'ViT-B-32:laion2b_s34b_b79k, NAME:FILE, NAME:FOLDER, a folder with JSON and weights, hf-hub:ORG/NAME, '
        'local-dir:FOLDER or demo; cssa towers lists them',
    )


def add_overrides(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """`--cfg-options key=value ...`."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=Overrides,
        help='override config keys: model.head.prompts.num_context=8 default_hooks.logger.interval=1 ...',
    )


def add_yes(parser: argparse.ArgumentParser) -> None:
    """`--yes`."""
    parser.add_argument('--yes', action='store_true', help="accept what is questioned about the data: accept='all'")


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """CHECKPOINT, a file or `none`."""
    parser.add_argument('checkpoint', help='checkpoint file, or none for the untrained model')


def add_device(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """`--device`."""
    parser.add_argument('--device', choices=['cpu', 'cuda', 'mps'], help='the best one of this machine by default')


def add_runner(parser: argparse.ArgumentParser) -> None:
    """Arguments that train and test share with mmpretrain's tools of these names, and `--device`."""
    parser.add_argument('--work-dir', help='directory of logs, checkpoints and results')
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision (CUDA)')
    parser.add_argument('--no-pin-memory', action='store_true', help='switch pinned memory off')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    add_device(parser)


def checkpoint_of(options: argparse.Namespace) -> str | None:
    """The checkpoint file; None for `none`."""
    return None if options.checkpoint == 'none' else options.checkpoint


def set_local_rank(options: argparse.Namespace) -> None:
    """Tell mmengine the rank that older launchers pass as an argument."""
    os.environ.setdefault('LOCAL_RANK', str(options.local_rank))


def run(
    parser: argparse.ArgumentParser,
    command: Callable[[argparse.Namespace], int | None],
    arguments: Sequence[str] | None,
) -> int:
    """Parse the arguments, those of the process by default, and run a command with them.

    A command that another one has started ends with it.

    Returns:
        The exit status: what the command returns, 0 for None; 2 after a user's mistake, which is one line on stderr
        (a traceback where CSSA_TRACEBACK is set), or where a file cannot be read or written; 130 after Ctrl-C.
    """
    end_with_parent(by_signal=True)
    try:
        return command(parser.parse_args(arguments)) or 0
    except CSSAError as error:
        if os.environ.get('CSSA_TRACEBACK'):
            raise
        print(f'error: {error}', file=sys.stderr)
        return 2
    except OSError as error:
        if os.environ.get('CSSA_TRACEBACK') or error.filename is None:
            raise
        # What a command writes, or reads, beside what it checks before it begins; a disk may also be full.
        reason = error.strerror or type(error).__name__
        print(f'error: {error.filename}: {reason}; expected a path that can be read or written', file=sys.stderr)
        return 2
    except UnicodeEncodeError as error:
        if os.environ.get('CSSA_TRACEBACK'):
            raise
        print(f'error: found the name {short(error.object)}, which is no UTF-8; rename it', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return end_interrupted()
    except Exception as error:  # of other packages, in place of the Ctrl-C that they caught
        if not was_interrupted(error):
            raise
        return end_interrupted()


def end_interrupted() -> int:
    """Say that the command was interrupted; a further Ctrl-C does nothing while the process ends."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    print('error: interrupted', file=sys.stderr)
    return 130


def was_interrupted(error: BaseException | None) -> bool:
    """Whether an exception took the place of a Ctrl-C, as mmengine's SyntaxError does while it formats a config."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None
