"""`cssa predict`: label images of any number with a model, and write what other tools read."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from cssa_mm.apis.config import load_config
from cssa_mm.apis.predicting.outputs import FORMATS, SCORES
from cssa_mm.apis.predicting.ray_engine import ENGINES
from cssa_mm.apis.predicting.run import predict
from cssa_mm.cli.arguments import CONFIG_HELP, add_device, add_overrides, command_parser, overrides_of, run
from cssa_mm.errors import ConfigError

DESCRIPTION = (
    'Label images with a model: a folder, a pattern in quotes, a text file with a path a line, a table or label file '
    'of any known format (its labels are not used), or one image. The same command goes on where a killed one '
    'stopped, and predicts images that were added or changed since; with other thresholds or formats it takes the '
    'scores from OUT/shards.'
)
EXAMPLE = 'cssa predict photos --checkpoint work_dirs/cssa_table/epoch_30.pth --out predictions'


def parser() -> argparse.ArgumentParser:
    """Arguments of `cssa predict`."""
    result = command_parser('predict', DESCRIPTION, EXAMPLE)
    result.add_argument('images', help='folder, "pattern", list (.txt), table or label file, or one image')
    result.add_argument(
        '--checkpoint',
        required=True,
        help='checkpoint or ONNX file; none for zero-shot CLIP, with --classes or --config',
    )
    result.add_argument('--out', required=True, help='folder of the results: new, or of an earlier run')
    result.add_argument('--force', action='store_true', help='start anew, and replace what an earlier run wrote')
    labels = result.add_argument_group('labels')
    labels.add_argument(
        '--threshold',
        metavar='X|FILE.csv',
        help='in place of the thresholds of the model: a number from 0 to 1, or a table class,threshold',
    )
    labels.add_argument('--top', type=int, metavar='K', help='the K best labels of each image, whatever their scores')
    labels.add_argument('--new-classes', metavar='"A, B"', help='names to score that were never trained: zero-shot')
    files = result.add_argument_group('files')
    files.add_argument(
        '--scores', choices=list(SCORES), default='parquet', help='the table of scores (default: %(default)s)'
    )
    files.add_argument('--raw-scores', action='store_true', help='write the scores before calibration, too')
    files.add_argument(
        '--formats',
        nargs='*',
        choices=list(FORMATS),
        help='the tools that get a file of their own; all by default, and none if nothing follows',
    )
    files.add_argument(
        '--sidecars', action='store_true', help='write the labels as keywords in an XMP file beside each photo, too'
    )
    zero_shot = result.add_argument_group('zero-shot CLIP, with --checkpoint none')
    zero_shot.add_argument(
        '--classes', metavar='"A, B"|FILE', help='class names, or a file with one a line; no training set is needed'
    )
    zero_shot.add_argument(
        '--neighbours',
        action='store_true',
        help='each image leans on what CLIP says of the images that look like it; no label is needed for that',
    )
    zero_shot.add_argument('--config', help=CONFIG_HELP)
    zero_shot.add_argument('--data-root', help='directory of the data of the config')
    zero_shot.add_argument('--labels', help='label file of the config, which tells the classes')
    add_overrides(zero_shot)
    machine = result.add_argument_group('model and machine')
    machine.add_argument(
        '--tower',
        metavar='PATH|NAME:TAG|NAME:PATH',
        help="new path of the weights of the checkpoint's tower, if they were moved; with --config, the tower to take",
    )
    machine.add_argument('--batch-size', type=int, default=32, help='images scored at a time (default: %(default)s)')
    machine.add_argument('--workers', type=int, help='processes that decode; goes by the cores by default')
    add_device(machine)
    cluster = result.add_argument_group('cluster')
    cluster.add_argument(
        '--engine',
        choices=ENGINES,
        default='local',
        help="ray scores on a cluster, with the same results; it needs pip install 'cssa_mm[ray]' (default: local)",
    )
    cluster.add_argument(
        '--ray-address',
        metavar='HOST:PORT',
        help='running cluster of Ray; by default that of RAY_ADDRESS, else one starts on this machine',
    )
    cluster.add_argument(
        '--actors', type=int, metavar='N', help='processes of Ray that hold the model: one a GPU, or one for two CPUs'
    )
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cssa predict`; returns the exit status."""
    return run(parser(), _predict, arguments)


def _predict(options: argparse.Namespace) -> int:
    is_untrained = options.checkpoint == 'none'
    config = None
    if options.config is not None and is_untrained:
        config = load_config(
            options.config, data_root=options.data_root, overrides=overrides_of(options), tower=options.tower
        )
    for name in ('data_root', 'labels', 'cfg_options'):
        if getattr(options, name) and config is None:
            flag = f'--{name.replace("_", "-")}'
            raise ConfigError(
                f'{flag}: found it without --checkpoint none --config CONFIG, expected both; leave it out'
            )
    try:
        result = predict(
            images=options.images,
            checkpoint=None if is_untrained else options.checkpoint,
            config=options.config if config is None else config,
            out=options.out,
            tower=options.tower if config is None else None,
            classes=options.classes,
            neighbours=options.neighbours,
            new_classes=options.new_classes,
            threshold=options.threshold,
            top=options.top,
            scores=options.scores,
            raw_scores=options.raw_scores,
            formats=options.formats,
            sidecars=options.sidecars,
            replaces=options.force,
            batch_size=options.batch_size,
            workers=options.workers,
            device=options.device,
            engine=options.engine,
            ray_address=options.ray_address,
            actors=options.actors,
        )
    except KeyboardInterrupt:
        print('error: interrupted; finished shards are kept, and the same command goes on with them', file=sys.stderr)
        return 130
    print(result.text())
    return 0
