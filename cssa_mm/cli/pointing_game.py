"""`cssa pointing-game`: do the maps of a model point at the object? On boxes in VOC or COCO form, or the demo's."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from cssa_mm.apis.pointing import pointing_game
from cssa_mm.cli.arguments import (
    add_checkpoint,
    add_config,
    add_device,
    add_tower,
    checkpoint_of,
    command_parser,
    overrides_of,
    run,
)

DESCRIPTION = (
    'Count how often the map that `cssa explain` draws points into a box of its class, beside the label attention, '
    'plain CLIP and chance. The test set of the config must have boxes: in VOC or COCO form, or the demo.'
)
EXAMPLE = 'cssa pointing-game cssa_voc_p05 none --data-root VOC2012 --max-box-share 0.8'


def parser() -> argparse.ArgumentParser:
    """Arguments of `cssa pointing-game`."""
    result = command_parser('pointing-game', DESCRIPTION, EXAMPLE)
    add_config(result)
    add_tower(result)
    add_checkpoint(result)
    result.add_argument('--tolerance', type=float, default=0.0, help='pixels by which a point may miss its box')
    result.add_argument(
        '--max-box-share', type=float, default=1.0, help='leave out trials whose boxes cover more than this share'
    )
    result.add_argument('--out', help='JSON file for the shares of hits')
    result.add_argument('--work-dir', help='directory of the picture; work_dirs/NAME_OF_CONFIG by default')
    add_device(result)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cssa pointing-game`; returns the exit status."""
    return run(parser(), _pointing_game, arguments)


def _pointing_game(options: argparse.Namespace) -> None:
    report = pointing_game(
        config=options.config,
        checkpoint=checkpoint_of(options),
        tolerance=options.tolerance,
        max_box_share=options.max_box_share,
        out=options.out,
        work_dir=options.work_dir,
        data_root=options.data_root,
        overrides=overrides_of(options),
        tower=options.tower,
        device=options.device,
    )
    print(report.text())
