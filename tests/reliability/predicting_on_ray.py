"""Predictions on a local cluster of Ray with two actors, one of which is killed: bash tools/acceptance.sh ray.

1. Scenes of the demo are predicted by the local engine, then by Ray; after a third of the shards one actor gets
   SIGKILL. Each image must be there once, with the scores of the local engine, and another actor must have come.
2. The same call again scores nothing; after three more images it scores three.
3. Every actor is killed as soon as it is seen: the run must end, in one line, and the local engine goes on with it.
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

import cssa_mm
from cssa_mm.apis.predicting.ray_workers import RowScorer
from cssa_mm.demo.scenes import generate_demo
from cssa_mm.errors import DataError

NAMES = ['anchor', 'coffee', 'flag', 'heart', 'key', 'leaf', 'moon', 'star']
BATCH, SHARD = 8, 40


class Killer(threading.Thread):
    """Looks for actors of this process, and kills those that a rule names."""

    def __init__(self, chosen: Callable[[list[int]], list[int]]) -> None:
        super().__init__(daemon=True)
        self.chosen = chosen
        self.seen: list[int] = []
        self.killed: list[int] = []
        self.is_over = threading.Event()

    def run(self) -> None:
        """Look until the end."""
        while not self.is_over.wait(0.25):
            alive = actors_of(os.getpid())
            self.seen += [actor for actor in alive if actor not in self.seen]
            for actor in self.chosen(alive):
                os.kill(actor, signal.SIGKILL)
                self.killed.append(actor)


def actors_of(process: int) -> list[int]:
    """The processes below this one that are actors with the model, as Ray names them."""
    found = []
    for folder in Path('/proc').glob('[0-9]*'):
        try:
            if RowScorer.__name__ in (folder / 'cmdline').read_text() and is_below(int(folder.name), process):
                found.append(int(folder.name))
        except OSError:  # it has ended meanwhile
            continue
    return found


def is_below(process: int, ancestor: int) -> bool:
    """Whether a process descends from another one."""
    while process > 1:
        if process == ancestor:
            return True
        status = Path(f'/proc/{process}/status').read_text()
        process = int(status.split('PPid:')[1].split()[0])
    return False


def scores_of(out: Path) -> tuple[list[str], np.ndarray]:
    """Names and scores (n, C) of a finished folder."""
    table = pq.read_table(out / 'scores.parquet')
    return table['image'].to_pylist(), np.stack([table[name].to_numpy() for name in NAMES], 1)


def compare(found: Path, expected: Path, count: int) -> None:
    """Each image once, in order, with the same scores."""
    (names, scores), (other_names, other_scores) = scores_of(found), scores_of(expected)
    if names != other_names or len(set(names)) != count:
        raise SystemExit(f'found {len(names)} images ({len(set(names))} names), expected {count}, each once')
    difference = float(np.abs(scores - other_scores).max())
    print(f'  {count} images, each once; scores differ from those of the local engine by at most {difference:.1e}')
    if difference > 1e-6:
        raise SystemExit('expected at most 1e-6')


def main() -> None:
    """The three parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--images', type=int, default=400)
    count = parser.parse_args().images
    with tempfile.TemporaryDirectory() as work:
        root = Path(work)
        generate_demo(root / 'icons', count, 3, 0, None)
        scenes, more = root / 'icons' / 'train', sorted((root / 'icons' / 'test').glob('*.jpg'))
        model = cssa_mm.zero_shot(class_names=NAMES, model_name='cssa-demo-rn', pretrained='demo', size=128)
        torch.save(dict(state_dict=model.state_dict()), root / 'model.pth')
        given: dict[str, Any] = dict(images=scenes, checkpoint=root / 'model.pth', batch_size=BATCH, shard_size=SHARD)
        given |= dict(device='cpu', formats=())
        on_ray = given | dict(engine='ray', actors=2)

        local = cssa_mm.predict(out=root / 'local', workers=1, **given)
        print(f'local engine: {local.scored} images in {local.seconds:.1f} s')

        at = max(1, count // SHARD // 3)
        began = time.monotonic()

        def first_of_two(alive: list[int]) -> list[int]:
            done = len(list((root / 'ray' / 'shards').glob('[0-9]*.npz')))
            return alive[:1] if done >= at and len(alive) == 2 and not killer.killed else []

        killer = Killer(first_of_two)
        killer.start()
        result = cssa_mm.predict(out=root / 'ray', **on_ray)
        killer.is_over.set()
        killer.join()
        print(f'Ray, two actors, one killed after {at} of {-(-count // SHARD)} shards: {len(killer.seen)} actors seen')
        print(f'  scored {result.scored} images in {time.monotonic() - began:.1f} s, start and restart included')
        if len(killer.killed) != 1 or len(killer.seen) < 3:
            raise SystemExit(f'expected one that is killed and another in its place, found {killer.killed} killed')
        compare(root / 'ray', root / 'local', count)

        if not cssa_mm.predict(out=root / 'ray', **on_ray).was_done:
            raise SystemExit('found work in a finished folder')
        for path in more:
            path.rename(scenes / f'more_{path.name}')
        began = time.monotonic()
        result = cssa_mm.predict(out=root / 'ray', **on_ray)
        print(f'again: nothing to do; with {len(more)} more images: scored {result.scored}, ', end='')
        print(f'{time.monotonic() - began:.1f} s')
        if result.scored != len(more):
            raise SystemExit(f'expected {len(more)}')
        cssa_mm.predict(out=root / 'local', workers=1, **given)
        compare(root / 'ray', root / 'local', count + len(more))

        killer = Killer(lambda alive: alive)
        killer.start()
        began = time.monotonic()
        try:
            cssa_mm.predict(out=root / 'dead', **on_ray)
            raise SystemExit('found an end without an error, though no actor lived')
        except DataError as error:
            print(f'all actors killed ({len(killer.killed)}): ended after {time.monotonic() - began:.1f} s: {error}')
        killer.is_over.set()
        killer.join()
        cssa_mm.predict(out=root / 'dead', workers=1, **given)
        compare(root / 'dead', root / 'local', count + len(more))


if __name__ == '__main__':
    main()
