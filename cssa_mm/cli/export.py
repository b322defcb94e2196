"""`cssa export`: write a model in a form that runs without this package."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from cssa_mm.apis.exporting.onnx_file import export_onnx
from cssa_mm.cli.arguments import command_parser, run
from cssa_mm.errors import ConfigError

DESCRIPTION = (
    'Write a model in a form that runs without this package. --onnx: one file, images in, calibrated scores out, with '
    'class names, thresholds and preprocessing inside and a script beside it that needs onnxruntime and Pillow alone.'
)
EXAMPLE = 'cssa export --onnx --checkpoint work_dirs/cssa_demo/epoch_162.pth --out exported/model.onnx'


def parser() -> argparse.ArgumentParser:
    """Arguments of `cssa export`."""
    result = command_parser('export', DESCRIPTION, EXAMPLE)
    kind = result.add_mutually_exclusive_group(required=True)
    kind.add_argument('--onnx', action='store_true', help='an ONNX file')
    result.add_argument('--checkpoint', required=True, help='checkpoint file that training wrote')
    result.add_argument('--out', required=True, help='file to write')
    result.add_argument('--tower', metavar='PATH', help="the tower's weights, if they were moved")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cssa export`; returns the exit status."""
    return run(parser(), _export, arguments)


def _export(options: argparse.Namespace) -> None:
    if options.checkpoint == 'none':
        raise ConfigError(
            '--checkpoint: found none, expected a checkpoint that training wrote; an untrained model is exported in '
            'Python: export_onnx(checkpoint=cssa_mm.zero_shot(...), out=...)'
        )
    result = export_onnx(checkpoint=options.checkpoint, out=options.out, tower=options.tower)
    print(result.text())
