"""A prediction of many images, killed in the middle and gone on with: bash tools/acceptance.sh predict-kill.

1. A smaller folder is predicted without a break, and again with a SIGKILL after every second shard: the results must
   be the same bytes.
2. A large folder is predicted, killed in the middle and gone on with. Printed is the memory of the process at 10,000,
   50,000 and 100,000 images; each image must be there once, in order, with the scores of its own pixels: the images are
   hard links to a few hundred drawn ones.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image

import cssa_mm
from cssa_mm.apis.predicting.shards import SHARD_SIZE

ROOT = Path(__file__).parents[2]
DRAWN = 300
NAMES = ['anchor', 'coffee', 'flag', 'heart', 'key', 'leaf', 'moon', 'star']
GROWTH = 48  # MiB that the process may grow by while it scores, from the first mark to the last
AT_END = (
    128  # MiB more when the results are written: a row group of Parquet is in memory, whatever the number of images
)


def draw(folder: Path, count: int) -> None:
    """So many small images in folders of 1,000, hard links to `DRAWN` files; number 17 of each is broken."""
    for number in range(count):
        path = folder / f'{number // 1000:04}' / f'{number}.jpg'
        if number % 1000 == 0:
            path.parent.mkdir(parents=True)
        if number < DRAWN:
            pixels = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((48, 48)).save(path)
            if number == 17:
                path.write_bytes(path.read_bytes()[:200])
        else:
            os.link(folder / '0000' / f'{number % DRAWN}.jpg', path)


def start(source: Path, checkpoint: Path, out: Path, workers: int) -> subprocess.Popen:
    """Start the command."""
    command = [sys.executable, str(ROOT / 'tools' / 'predict.py'), str(source), '--checkpoint', str(checkpoint)]
    command += ['--out', str(out), '--workers', str(workers), '--device', 'cpu']
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def shards_of(out: Path) -> int:
    """The number of finished shards."""
    return len(list((out / 'shards').glob('[0-9]*.npz')))


def kill_at(process: subprocess.Popen, out: Path, shards: int, marks: dict[int, str]) -> bool:
    """Wait until so many shards are there, then kill; False if the process ended first."""
    while process.poll() is None:
        note_memory(process, out, marks)
        if shards_of(out) >= shards:
            process.kill()
            process.wait()
            return True
        time.sleep(0.02)
    return False


def note_memory(process: subprocess.Popen, out: Path, marks: dict[int, str]) -> None:
    """Note the memory of the process for the marks, numbers of images, that it has just passed."""
    done = shards_of(out) * SHARD_SIZE
    for mark in [mark for mark, found in marks.items() if not found and done >= mark]:
        marks[mark] = memory_of(process)


def memory_of(process: subprocess.Popen) -> str:
    """VmRSS and VmHWM of a process in MiB, as 'now peak'."""
    try:
        lines = dict(line.split(':', 1) for line in Path(f'/proc/{process.pid}/status').read_text().splitlines())
        return ' '.join(f'{int(lines[key].split()[0]) / 1024:.0f}' for key in ('VmRSS', 'VmHWM'))
    except (OSError, KeyError):
        return ''


def finish(process: subprocess.Popen, out: Path, marks: dict[int, str]) -> None:
    """Wait for the end, noting memory."""
    while process.poll() is None:
        note_memory(process, out, marks)
        last = memory_of(process)
        if last:
            marks[-1] = last
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f'the command ended with {process.returncode}')
    print(process.stdout.read().strip() if process.stdout else '')


def results(out: Path) -> dict[str, bytes]:
    """The files of a finished folder, by name."""
    paths = [path for path in out.rglob('*') if path.is_file() and path.parent.name != 'shards']
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in paths}


def compare_bytes(root: Path, checkpoint: Path, count: int, workers: int) -> None:
    """A folder without a break, and with many kills."""
    draw(root / 'small', count)
    finish(start(root / 'small', checkpoint, root / 'whole', workers), root / 'whole', {})
    kills, shards = 0, 2
    while kill_at(start(root / 'small', checkpoint, root / 'killed', workers), root / 'killed', shards, {}):
        kills, shards = kills + 1, shards + 2
        if results(root / 'killed'):
            raise SystemExit(f'found results after a kill: {sorted(results(root / "killed"))}')
        if shards * SHARD_SIZE > count:
            finish(start(root / 'small', checkpoint, root / 'killed', workers), root / 'killed', {})
            break
    whole, killed = results(root / 'whole'), results(root / 'killed')
    other = [name for name in whole.keys() | killed.keys() if whole.get(name) != killed.get(name)]
    if other or not kills:
        raise SystemExit(f'after {kills} kills these files are not the same: {other}')
    print(f'{count:,} images, killed {kills} times: {len(whole)} files, the same bytes as without a break', flush=True)


def large(root: Path, checkpoint: Path, count: int, workers: int) -> None:
    """A large folder, killed once; memory, and whether all of it is there."""
    draw(root / 'large', count)
    out = root / 'out'
    last = (count - 1) // SHARD_SIZE * SHARD_SIZE  # the last full shard: the process lives on to be measured
    steps = sorted({mark for mark in (10_000, 50_000) if mark < last} | {last})
    marks = dict.fromkeys(steps, '')
    middle = count // SHARD_SIZE // 2
    kill_at(start(root / 'large', checkpoint, out, workers), out, middle, marks)
    before, found = dict(marks), shards_of(out)
    print(f'killed at {found * SHARD_SIZE:,} images; memory in MiB, now and at its peak: {before}', flush=True)
    marks = {mark: '' for mark in steps if mark > found * SHARD_SIZE}
    finish(start(root / 'large', checkpoint, out, workers), out, marks)
    scoring = {mark: text for mark, text in marks.items() if mark != -1}
    print(f'after the resume: {scoring}; at the end, with all files written: {marks[-1]}')
    while_scoring = [int(text.split()[1]) for text in [*before.values(), *scoring.values()] if text]
    growth, at_end = max(while_scoring) - min(while_scoring), int(marks[-1].split()[1]) - min(while_scoring)
    print(f'peak memory: {min(while_scoring)} to {max(while_scoring)} MiB while scoring, {at_end} more at the end')
    table = pq.read_table(out / 'scores.parquet')
    names = table['image'].to_pylist()
    expected = [f'{n // 1000:04}/{n}.jpg' for n in range(count) if n % DRAWN != 17]
    if names != expected:
        raise SystemExit(
            f'found {len(names):,} images ({len(set(names)):,} names), expected {len(expected):,} in order'
        )
    scores = np.stack([table[name].to_numpy() for name in NAMES], 1)
    numbers = np.array([int(name[5:-4]) % DRAWN for name in names])
    rows = np.array([np.flatnonzero(numbers == number)[0] if number != 17 else 0 for number in range(DRAWN)])
    differs = float(np.abs(scores - scores[rows][numbers]).max())
    apart = float(np.abs(scores[:1] - scores[1 : DRAWN - 1]).max(1).min())
    print(f'{len(names):,} images, each once; copies differ by {differs:.1e}, the nearest other image by {apart:.1e}')
    bad = (out / 'bad_images.txt').read_text().splitlines()
    if len(bad) != count - len(expected) or differs > 1e-5:
        raise SystemExit(f'found {len(bad)} bad images, expected {count - len(expected)}; or scores of other images')
    if growth > GROWTH or at_end > AT_END:
        raise SystemExit(f'memory grew by {growth} and {at_end} MiB, expected at most {GROWTH} and {AT_END}')


def main() -> None:
    """Both parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--images', type=int, default=100_000)
    parser.add_argument('--small', type=int, default=7000)
    parser.add_argument('--workers', type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        root = Path(work)
        model = cssa_mm.zero_shot(class_names=NAMES, model_name='cssa-demo-rn', pretrained='demo', size=64)
        torch.save(dict(state_dict=model.state_dict()), root / 'model.pth')
        compare_bytes(root, root / 'model.pth', options.small, options.workers)
        large(root, root / 'model.pth', options.images, options.workers)


if __name__ == '__main__':
    main()
