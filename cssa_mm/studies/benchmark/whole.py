"""The row of the whole quickstart, against an earlier revision of this repository."""

from __future__ import annotations

import math
import subprocess  # nosec B404 # no shell, see below
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from cssa_mm.apis.config import load_config
from cssa_mm.datasets.workers import child_environment
from cssa_mm.errors import CSSAError
from cssa_mm.files import PACKAGE
from cssa_mm.studies.benchmark.measuring import Contest, Seconds
from cssa_mm.studies.benchmark.setting import Setting, random_targets, samples_of
from cssa_mm.studies.benchmark.steps import optimiser_of, take_step

TRAININGS = ('labelled_only_demo', 'cssa_demo', 'cssa_plus_demo')
TRAIN_IMAGES, LABELLED = 2000, 100  # of the demo
TIMED_STEPS = 20


def quickstart(setting: Setting) -> Contest:
    """The quickstart from nothing but the scenes; the limit are the steps of its trainings alone."""
    scenes = setting.demo_root
    root, revision = PACKAGE.parent, setting.against
    earlier = None
    if revision:
        earlier = Path(setting.folder, 'earlier')
        _run(['git', 'worktree', 'add', '--detach', str(earlier), revision], root)

    def of(clone: Path) -> Callable[[], Seconds]:
        def call() -> Seconds:
            with tempfile.TemporaryDirectory() as work:
                started = time.perf_counter()
                command = ['tools/quickstart.py', '--work-dir', work, '--data-root', str(scenes)]
                _run([sys.executable, *command], clone)
                return Seconds(time.perf_counter() - started)

        return call

    return Contest(of(root), None if earlier is None else of(earlier), lambda: mathematics(setting))


def mathematics(setting: Setting) -> Seconds:
    """The time of all steps of the quickstart's trainings, those of their folds included, on cached features."""
    total = 0.0
    for name in TRAININGS:
        config = load_config(name)
        model = setting.model(config)
        loader, schedule = config.train_dataloader, config.train_cfg
        labelled = loader.sampler.labelled_per_batch
        steps = schedule.warmup_epochs * math.ceil(LABELLED / loader.batch_size)
        unlabelled = loader.batch_size - labelled
        steps += schedule.get('semi_epochs', 0) * math.ceil((TRAIN_IMAGES - LABELLED) / unlabelled)
        targets = random_targets(loader.batch_size, labelled, len(model.class_names))
        batch = dict(
            inputs=[torch.zeros(3, 2, 2, dtype=torch.uint8)] * loader.batch_size, data_samples=samples_of(targets)
        )
        with torch.no_grad():
            local, pooled = model.backbone(torch.rand(loader.batch_size, 3, 128, 128))
        optimiser = optimiser_of(model)
        started = time.perf_counter()
        for _ in range(TIMED_STEPS):
            take_step(model, optimiser, batch | dict(features=(local, pooled)), targets)
        trainings = 1 + config.default_hooks.calibration.folds
        total += (time.perf_counter() - started) / TIMED_STEPS * steps * trainings
    return Seconds(total)


def _run(command: list[str], clone: Path) -> None:
    environment = child_environment() | dict(PYTHONPATH=str(clone), OMP_NUM_THREADS='1')
    # A command of our own, without a shell.
    done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, check=False)  # nosec B603
    if done.returncode:
        raise CSSAError(((done.stderr + done.stdout).strip().splitlines() or ['no output'])[-1])
