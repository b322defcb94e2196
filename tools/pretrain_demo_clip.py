"""Reproduce the micro-CLIP of the embedded demo: vocabulary, model configuration and weights.

Example: ``python tools/pretrain_demo_clip.py --out work_dirs/demo_clip`` (at most 15 minutes on two cores)
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cssa_mm.demo.clip.pretraining import Recipe, pretrain
from cssa_mm.errors import CSSAError


def main() -> None:
    """Parse the arguments and train."""
    recipe = Recipe()
    parser = argparse.ArgumentParser(description='Pretrain the micro-CLIP of the embedded demo.')
    parser.add_argument('--out', default='work_dirs/demo_clip', help='folder to write (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=recipe.seed, help='default: %(default)s')
    parser.add_argument('--threads', type=int, default=1, help='torch threads (default: %(default)s)')
    parser.add_argument('--workers', type=int, default=recipe.workers, help='scene workers (default: %(default)s)')
    for stage in ('glyph', 'scene', 'text'):
        steps = getattr(recipe, f'{stage}_steps')
        parser.add_argument(f'--{stage}-steps', type=int, default=steps, help='default: %(default)s')
    parser.add_argument('--text-scenes', type=int, default=recipe.text_scenes, help='default: %(default)s')
    options = vars(parser.parse_args())
    out, threads = options.pop('out'), options.pop('threads')
    try:
        print(pretrain(out, Recipe(**options), threads))
    except CSSAError as error:
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
