"""Train for 2,000 steps, and watch memory and open files: python tests/reliability/soak.py [--steps N].

Epochs, scorings of the unlabelled images, validations and checkpoints come many times; two workers load the images.
Memory is that of the process and its workers, where shared pages count once (PSS), as a median of many samples, so that
what comes and goes within an epoch does not count. After the warm-up, a quarter of the steps, it may grow by 1 %, and
the number of open files and of processes must stay.
"""

import argparse
import os
import sys
import tempfile
from multiprocessing import get_all_start_methods
from pathlib import Path
from statistics import median

from mmengine.hooks import Hook

from cssa_mm.apis.config import load_config
from cssa_mm.engine.runner import CSSARunner

MOST_GROWTH = 0.01
EVERY = 10  # steps between samples


def family(number: int) -> list[int]:
    """A process and all that it has started."""
    children = []
    for task in Path(f'/proc/{number}/task').iterdir():
        children += map(int, (task / 'children').read_text().split())
    return [number, *(one for child in children for one in family(child))]


def memory_of(number: int) -> int:
    """Memory of a process in kB; its share of what it shares."""
    lines = Path(f'/proc/{number}/smaps_rollup').read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith('Pss:')))


class Watch(Hook):
    """Samples memory, open files and processes."""

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.memory: list[int] = []
        self.own: list[int] = []  # of the process without its workers
        self.files: list[int] = []
        self.processes: list[int] = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        step = runner.iter + 1
        if step % EVERY == 0:
            numbers = family(os.getpid())
            self.steps.append(step)
            own, *workers = map(memory_of, numbers)
            self.memory.append(own + sum(workers))
            self.own.append(own)
            self.files.append(len(os.listdir('/proc/self/fd')))
            self.processes.append(len(numbers))


def train(config: str, steps: int, features: float, start_method: str, folder: str) -> Watch:
    """Train for about so many steps, in epochs of about 50."""
    settings = load_config(
        config,
        data_root=f'{folder}/data',
        overrides={
            'train_cfg': dict(warmup_epochs=10, semi_epochs=max(steps // 50, 2), val_begin=4, val_interval=4),
            'train_dataloader.num_workers': 2,
            'train_dataloader.batch_size': 40,
            'train_dataloader.sampler.labelled_per_batch': 2,
            'default_hooks.pseudo_labels.feature_cache.gib': features,
            'default_hooks.checkpoint.interval': 1,
            'default_hooks.calibration': None,
            'report': False,
            'env_cfg.mp_cfg.mp_start_method': start_method,
            'work_dir': f'{folder}/run',
        },
    )
    runner = CSSARunner.from_cfg(settings)
    watch = Watch()
    runner.register_hook(watch)
    runner.train()
    return watch


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--config', default='cssa_plus_demo')
    parser.add_argument('--steps', type=int, default=2000)
    parser.add_argument('--features', type=float, default=1.0, help='GiB for kept features; 0: none is kept')
    parser.add_argument(
        '--start-method',
        default='fork',
        choices=get_all_start_methods(),
        help='of workers; pages that a forked one shares with its parent are copied as either writes to them',
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        watch = train(options.config, options.steps, options.features, options.start_method, folder)
    samples = list(zip(watch.steps, watch.memory, watch.files, watch.processes, watch.own, strict=True))
    warm = [sample for sample in samples if sample[0] > watch.steps[-1] / 4]
    part = len(warm) // 4
    first, last = warm[:part], warm[-part:]
    print(f'{"steps":>13} {"MB":>8} {"own MB":>8} {"files":>6} {"processes":>10}')
    for start in range(0, len(samples), part):
        rows = samples[start : start + part]
        values = [median(row[column] for row in rows) for column in (1, 2, 3, 4)]
        megabytes = f'{values[0] / 1000:8.1f} {values[3] / 1000:8.1f}'
        print(f'{rows[0][0]:>6}-{rows[-1][0]:<6} {megabytes} {values[1]:6.0f} {values[2]:10.0f}')
    before, after = (median(sample[1] for sample in rows) for rows in (first, last))
    growth = after / before - 1
    leaks = [max(s[column] for s in last) - max(s[column] for s in first) for column in (2, 3)]
    print(f'{watch.steps[-1]} steps: memory {growth:+.2%} after the warm-up, at most {MOST_GROWTH:.0%} is allowed;')
    print(f'open files {leaks[0]:+d}, processes {leaks[1]:+d}')
    return int(growth > MOST_GROWTH or max(leaks) > 0)


if __name__ == '__main__':
    sys.exit(main())
