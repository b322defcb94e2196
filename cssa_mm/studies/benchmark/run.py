"""Run the benchmark: each row in a process of its own, a table and a JSON file of all."""

from __future__ import annotations

import json
import os
import platform
import subprocess  # nosec B404 # no shell, see below
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from cssa_mm.datasets.workers import child_environment
from cssa_mm.errors import ConfigError, require_whole_number
from cssa_mm.evaluation.text_table import aligned
from cssa_mm.files import write_json
from cssa_mm.studies.benchmark.measuring import Figures
from cssa_mm.studies.benchmark.rows import Row, chosen
from cssa_mm.studies.benchmark.worker import ROUND
from cssa_mm.version import __version__

REPEATS = 5
MEMORY_GIB = 16.0
SHARE = 0.8  # of the memory that is free
COMMAND = (sys.executable, '-m', 'cssa_mm.studies.benchmark.worker')
COLUMNS = ('', 'ours s', 'baseline s', 'limit s', 'ratio', 'of limit', 'difference', 'GiB', 'in all', 'met', 'goal')


@dataclass(frozen=True)
class Measured:
    """A row that was measured, or the error that stopped it."""

    row: Row
    figures: Figures | None
    error: str = ''

    @property
    def met(self) -> bool | None:
        """Whether it reaches its goal; None where it has none."""
        return False if self.figures is None else self.row.goal.is_met(self.figures)

    def as_dict(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        figures = {} if self.figures is None else self.figures.as_dict()
        goal = asdict(self.row.goal)
        failure = dict(error=self.error) if self.error else {}
        return dict(id=self.row.id, title=self.row.title) | figures | dict(goal=goal, met=self.met) | failure

    def cells(self) -> list[str]:
        """Its line of the table."""
        name = f'{self.row.id:6} {self.row.title}'
        if self.figures is None:
            return [name, *['-'] * 8, 'no', self.row.goal.text()]
        f = self.figures
        times = [_short(value) for value in (f.ours_s, f.baseline_s, f.limit_s)]
        shares = [_short(f.ratio), _short(f.fraction_of_limit)]
        difference = '-' if f.max_difference is None else f'{f.max_difference:.0e}'
        met = {None: '-', True: 'yes', False: 'no'}[self.met]
        return [
            name,
            *times,
            *shares,
            difference,
            f'{f.peak_gib:.1f}',
            f'{f.process_gib:.1f}',
            met,
            self.row.goal.text(),
        ]


@dataclass(frozen=True)
class Benchmark:
    """All rows that were measured, and on what."""

    rows: tuple[Measured, ...]
    machine: Mapping[str, Any]

    def text(self) -> str:
        """The table, with what it was measured on."""
        facts = ', '.join(f'{key} {value}' for key, value in self.machine.items())
        errors = [f'{row.row.id}: {row.error}' for row in self.rows if row.error]
        return '\n'.join([aligned([COLUMNS, *(row.cells() for row in self.rows)]), '', *errors, facts])

    def as_dict(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        return dict(machine=dict(self.machine), rows=[row.as_dict() for row in self.rows])


def benchmark(
    *,
    suite: str = 'cpu',
    rows: Sequence[str] | None = None,
    repeats: int = REPEATS,
    overrides: Mapping[str, object] | None = None,
    sizes: Mapping[str, object] | None = None,
    memory_gib: float | None = None,
    out: str | os.PathLike | None = None,
) -> Benchmark:
    """Measure rows, one after the other.

    Args:
        suite: 'cpu' or 'gpu'.
        rows: ids; by default all of the suite but those that take very long.
        repeats: rounds that count, after one that warms up.
        overrides: dotted key -> value, of the config behind the rows.
        sizes: other sizes of `Setting`.
        memory_gib: a row that needs more memory on the CPU fails; by default 16, or 80 % of what is free.
        out: JSON file, written again after each row.

    Raises:
        ConfigError: a row or suite is unknown, the number of repeats is no whole number, or there is no GPU.
    """
    require_whole_number('--repeats', repeats, 1)
    measured_rows = chosen(rows, suite)
    if any(row.suite == 'gpu' for row in measured_rows) and not torch.cuda.is_available():
        raise ConfigError('--suite gpu: found no CUDA device, expected one; take --suite cpu')
    limit = memory_gib if memory_gib is not None else min(MEMORY_GIB, _free_gib() * SHARE)
    found: list[Measured] = []
    result = Benchmark((), machine_facts())
    with tqdm(total=len(measured_rows) * (repeats + 1), unit='round', leave=False) as bar:
        for row in measured_rows:
            bar.set_description(f'{row.id} {row.title}')
            setting = dict(sizes or {}) | dict(overrides=dict(overrides or {}), device=_device(row))
            found.append(measure_row(row, setting, repeats, 0 if row.suite == 'gpu' else limit, bar))
            result = Benchmark(tuple(found), result.machine)
            if out is not None:
                write_json(out, result.as_dict())
    return result


def measure_row(row: Row, setting: Mapping[str, Any], repeats: int, memory_gib: float, bar: tqdm) -> Measured:
    """Measure one row in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, 'figures.json')
        job = dict(
            row=row.id,
            setting=dict(setting) | dict(folder=folder),
            repeats=repeats,
            memory_gib=memory_gib,
            out=str(out),
        )
        process = subprocess.Popen(  # nosec B603 # COMMAND is ours, without a shell
            COMMAND,
            env=child_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors='replace',
        )
        try:
            if process.stdin is not None:
                process.stdin.write(json.dumps(job))
                process.stdin.close()
            last = ''
            for line in process.stdout or ():
                if line.strip() == ROUND:
                    bar.update()
                elif line.strip():
                    last = line.strip()
            process.wait()
        finally:
            process.kill()
        if not out.is_file():
            return Measured(row, None, _reason(last, process.returncode, memory_gib))
        content = json.loads(out.read_text('utf-8'))
        return Measured(row, Figures(**{key: content[key] for key in Figures.__dataclass_fields__}))


def machine_facts() -> dict[str, Any]:
    """What the figures depend on beside our code."""
    load = os.getloadavg() if hasattr(os, 'getloadavg') else ()
    gpu = dict(gpu=torch.cuda.get_device_name()) if torch.cuda.is_available() else {}
    return dict(
        processor=platform.processor() or platform.machine(),
        **gpu,
        cores=os.cpu_count(),
        threads=torch.get_num_threads(),
        load=round(load[0], 1) if load else None,
        python=platform.python_version(),
        torch=torch.__version__,
        cssa_mm=__version__,
    )


def _reason(last: str, status: int, memory_gib: float) -> str:
    is_memory = 'allocate memory' in last or 'MemoryError' in last or status == -9
    return f'does not fit into {memory_gib:.3g} GiB' if is_memory else last[:200] or f'exit status {status}'


def _device(row: Row) -> str:
    return 'cuda' if row.suite == 'gpu' else 'cpu'


def _free_gib() -> float:
    facts = Path('/proc/meminfo')
    lines = facts.read_text().splitlines() if facts.is_file() else []
    free = [int(line.split()[1]) / 2**20 for line in lines if line.startswith('MemAvailable:')]
    return free[0] if free else MEMORY_GIB / SHARE


def _short(value: float | None) -> str:
    return '-' if value is None else f'{value:.3g}' if value < 1000 else f'{value:.0f}'
