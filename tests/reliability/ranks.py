"""torchrun starts a training again after a kill: bash tools/acceptance.sh ranks [--kills 2] [--processes 2]

One of several processes is killed (SIGKILL) within an epoch, in turn the last and the first, by the command of the
documentation: MAX_RESTARTS=N bash tools/dist_train.sh CONFIG PROCESSES --resume. The training must go on from its last
checkpoint by itself, and its last checkpoint must be bitwise that of a run that nobody stopped. Each process starts
anew after a kill, which costs the imports.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

import cssa_mm
from cssa_mm.demo.scenes import generate_demo
from cssa_mm.engine.checkpoints import read_checkpoint
from cssa_mm.engine.latest import checkpoints_in

ROOT = Path(__file__).parents[2]
INTERVAL = 2
SHORT = {
    'train_cfg.warmup_epochs': 2,
    'train_cfg.semi_epochs': 6,
    'train_cfg.val_begin': 99,
    'train_dataloader.num_workers': 2,
    'train_dataloader.batch_size': 16,
    'default_hooks.pseudo_labels.num_workers': 0,
    'default_hooks.bad_images.num_workers': 0,
    'default_hooks.calibration.rule': 'none',
    'default_hooks.checkpoint': dict(
        type='CheckpointHook', by_epoch=False, interval=INTERVAL, max_keep_ckpts=1, _delete_=True
    ),
    'default_hooks.logger.interval': 1,
    'default_hooks.live_view': None,
    'randomness.seed': 0,
    'report': False,
}


def start(config: Path, folder: Path, processes: int, restarts: int) -> subprocess.Popen:
    """Start a training as a user would, its output in FOLDER.log."""
    environment = os.environ | dict(MAX_RESTARTS=str(restarts), PYTHON=sys.executable, CUDA_VISIBLE_DEVICES='')
    command = ['bash', 'tools/dist_train.sh', str(config), str(processes), '--resume', '--work-dir', str(folder)]
    with folder.with_suffix('.log').open('w') as log:
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)


def process_of(launcher: int, rank: int) -> int | None:
    """The process of a rank that a launcher has started, where it is there."""
    for path in Path('/proc').glob('[0-9]*'):
        try:
            parent = int(path.joinpath('stat').read_text().rpartition(')')[2].split()[1])
            if parent == launcher and f'RANK={rank}'.encode() in path.joinpath('environ').read_bytes().split(b'\0'):
                return int(path.name)
        except OSError:  # it has ended
            continue
    return None


def step_of(folder: Path) -> int:
    """The step of the last checkpoint of a folder; 0 without any."""
    named = folder / 'last_checkpoint'
    return int(re.findall(r'\d+', named.read_text())[0]) if named.is_file() else 0


def kill(training: subprocess.Popen, folder: Path, rank: int, after: int) -> int:
    """Kill a rank when the checkpoint of a step after this one is there; the step of the last checkpoint."""
    while step_of(folder) <= after:
        assert training.poll() is None, folder.with_suffix('.log').read_text()[-3000:]
        time.sleep(0.02)
    found = process_of(training.pid, rank)
    assert found is not None, f'process {rank} is not there'
    os.kill(found, signal.SIGKILL)
    return step_of(folder)


def finished(training: subprocess.Popen, folder: Path) -> str:
    """What a training wrote, which must have ended well."""
    status, text = training.wait(900), folder.with_suffix('.log').read_text()
    assert status == 0, f'status {status}: {text[-3000:]}'
    return text


def story(folder: Path, kills: int, processes: int) -> None:
    """Kill, look whether it goes on, and compare the end with that of a run that nobody stopped."""
    data, config = generate_demo(folder / 'data', 62, 8), folder / 'config.py'
    cssa_mm.load_config('cssa_plus_demo', data_root=data, overrides=SHORT).dump(config)
    killed, whole = folder / 'killed', folder / 'whole'
    finished(start(config, whole, processes, 0), whole)
    training, step = start(config, killed, processes, kills), 0
    for number in range(kills):
        rank = processes - 1 - number % processes
        step = kill(training, killed, rank, step + INTERVAL)
        print(f'killed process {rank} of {processes} at the checkpoint of step {step}', flush=True)
    text = finished(training, killed)
    resumed = [int(found) for found in re.findall(r"Resuming from '.*iter_(\d+)\.pth'", text)]
    assert len(resumed) == kills, f'resumed from {resumed}'
    assert 'another training runs' not in text
    (path,) = checkpoints_in(killed)
    states = [read_checkpoint(place / path.name)['state_dict'] for place in (killed, whole)]
    differing = [name for name in states[1] if not torch.equal(states[0][name], states[1][name])]
    assert not differing, f'{len(differing)} entries differ: {differing[:3]}'
    print(f'{kills} of {kills} kills survived, resumed from steps {resumed}; {path.name} is bitwise the same')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--kills', type=int, default=2)
    parser.add_argument('--processes', type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        story(Path(folder), options.kills, options.processes)


if __name__ == '__main__':
    main()
