"""`cssa linear-probe`: the baseline, a logistic regression per class on the frozen global features."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from cssa_mm.apis.probing import linear_probe
from cssa_mm.cli.arguments import add_config, add_device, add_tower, command_parser, overrides_of, run

DESCRIPTION = 'Fit a logistic regression per class on the labelled images of a config, and test it on its test images.'
EXAMPLE = 'cssa linear-probe cssa_demo --penalty 0.3'


def parser() -> argparse.ArgumentParser:
    """Arguments of `cssa linear-probe`."""
    result = command_parser('linear-probe', DESCRIPTION, EXAMPLE)
    add_config(result)
    add_tower(result)
    result.add_argument('--penalty', type=float, default=0.1, help='weight of the squared norm (1/C of scikit-learn)')
    add_device(result)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cssa linear-probe`; returns the exit status."""
    return run(parser(), _linear_probe, arguments)


def _linear_probe(options: argparse.Namespace) -> None:
    found = linear_probe(
        config=options.config,
        penalty=options.penalty,
        data_root=options.data_root,
        overrides=overrides_of(options),
        tower=options.tower,
        device=options.device,
    )
    count = found.pop('num_labelled')
    metrics = '  '.join(f'{name} {value:.2f}' for name, value in found.items())
    print(f'Linear probe, {count} labelled images: {metrics}')
