"""The feature store at the size of COCO: bash tools/acceptance.sh store [--images 82081] [--folder FOLDER].

Random images, made in memory, and a stub tower of 50 x 1,024 features, kept in float16: 8 GiB for 82,081 images.

1. A process builds the store and is killed (SIGKILL) when two fifths of it are written.
2. Another one goes on: it encodes what is missing, and no more.
3. A third one finds everything there, compares 300 images with the tower, and reads 200 random batches of 64.

Printed are the time, the disk, and the memory of each process: the peak of all (files that are mapped included, which
the system takes back when it needs room) and that of its own. Exit status 1 if something is encoded twice or differs,
or a process takes more than 1 GiB of its own, whatever the number of images.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

import cssa_mm  # noqa: F401 - registers the components
from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.datasets.image_table import ImageRecord
from cssa_mm.datasets.view import View
from cssa_mm.features.frozen_features import FrozenFeatures
from cssa_mm.features.store import ROWS

POSITIONS, WIDTH, SIDE = 50, 1024, 8
OWN_GIB = 1.0  # memory that a process may take beside what its imports take
ENOUGH = 0.4  # of the store, when the first process is killed


class RandomImages(SemiMultiLabelDataset):
    """So many images of random pixels; nothing is on a disk."""

    METAINFO = dict(classes=('thing',))
    is_local = False

    def __init__(self, count: int) -> None:
        self.count = count
        super().__init__()

    def load_images(self) -> list[ImageRecord]:
        """The images, each with one label."""
        return [ImageRecord(f'{i:06}', f'{i:06}.jpg', np.ones(1, np.int8)) for i in range(self.count)]

    def get_data_info(self, idx: int) -> dict:
        """The item with its pixels."""
        pixels = np.random.default_rng(int(self.image_ids[idx])).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        return super().get_data_info(idx) | dict(img=pixels, img_shape=(SIDE, SIDE), ori_shape=(SIDE, SIDE))


class StubTower(nn.Module):
    """Local features (B, 50, 1024) and global ones (B, 1024), by a random projection of the pixels."""

    dense, global_token, precision = 'value', False, 'fp32'
    identity = dict(model_name='stub', weights_hash='0')

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.randn(3 * SIDE * SIDE, WIDTH, generator=generator) / SIDE
        self.phase = torch.randn(POSITIONS, WIDTH, generator=generator)
        self.count = 0

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Encode images, and count them."""
        self.count += len(images)
        pooled = images.flatten(1) @ self.weight
        return pooled[:, None] * self.phase, pooled


class Preprocessor(nn.Module):
    """Pixels as floats from -1 to 1."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = self.std = torch.full((3, 1, 1), 127.5)

    def forward(self, data: dict) -> dict:
        """The batch."""
        return dict(inputs=(torch.stack(list(data['inputs'])).float() - self.mean) / self.std)


class StubModel(nn.Module):
    """As much of a classifier as the features need."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.data_preprocessor = StubTower(), Preprocessor()
        self.head = SimpleNamespace(bias=torch.zeros(1))


def memory(field: str, process: int | str = 'self') -> float:
    """GiB of a field of /proc/PID/status, such as VmHWM; 0 where the process has ended."""
    try:
        lines = Path(f'/proc/{process}/status').read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith(f'{field}:')) / 2**20


def build(folder: Path, images: int) -> None:
    """What each process does; the last line it prints is JSON."""
    torch.set_num_threads(1)
    imported, began = memory('RssAnon'), time.perf_counter()
    model, dataset = StubModel(), RandomImages(images)
    print(json.dumps(dict(imported=imported)), flush=True)
    features = FrozenFeatures(model, dataset, View(size=None), folder=folder, dtype='float16')  # type: ignore[arg-type]
    features.fill()
    seconds, encoded = time.perf_counter() - began, model.backbone.count
    chosen = np.random.default_rng(0).choice(images, min(300, images), replace=False)
    found = [torch.cat(tensors) for tensors in zip(*features.batches(chosen, ''), strict=True)]
    features.cache, kept = None, features.cache
    expected = [torch.cat(tensors) for tensors in zip(*features.batches(chosen, ''), strict=True)]
    worst = max(float((one - other.half().float()).abs().max()) for one, other in zip(found, expected, strict=True))
    generator, began = np.random.default_rng(1), time.perf_counter()
    for _ in range(200):
        rows = generator.integers(images, size=64)
        kept.lookup([(dataset.image_ids[row], False) for row in rows], torch.device('cpu'))
    reading = (time.perf_counter() - began) / 200
    print(json.dumps(dict(seconds=seconds, encoded=encoded, worst=worst, reading=reading, peak=memory('VmHWM'))))


class Story(NamedTuple):
    """What a process did: its last line, and the most memory of its own, in GiB."""

    said: dict
    own: float


def run(folder: Path, images: int, until: float | None = None) -> Story:
    """Run one process; with `until` it is killed when that share of the images is written."""
    command = [sys.executable, __file__, '--images', str(images), '--child', str(folder)]
    with tempfile.TemporaryFile('w+') as out:
        process, most = subprocess.Popen(command, stdout=out), 0.0
        while process.poll() is None:
            most = max(most, memory('RssAnon', process.pid))
            if until is not None and written(folder) * ROWS >= until * images:
                process.kill()
            time.sleep(0.05)
        out.seek(0)
        lines = [json.loads(line) for line in out if line.startswith('{')]
    if until is None and process.returncode:
        sys.exit(f'error: the process ended with {process.returncode}')
    return Story(lines[-1], most - lines[0]['imported'])


def written(folder: Path) -> int:
    """Number of whole shards."""
    return sum(not path.name.startswith('.') for path in folder.glob('*/*.safetensors'))


def main() -> int:
    """Run the story; the exit status is 1 if something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--images', type=int, default=82_081)
    parser.add_argument('--folder', type=Path, help='where the store is written for a while; by default a new folder')
    parser.add_argument('--child', type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        build(options.child, options.images)
        return 0
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    wrong = []
    try:
        killed = run(folder, options.images, ENOUGH)
        shards = written(folder)
        print(f'killed after {shards} shards of {ROWS}; {killed.own:.2f} GiB of its own')
        finished = run(folder, options.images)
        size = sum(path.stat().st_size for path in folder.glob('*/*'))
        whole = options.images * (POSITIONS + 1) * WIDTH * 2
        found = run(folder, options.images)
    finally:
        shutil.rmtree(folder)
    for name, story in (('went on', finished), ('found all there', found)):
        said = story.said
        print(
            f'{name}: encoded {said["encoded"]:,} images in {said["seconds"]:.0f} s, 64 random ones read in '
            f'{1000 * said["reading"]:.1f} ms; memory {said["peak"]:.2f} GiB at most, {story.own:.2f} GiB of its own'
        )
        if said['worst'] > 0:
            wrong.append(f'{name}: features differ by {said["worst"]:.2g} from those of the tower in float16')
    print(f'disk: {size / 2**30:.2f} GiB, features alone {whole / 2**30:.2f} GiB')
    trial = 1 + 32  # for the size and the time
    if finished.said['encoded'] > options.images - shards * ROWS + trial or found.said['encoded'] > 1:
        wrong.append('images were encoded again that were written')
    if max(story.own for story in (killed, finished, found)) > OWN_GIB:
        wrong.append(f'a process took more than {OWN_GIB} GiB of its own')
    for line in wrong:
        print(f'wrong: {line}')
    return bool(wrong)


if __name__ == '__main__':
    sys.exit(os.EX_OK if not main() else 1)
