"""`cssa export`: write a model in a form that runs without this package, or as a folder for the Hugging Face hub."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from cssa_mm.apis.exporting.hub import export_hub
from cssa_mm.apis.exporting.int8 import export_int8
from cssa_mm.apis.exporting.onnx_file import export_onnx
from cssa_mm.apis.exporting.torch_program import export_torch
from cssa_mm.cli.arguments import command_parser, run
from cssa_mm.errors import ConfigError

DESCRIPTION = (
    'Write a model in a form that runs without this package. --onnx: one file, images in, calibrated scores out, with '
    'class names, thresholds and preprocessing inside and a script beside it that needs onnxruntime and Pillow alone; '
    'with --int8 smaller and, on many processors, faster. --torch-export: a program for torch alone. --hub: a folder '
    'that the Hugging Face hub takes and load_model opens.'
)
EXAMPLE = 'cssa export --onnx --checkpoint work_dirs/cssa_demo/epoch_162.pth --out exported/model.onnx'


def parser() -> argparse.ArgumentParser:
    """Arguments of `cssa export`."""
    result = command_parser('export', DESCRIPTION, EXAMPLE)
    kind = result.add_mutually_exclusive_group(required=True)
    kind.add_argument('--onnx', action='store_true', help='an ONNX file')
    kind.add_argument('--torch-export', action='store_true', help='a torch.export program (.pt2)')
    kind.add_argument('--hub', metavar='DIR', help='a folder for the Hugging Face hub, new or empty')
    result.add_argument('--checkpoint', required=True, help='checkpoint file that training wrote, or a hub folder')
    result.add_argument('--out', help='file to write, with --onnx and --torch-export')
    result.add_argument('--tower', metavar='PATH', help="the tower's weights, if they were moved")
    hub = result.add_argument_group('with --hub')
    hub.add_argument('--with-tower', action='store_true', help="copy the tower's weights into the folder, too")
    hub.add_argument('--force', action='store_true', help='replace the files of an earlier export in the folder')
    int8 = result.add_argument_group('with --onnx')
    int8.add_argument(
        '--int8', action='store_true', help='quantise for CPUs; refused where mAP falls by more than 1 point'
    )
    int8.add_argument(
        '--calibration-data',
        metavar='TABLE|CONFIG',
        help='labelled images for --int8: a label file, a folder with one, or a config with test images; half of them '
        'gives the ranges, mAP is measured on the other',
    )
    int8.add_argument('--data-root', help='directory of the data, if --calibration-data is a config')
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cssa export`; returns the exit status."""
    return run(parser(), _export, arguments)


def _export(options: argparse.Namespace) -> None:
    _check(options)
    source = dict(checkpoint=options.checkpoint, tower=options.tower)
    target = options.hub or options.out
    try:
        if options.hub:
            result = export_hub(**source, out=target, with_tower=options.with_tower, force=options.force).text()
        elif options.torch_export:
            result = export_torch(**source, out=target).text()
        elif options.int8:
            data = dict(calibration_data=options.calibration_data, data_root=options.data_root)
            result = export_int8(**source, **data, out=target).text()
        else:
            result = export_onnx(**source, out=target).text()
    except OSError as error:
        raise ConfigError(
            f"out: cannot write '{target}' ({error.strerror or error}), expected a place that can be written, with "
            'enough room; nothing was left there'
        ) from error
    print(result)


def _check(options: argparse.Namespace) -> None:
    """Refuse options that do not go together, before anything is read.

    Raises:
        ConfigError: some do not.
    """
    if options.checkpoint == 'none':
        raise ConfigError(
            '--checkpoint: found none, expected a checkpoint that training wrote; an untrained model is exported in '
            'Python: export_onnx(checkpoint=cssa_mm.zero_shot(...), out=...)'
        )
    if options.hub == '':
        raise ConfigError("--hub: found '', expected the folder to write")
    if options.hub and options.out:
        raise ConfigError(f"--out: found '{options.out}' with --hub, which names its folder; leave it out")
    if not options.hub and not options.out:
        raise ConfigError('--out: found none, expected the file to write; add it')
    for name, is_fitting, needs in (
        ('with_tower', options.hub, '--hub'),
        ('force', options.hub, '--hub'),
        ('int8', options.onnx, '--onnx'),
        ('calibration_data', options.int8, '--int8'),
        ('data_root', options.calibration_data, '--calibration-data'),
    ):
        if getattr(options, name) and not is_fitting:
            raise ConfigError(f'--{name.replace("_", "-")}: found it without {needs}, expected both; correct it')
    if options.int8 and not options.calibration_data:
        raise ConfigError(
            '--int8: found no --calibration-data, expected labelled images: what int8 costs in mAP depends on the '
            'tower, and is measured on them; add a label file, a folder with one, or a config'
        )
