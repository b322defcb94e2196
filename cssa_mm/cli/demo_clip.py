"""`cssa demo-clip`: pretrain the embedded demo's CLIP anew: vocabulary, model configuration and weights."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from cssa_mm.cli.arguments import command_parser, run
from cssa_mm.demo.clip.pretraining import Recipe, pretrain

DESCRIPTION = "Pretrain the embedded demo's CLIP anew, at most 15 minutes on two cores."
EXAMPLE = 'cssa demo-clip --out work_dirs/demo_clip'


def parser() -> argparse.ArgumentParser:
    """Arguments of `cssa demo-clip`."""
    recipe = Recipe()
    result = command_parser('demo-clip', DESCRIPTION, EXAMPLE)
    result.add_argument('--out', default='work_dirs/demo_clip', help='folder to write (default: %(default)s)')
    result.add_argument('--seed', type=int, default=recipe.seed, help='default: %(default)s')
    result.add_argument('--threads', type=int, default=1, help='torch threads (default: %(default)s)')
    result.add_argument('--workers', type=int, default=recipe.workers, help='scene workers (default: %(default)s)')
    for stage in ('glyph', 'scene', 'text'):
        steps = getattr(recipe, f'{stage}_steps')
        result.add_argument(f'--{stage}-steps', type=int, default=steps, help='default: %(default)s')
    result.add_argument('--text-scenes', type=int, default=recipe.text_scenes, help='default: %(default)s')
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cssa demo-clip`; returns the exit status."""
    return run(parser(), _demo_clip, arguments)


def _demo_clip(options: argparse.Namespace) -> None:
    recipe = dict(vars(options))
    out, threads = recipe.pop('out'), recipe.pop('threads')
    print(pretrain(out, Recipe(**recipe), threads))
