"""A named study: rows x seeds, each a run of our runner, on frozen features that are computed once.

A study is a Python file in `configs/studies/` with these names and nothing else:

    config          the config that all rows start from
    rows            name -> dict(title, options, config, kind, line, x, baseline), all optional:
                    options: overrides of the config; config: another one to start from; kind: 'train', 'zero_shot' or
                    'linear_probe'; line and x: a point of that line in the plot; baseline: in place of the study's
    x_label         what x is
    baseline        row, or line, that the others are compared with; the first trained one by default
    references      rows, or lines, of which no other row should be below the better one, on the average and by class
    min_positives   restricts the metrics to classes with so many positives in the test set and in the training set

The work directory holds a folder for each run, with its `run.log` and `result.json`, and what study_report.py writes.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import multiprocessing
import runpy
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from copy import deepcopy
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

import torch
from mmengine.config import Config
from tqdm import tqdm

from cssa_mm.apis.command_line import Overrides
from cssa_mm.apis.run import load_config
from cssa_mm.apis.study_report import report
from cssa_mm.apis.study_run import KINDS, LOG, Job, prepare, run, start_worker
from cssa_mm.engine.feature_cache_hook import mirrored_view
from cssa_mm.errors import ConfigError, CSSAError, nearest

ROOT = Path(__file__).parents[2]
STUDIES = ROOT / 'configs' / 'studies'
FEATURES = 'work_dirs/features'


@dataclass(frozen=True)
class Row:
    """One row of the table, or one point of a line."""

    name: str
    title: str = ''
    options: Mapping = field(default_factory=dict)
    config: str | None = None
    kind: str = 'train'
    line: str | None = None
    x: float | None = None
    baseline: str | None = None


@dataclass(frozen=True)
class Study:
    """What a study file says."""

    name: str
    title: str
    config: str
    rows: tuple[Row, ...]
    baseline: str | None = None
    references: tuple[str, ...] = ()
    x_label: str | None = None
    min_positives: int = 1


def parser(description: str) -> argparse.ArgumentParser:
    """Arguments of tools/study.py."""
    result = argparse.ArgumentParser(description=description)
    result.add_argument('study', help=f'one of {", ".join(known_studies())}, or a Python file')
    result.add_argument('--seeds', type=int, nargs='+', default=[1, 2, 3, 4, 5], help='of split, prompts and order')
    result.add_argument('--jobs', type=int, default=1, help='runs at a time, one thread each')
    result.add_argument('--rows', nargs='+', help="which rows to run, all by default; '*' stands for anything")
    result.add_argument('--config', help="config file in place of the study's")
    result.add_argument('--data-root', help='directory of the data')
    result.add_argument(
        '--validation',
        type=float,
        metavar='SHARE',
        help='test on this share of the training images, which no run trains on: to choose settings; the test set is '
        'left alone',
    )
    result.add_argument('--work-dir', help='directory of all results; work_dirs/studies/STUDY by default')
    result.add_argument('--features', default=FEATURES, help='directory of the frozen features, for all studies')
    result.add_argument('--cfg-options', nargs='+', action=Overrides, default={}, help='overrides for every run')
    return result


def study(args: argparse.Namespace) -> dict:
    """Run what has not been run yet with the same settings; writes and prints the report.

    Returns:
        The summary, with the log and the reason of each run that failed under `failures`.

    Raises:
        ConfigError: an unknown study, row or config key.
        CSSAError: a process was killed.
    """
    found = load_study(args.study)
    rows = _chosen(found.rows, args.rows)
    work_dir = Path(args.work_dir or Path('work_dirs', 'studies', found.name))
    jobs = [job for row in rows for job in _jobs(found, row, args, work_dir)]
    failures = _work([job for job in jobs if job.result is None], args.jobs, work_dir)
    results = [job.result for job in jobs if job.result is not None]
    summary = report(found, rows, args.seeds, results, work_dir) if results else {}
    for log, reason in failures.items():
        print(f'failed: {reason}; its log is {log}', file=sys.stderr)
    if failures:
        print(f'{len(failures)} of {len(jobs)} runs failed; the same command goes on from the others', file=sys.stderr)
    return summary | dict(failures=failures)


def known_studies() -> list[str]:
    """The names of the studies in configs/studies."""
    return sorted(path.stem for path in STUDIES.glob('*.py'))


def load_study(name: str) -> Study:
    """Read a study by its name, or from a file.

    Raises:
        ConfigError: there is none, or it has no rows, or a row has an unknown key.
    """
    path = Path(name) if name.endswith('.py') else STUDIES / f'{name}.py'
    if not path.is_file():
        raise ConfigError(
            f"study: found no '{name}', expected one of {', '.join(known_studies())}, or a Python file."
            f'{nearest(name, known_studies())}'
        )
    content = runpy.run_path(str(path))
    if not content.get('rows') or not content.get('config'):
        raise ConfigError(f'{path}: found no rows or no config, expected both')
    rows = tuple(_row(path, key, dict(value)) for key, value in content['rows'].items())
    options = {key: content[key] for key in ('baseline', 'references', 'x_label', 'min_positives') if key in content}
    title = (content.get('__doc__') or path.stem).strip().splitlines()[0].rstrip('.')
    names = [row.name for row in rows] + [row.line for row in rows if row.line]
    if isinstance(options.get('references'), str):
        options['references'] = (options['references'],)
    named = [('baseline', row.baseline) for row in rows if row.baseline is not None]
    named += [('baseline', options['baseline'])] if 'baseline' in options else []
    named += [('references', name) for name in options.get('references', ())]
    for key, name in named:
        if name not in names:
            hint = nearest(name, names)
            raise ConfigError(f"{path}: found {key} '{name}', expected the name of a row or line.{hint}")
    return Study(path.stem, title, content['config'], rows, **options)


def _row(path: Path, name: str, content: dict) -> Row:
    known = set(Row.__dataclass_fields__) - {'name'}
    for key in content:
        if key not in known:
            raise ConfigError(f"{path}: found '{key}' in row '{name}', expected one of {', '.join(sorted(known))}")
    if content.get('kind', 'train') not in KINDS:
        raise ConfigError(f"{path}: found kind '{content['kind']}' in row '{name}', expected one of {', '.join(KINDS)}")
    line, x = content.get('line'), content.get('x')
    title = content.pop('title', None) or (name if line is None else f'{line}, {x:g}')
    return Row(name=name, title=title, **content)


def _chosen(rows: Sequence[Row], patterns: Sequence[str] | None) -> list[Row]:
    names = [row.name for row in rows]
    for pattern in patterns or ():
        if not any(fnmatch(name, pattern) for name in names):
            raise ConfigError(
                f"--rows: found '{pattern}', expected some of {', '.join(names)}.{nearest(pattern, names)}"
            )
    return [row for row in rows if patterns is None or any(fnmatch(row.name, pattern) for pattern in patterns)]


def _jobs(study: Study, row: Row, args: argparse.Namespace, work_dir: Path) -> list[Job]:
    path = row.config or args.config or study.config
    path = path if Path(path).is_file() else str(ROOT / path)
    try:
        config = load_config(path, {**row.options, **args.cfg_options}, args.data_root)
    except ConfigError as error:
        raise ConfigError(f"row '{row.name}' of study {study.name}: {error}") from error
    if args.validation is not None:
        _hold_out(config, args.validation)
    config.val_cfg = config.val_dataloader = config.val_evaluator = None
    config.default_hooks.checkpoint = None
    config.visualizer.vis_backends = []
    if row.kind != 'train':
        config.train_cfg.update(warmup_epochs=0, semi_epochs=0)
        config.param_scheduler = None
    if mirrored_view(config) is not None:  # no image is read: workers would cost more than they bring
        config.train_dataloader.update(num_workers=0, persistent_workers=False)
    jobs, code = [], _code()
    for seed in args.seeds:
        seeded = deepcopy(config)
        seeded.randomness.seed = seed
        if isinstance(seeded.train_dataloader.dataset.get('split'), Mapping):
            seeded.train_dataloader.dataset.split.seed = seed
        digest = _digest(seeded, row.kind, study.min_positives)
        seeded.default_hooks.feature_cache.folder = args.features
        folder = work_dir / f'{row.name}-{seed}'
        jobs.append(Job(row.name, seed, row.kind, seeded.to_dict(), folder, digest, study.min_positives, code))
    return jobs


def _hold_out(config: Config, share: float) -> None:
    """Test on some of the training images in place of the test set: the same ones for all rows and seeds."""
    train, test = config.train_dataloader.dataset, config.test_dataloader.dataset
    train.validation = dict(proportion=share, seed=0)
    options = {key: value for key, value in train.items() if key not in ('split', 'held_out')}
    config.test_dataloader.dataset = options | dict(part='validation', pipeline=test.pipeline, test_mode=True)


@functools.cache
def _code() -> str:
    sources = sorted((ROOT / 'cssa_mm').rglob('*.py'))
    return hashlib.sha256(b''.join(path.read_bytes() for path in sources)).hexdigest()[:16]


def _digest(config: Config, *more: object) -> str:
    text = json.dumps([config.to_dict(), *more], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _work(jobs: Sequence[Job], num_processes: int, work_dir: Path) -> dict[str, str]:
    """Do the jobs; returns log file -> reason of those that failed."""
    if not jobs:
        return {}
    # A process that has started CUDA cannot be forked; fresh ones need seconds to import.
    method = 'spawn' if torch.cuda.is_available() or sys.platform != 'linux' else 'fork'
    context = multiprocessing.get_context(method)
    failures: dict[str, str] = {}
    with ProcessPoolExecutor(num_processes, mp_context=context, initializer=start_worker) as pool:
        try:
            sources = {_source(job): job for job in reversed(jobs)}
            print(f'{len(jobs)} runs; the features that they share first, once', flush=True)
            for future in [pool.submit(prepare, job) for job in sources.values()]:
                future.result()
            futures = {pool.submit(run, job): job for job in jobs}
            for future in (bar := tqdm(as_completed(futures), work_dir.name, len(jobs), unit='run')):
                job = futures[future]
                reason = future.result()
                if reason is None:
                    bar.set_postfix_str(f'{job.folder.name} {job.result["mAP"]:.1f} mAP')
                else:
                    failures[str(job.folder / LOG)] = reason
                    bar.write(f'{job.folder.name} failed: {reason}')
        except BrokenProcessPool as error:
            raise CSSAError(
                f'{work_dir}: a run was killed from outside, perhaps for its memory; lower --jobs and run the same '
                'command again, which keeps what is done'
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return failures


def _source(job: Job) -> str:
    """What the shared features of a job depend on; the split is no part of it."""
    loaders = {name: deepcopy(job.config[name]['dataset']) for name in ('train_dataloader', 'test_dataloader')}
    loaders['train_dataloader'].pop('split', None)
    return json.dumps([job.config['model']['backbone'], loaders], sort_keys=True, default=str)
