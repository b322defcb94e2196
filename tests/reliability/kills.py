"""Trainings that are killed (SIGKILL) and resumed: bash tools/acceptance.sh kills [--kills 50]

A run on the demo's scenes writes a checkpoint every few steps and keeps one. It is killed again and again, every second
time in the window of a save: before, within or after a write, an fsync, a rename or a removal. After each kill the
folder is looked at (no file under a checkpoint's name that does not load, at most two of them, no process of the run
left), and `--resume` goes on. In the end, a checkpoint must be bitwise that of a run that nobody stopped before.

The runs are forks of a process that has done the imports, so that a kill costs a second.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import torch
from mmengine.fileio import LocalBackend

import cssa_mm
from cssa_mm.demo.scenes import generate_demo
from cssa_mm.engine.checkpoints import read_checkpoint
from cssa_mm.engine.latest import checkpoints_in
from cssa_mm.engine.loop import SemiSupervisedTrainLoop

INTERVAL = 3
MORE = 30  # steps after the last kill, at which both runs are compared
SHORT = {
    'train_cfg.warmup_epochs': 2,
    'train_cfg.semi_epochs': 40,
    'train_cfg.val_begin': 99,
    'train_dataloader.num_workers': 2,
    'train_dataloader.batch_size': 16,
    'train_dataloader.sampler.labelled_per_batch': 4,
    'default_hooks.pseudo_labels.num_workers': 0,
    'default_hooks.bad_images.num_workers': 0,
    'default_hooks.calibration.rule': 'none',
    'default_hooks.checkpoint': dict(
        type='CheckpointHook', by_epoch=False, interval=INTERVAL, max_keep_ckpts=1, _delete_=True
    ),
    'default_hooks.live_view': None,
    'report': False,
    'log_level': 'WARNING',
}
CALLS = [(LocalBackend, 'put'), (os, 'fsync'), (os, 'replace'), (os, 'remove')]
WINDOW = 3 * 16  # entries and returns of three saves


def kill_in_a_save(number: int) -> None:
    """Kill this process at the given entry to or return from what a save does; a write is killed half done."""
    left = [number]

    def watched(real, name):
        def call(*arguments, **named):
            left[0] -= 2
            if left[0] < 0 and name == 'put':
                backend, content, path = arguments
                real(backend, content[: len(content) // 2], path)
            if left[0] == -2 or (left[0] < 0 and name == 'put'):
                os.kill(os.getpid(), signal.SIGKILL)
            result = real(*arguments, **named)
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    for module, name in CALLS:
        setattr(module, name, watched(getattr(module, name), name))


def write_steps_down(path: Path, last: int | None) -> None:
    """Let the loop write the number of each step that is done, past any buffer, and ask for an end after the last."""
    take = SemiSupervisedTrainLoop.run_iter

    def run_iter(self, *arguments):
        take(self, *arguments)
        path.write_text(str(self.iter))
        if self.iter == last:
            os.kill(os.getpid(), signal.SIGTERM)

    SemiSupervisedTrainLoop.run_iter = run_iter


def run(folder: Path, data: Path, steps: int, kill: tuple[str, float]) -> None:
    """Train in this process, a fork, which is killed as `kill` says, or ends with a checkpoint after a step."""
    if kill[0] == 'time':
        timer = threading.Timer(kill[1], os.kill, (os.getpid(), signal.SIGKILL))
        timer.daemon = True
        timer.start()
    elif kill[0] == 'save':
        kill_in_a_save(int(kill[1]))
    write_steps_down(folder.with_suffix('.steps'), int(kill[1]) if kill[0] == 'step' else None)
    overrides = SHORT | {'train_cfg.semi_epochs': steps}
    cssa_mm.train(config='cssa_demo', data_root=data, work_dir=folder, resume=True, overrides=overrides)


def forked(*arguments) -> tuple[int, int]:
    """The exit status of a run in a fork, and its session."""
    child = os.fork()
    if child == 0:
        os.setsid()
        log = os.open(arguments[0].with_suffix('.log'), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        code = 1
        try:
            run(*arguments)
            code = 0
        except BaseException as error:  # a fork must not return
            print(f'{type(error).__name__}: {error}', file=sys.stderr, flush=True)
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), child


def left_of(session: int, seconds: float = 15) -> list[int]:
    """Processes of a session that are there after some time: workers of a loader look for their parent every 5 s."""
    end = time.monotonic() + seconds
    while True:
        found = []
        for status in Path('/proc').glob('[0-9]*/stat'):
            try:
                fields = status.read_text().rpartition(')')[2].split()
            except OSError:  # it has ended
                continue
            if int(fields[3]) == session and fields[0] != 'Z':
                found.append(int(status.parent.name))
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.2)


def latest(folder: Path) -> Path:
    """The checkpoint that the folder names last."""
    return folder / (folder / 'last_checkpoint').read_text()


def step_of(folder: Path) -> int:
    """The step of the last checkpoint that loads; 0 without any. Every one must load."""
    found = checkpoints_in(folder)
    for path in found:
        read_checkpoint(path)
    assert len(found) <= 2, f'{len(found)} checkpoints: {[path.name for path in found]}'
    named = folder / 'last_checkpoint'
    if named.is_file():
        assert (folder / named.read_text()).is_file(), f'{named.read_text()} is not there'
        return int(re.search(r'\d+', named.read_text())[0])
    return int(re.search(r'\d+', found[0].name)[0]) if found else 0


def story(kills: int, seed: int, folder: Path, epochs: int) -> None:
    """Kill and resume, look, and compare the end with that of a run that nobody stopped."""
    rng, data = random.Random(seed), folder / 'data'
    generate_demo(data, 64, 8)
    work, done, lost = folder / 'killed', 0, []
    for number in range(kills):
        before = step_of(work) if work.is_dir() else 0
        kind = ('save', rng.randrange(WINDOW)) if number % 2 else ('time', rng.uniform(1.0, 12.0))
        code, session = forked(work, data, epochs, kind)
        orphans = left_of(session)
        after = step_of(work)
        assert code == -signal.SIGKILL, f'kill {number} ({kind}): the run ended with {code}'
        assert not orphans, f'kill {number}: processes {orphans} are left'
        assert after >= before, f'kill {number}: step {before} -> {after}'
        reached = work.with_suffix('.steps')
        lost.append(max(int(reached.read_text() or after) - after, 0) if reached.is_file() else 0)
        done += 1
        print(f'kill {number + 1:3} {kind[0]:4} {kind[1]:5.1f}: step {before} -> {after}', flush=True)
    whole, last = folder / 'whole', after + MORE
    for place in (work, whole):
        forked(place, data, epochs, ('step', last))
    path = latest(work)
    assert latest(whole).name == path.name, f'{latest(whole).name} and {path.name}'
    states = [read_checkpoint(place / path.name)['state_dict'] for place in (work, whole)]
    differing = [name for name in states[1] if not torch.equal(states[0][name], states[1][name])]
    assert not differing, f'{len(differing)} entries differ: {differing[:3]}'
    assert max(lost) <= INTERVAL, f'{max(lost)} steps lost'
    print(f'{done} of {kills} resumed; at most {max(lost)} steps lost, of {INTERVAL}; {path.name} is bitwise the same')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--kills', type=int, default=50)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--epochs', type=int, default=2500, help='semi-supervised epochs of the run')
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        story(options.kills, options.seed, Path(folder), options.epochs)


if __name__ == '__main__':
    main()
