"""The stages of the quickstart: each trains and tests one config, once, several at a time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import re
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from cssa_mm.apis.testing import test
from cssa_mm.apis.training import train
from cssa_mm.datasets.workers import end_with_parent, num_cores, start_method
from cssa_mm.demo.progress import LiveLine, LiveLines
from cssa_mm.errors import CSSAError
from cssa_mm.features.options import WHERE
from cssa_mm.features.plan import GIB, free_memory
from cssa_mm.files import code_digest, configs_root, write_text

METRICS = ('mAP', 'CF1', 'OF1')
FEATURES = f'{WHERE}.folder'
STAGE_GIB = 1.0  # memory of a stage
PAUSE = 0.2  # seconds between two looks at the logs


@dataclass(frozen=True)
class Stage:
    """One row of the table: its folder, what it is called, its config, and whether it learns at all."""

    key: str
    title: str
    config: str
    trains: bool = True


STAGES = (
    Stage('zero_shot', 'zero-shot CLIP, label-specific', 'cssa_demo', trains=False),
    Stage('labelled_only', 'labelled-only (100 images)', 'labelled_only_demo'),
    Stage('cssa', 'CSSA (100 + 1,900 unlabelled)', 'cssa_demo'),
    Stage('cssa_plus', 'cssa_plus (the same, and ours)', 'cssa_plus_demo'),
)


@dataclass(frozen=True)
class StageRun:
    """A stage in its folder, where it leaves its logs, its result, and what that depends on.

    Args:
        stage: what is run.
        folder: of its results.
        data_root: directory of the scenes.
        overrides: dotted key -> value.
        inputs: a hash of code, configs and data.
    """

    stage: Stage
    folder: Path
    data_root: str
    overrides: Mapping[str, object] = field(default_factory=dict)
    inputs: str = ''

    @property
    def result(self) -> Path:
        """The file of its metrics."""
        return self.folder / 'metrics.json'

    @property
    def log(self) -> Path:
        """The log that it has begun last."""
        logs = [self.folder / name for name in ('train.log', 'test.log')]
        return next((path for path in reversed(logs) if path.is_file()), logs[0])

    def is_done(self) -> bool:
        """Whether there is a result of the same code, settings and data."""
        stamp = self.folder / 'settings.txt'
        return self.result.is_file() and stamp.is_file() and stamp.read_text('utf-8') == self._settings()

    def forget(self) -> None:
        """Remove what an earlier run has left for the same names."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in ('settings.txt', 'train.log', 'test.log'):
            (self.folder / name).unlink(missing_ok=True)

    def keep(self) -> None:
        """Note what the result depends on."""
        write_text(self.folder / 'settings.txt', self._settings())

    def metrics(self) -> dict[str, float]:
        """mAP, CF1 and OF1 of the EMA model, in per cent."""
        values = json.loads(self.result.read_text('utf-8'))
        return {name: round(values[f'ema/{name}'], 2) for name in METRICS}

    def work(self) -> None:
        """Train and test, in a process of its own."""
        end_with_parent(by_signal=True)
        common: dict[str, Any] = dict(config=self.stage.config, data_root=self.data_root, work_dir=self.folder)
        checkpoint = None
        if self.stage.trains:
            with _logged(self.folder / 'train.log'):
                overrides = {**self.overrides, 'on_used_work_dir': 'overwrite'}
                checkpoint = train(**common, overrides=overrides).checkpoint
        with _logged(self.folder / 'test.log'):
            test(**common, checkpoint=checkpoint, overrides=dict(self.overrides), out=self.result, out_item='metrics')

    def _settings(self) -> str:
        words = [f'{key}={value!r}' for key, value in sorted(self.overrides.items())]
        return ' '.join([self.inputs, self.stage.config, self.data_root, *words]) + '\n'


def run_stages(
    work_dir: Path, data_root: str, overrides: Mapping[str, object] | None = None
) -> dict[str, dict[str, float]]:
    """Run the stages that have no result of the same code, settings and data, as many at a time as there are cores.

    Each has a folder for its logs and results; they share the features of the scenes. The screen shows a line of each.

    Returns:
        By the key of the stage, mAP, CF1 and OF1 of the EMA model in per cent.

    Raises:
        CSSAError: a stage failed; the message ends with the last line of its log.
    """
    options = {FEATURES: str(work_dir / 'features'), **(overrides or {})}
    inputs = _fingerprint(Path(data_root))
    runs = [StageRun(stage, work_dir / stage.key, data_root, options, inputs) for stage in STAGES]
    for run in runs:
        if run.is_done():
            print(f'{run.stage.title}: reusing {run.result}', flush=True)
    _work([run for run in runs if not run.is_done()])
    return {run.stage.key: run.metrics() for run in runs}


def _work(runs: Sequence[StageRun]) -> None:
    # A process that has started CUDA cannot be forked; fresh ones need seconds to import.
    context: Any = multiprocessing.get_context('spawn' if torch.cuda.is_available() else start_method())
    at_a_time = max(1, int(min(num_cores(), free_memory() / GIB / STAGE_GIB)))
    watched = [_Watched(run, context.Process(target=run.work)) for run in runs]
    screen = LiveLines([each.line for each in watched])
    waiting, running = list(watched), list[_Watched]()
    try:
        while waiting or running:
            while waiting and len(running) < at_a_time:
                running.append(waiting.pop())  # the later ones take longer
                running[-1].start()
            screen.draw()
            time.sleep(PAUSE)
            running = [each for each in running if not each.look()]
    finally:
        for each in running:
            each.process.kill()
            each.process.join()
        screen.draw()


class _Watched:
    """A process that does a stage, and the line that follows its logs."""

    def __init__(self, run: StageRun, process: BaseProcess) -> None:
        self.run, self.process, self.line = run, process, LiveLine(run.stage.title)
        self._log, self._read = run.log, 0

    def start(self) -> None:
        """Start it."""
        self.run.forget()
        self.line.begin()
        self.process.start()

    def look(self) -> bool:
        """Read what is new in the log; whether the process has ended.

        Raises:
            CSSAError: it failed.
        """
        has_ended = self.process.exitcode is not None
        if self._log != self.run.log:
            self._log, self._read = self.run.log, 0
            self.line.say('testing')
        if self._log.is_file():
            with self._log.open(encoding='utf-8', errors='replace', newline='') as file:
                file.seek(self._read)
                *whole, rest = re.split('[\r\n]', text := file.read())
            self._read += len((text[: len(text) - len(rest)]).encode())
            for words in whole:
                self.line.read(words)
        if has_ended:
            self.line.end(has_failed=bool(self.process.exitcode))
            if self.process.exitcode:
                raise CSSAError(self._failure())
            self.run.keep()
        return has_ended

    def _failure(self) -> str:
        lines = self._log.read_text('utf-8', errors='replace').splitlines() if self._log.is_file() else []
        last = ([text for text in lines if text.strip()] or ['nothing'])[-1]
        return f'{self.run.stage.title}: {self._log.stem} failed; the log {self._log} ends with: {last}'


@contextlib.contextmanager
def _logged(path: Path) -> Iterator[None]:
    """Write output and errors into a file; an error also ends the process."""
    with path.open('w', encoding='utf-8', buffering=1) as log:
        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            try:
                yield
            except CSSAError as error:
                print(f'error: {error}')
                raise SystemExit(2) from error
            except Exception as error:
                traceback.print_exc()
                raise SystemExit(1) from error


def _fingerprint(data_root: Path) -> str:
    """A hash of the code, the configs and the data (names, sizes and times of change) that a result depends on."""
    digest = hashlib.sha256(code_digest().encode())
    for path in sorted(((configs_root() or Path()) / 'configs').rglob('*.py')):
        digest.update(path.read_bytes())
    for path in sorted(data_root.rglob('*')):
        if path.is_file():
            digest.update(f'{path.relative_to(data_root)} {path.stat().st_size} {path.stat().st_mtime_ns}\n'.encode())
    return digest.hexdigest()[:16]
