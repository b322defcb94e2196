"""A named study: rows x seeds, each a run of our runner, on frozen features that are computed once.

What a study says stands in study_file.py. The work directory holds a folder for each run, with its `run.log` and
`result.json`, and what study_report.py writes.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import multiprocessing
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from copy import deepcopy
from pathlib import Path

import torch
from mmengine.config import Config
from tqdm import tqdm

from cssa_mm.apis.config import load_config
from cssa_mm.cli.arguments import Overrides
from cssa_mm.errors import ConfigError, CSSAError
from cssa_mm.features.training import mirrored_view
from cssa_mm.studies.report import report
from cssa_mm.studies.spec import ROOT, Row, Study, known_studies, load_study
from cssa_mm.studies.worker import LOG, Job, prepare, run, start_worker

FEATURES = 'work_dirs/features'


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
    rows = found.chosen(args.rows)
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


def _jobs(study: Study, row: Row, args: argparse.Namespace, work_dir: Path) -> list[Job]:
    path = row.config or args.config or study.config
    path = path if Path(path).is_file() else str(ROOT / path)
    try:
        config = load_config(path, overrides={**row.options, **args.cfg_options}, data_root=args.data_root)
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
