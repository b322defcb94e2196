"""The rate of `predict` beside that of the bare encoder: bash tools/acceptance.sh predict-speed.

Both open the model, decode the same JPEGs by the same view in the same number of processes, and encode them in batches
of the same size. The bare encoder keeps nothing: no label attention, no scores, no shards, no results. They take turns
in one process. Exit status 1 if the median rate of `predict` is below 90 % of the bare one's.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

import cssa_mm
from cssa_mm.apis.image_input import viewed
from cssa_mm.apis.predicting.loading import default_workers

LEAST = 0.9
NAMES = ['anchor', 'coffee', 'flag', 'heart', 'key', 'leaf', 'moon', 'star']


class Images(Dataset):
    """The view of each image, uint8 (3, H, W)."""

    def __init__(self, paths: list[Path], view: object) -> None:
        self.paths, self.view = [str(path) for path in paths], view

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        return viewed(self.paths[index], self.view)[0]


def draw(folder: Path, count: int) -> list[Path]:
    """JPEGs of 500 x 375, as many photo sets have them: smooth noise, drawn anew for each."""
    folder.mkdir()
    paths = []
    for number in range(count):
        draws = np.random.default_rng(number).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        paths.append(folder / f'{number:06}.jpg')
        Image.fromarray(draws).resize((500, 375), Image.BICUBIC).save(paths[-1], quality=90)
    return paths


@torch.no_grad()
def bare(paths: list[Path], checkpoint: Path, options: argparse.Namespace) -> float:
    """Images a second of the encoder alone."""
    began = time.monotonic()
    model = cssa_mm.load_model(checkpoint, tower=options.tower, device=options.device)
    loader = DataLoader(Images(paths, model.view), options.batch_size, num_workers=options.workers)
    for pixels in loader:
        features = model.backbone(model.data_preprocessor(dict(inputs=list(pixels)))['inputs'])
        features[1].cpu()
    return len(paths) / (time.monotonic() - began)


def whole(source: Path, count: int, checkpoint: Path, options: argparse.Namespace, out: Path) -> float:
    """Images a second of a prediction, from the opening of the model to the last file."""
    began = time.monotonic()
    with contextlib.redirect_stderr(io.StringIO()):
        run = cssa_mm.predict(
            images=source,
            checkpoint=checkpoint,
            out=out,
            tower=options.tower,
            device=options.device,
            workers=options.workers,
            batch_size=options.batch_size,
        )
    seconds = time.monotonic() - began
    shutil.rmtree(out)
    if run.images != count:
        raise SystemExit(f'predicted {run.images} of {count} images')
    return count / seconds


def main() -> int:
    """Measure, and print the rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--images', type=int, default=2000)
    parser.add_argument('--folder', type=Path, help='photos of your own, in place of drawn JPEGs; its images count')
    parser.add_argument('--checkpoint', type=Path, help="in place of zero-shot CLIP with the demo's tower at 224")
    parser.add_argument('--tower', help='weights of the tower of --checkpoint, if they were moved')
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--batch-size', type=int, default=32)
    parser.add_argument('--workers', type=int)
    parser.add_argument('--device')
    options = parser.parse_args()
    device = options.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    options.workers = default_workers(device == 'cpu') if options.workers is None else options.workers
    with tempfile.TemporaryDirectory() as work:
        root = Path(work)
        source = options.folder or root / 'images'
        if options.folder is None:
            draw(source, options.images)
        checkpoint = options.checkpoint or root / 'model.pth'
        if options.checkpoint is None:
            model = cssa_mm.zero_shot(class_names=NAMES, model_name='cssa-demo-rn', pretrained='demo', size=224)
            torch.save(dict(state_dict=model.state_dict()), checkpoint)
        found = cssa_mm.apis.predicting.sources.find_images(source)
        paths = [Path(found.path(position)) for position in range(len(found))]
        bare(paths[: 4 * options.batch_size], checkpoint, options)  # files and libraries are in memory
        rates: dict[str, list[float]] = dict(bare=[], predict=[])
        for repeat in range(options.repeats):
            order = ['bare', 'predict'] if repeat % 2 == 0 else ['predict', 'bare']
            for name in order:
                rates[name].append(
                    bare(paths, checkpoint, options)
                    if name == 'bare'
                    else whole(source, len(paths), checkpoint, options, root / 'out')
                )
            print(
                f'{repeat + 1}: bare {rates["bare"][-1]:.1f}, predict {rates["predict"][-1]:.1f} images/s', flush=True
            )
    medians = {name: statistics.median(values) for name, values in rates.items()}
    share = medians['predict'] / medians['bare']
    print(
        f'{len(paths):,} images on {device}, {options.workers} workers, batches of {options.batch_size}: bare encoder '
        f'{medians["bare"]:.1f}, predict {medians["predict"]:.1f} images/s: {share:.1%} (at least {LEAST:.0%})'
    )
    return 0 if share >= LEAST else 1


if __name__ == '__main__':
    sys.exit(main())
