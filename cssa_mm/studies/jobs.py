"""A named study: rows x seeds, each a run of our runner, on frozen features that are computed once.

spec.py describes the study file. The work directory holds a folder for each run, with its `run.log` and
`result.json`, and what report.py writes.

A result is kept as long as nothing that decides it has changed (fingerprint.py); else the run is repeated:

settings    the resolved config of the row and seed; not the folder of the features
code        the files of the package and its demo CLIP, except for commands and figures; `keep_results` ignores it
data        of the training and test set: classes, image ids and labels as read, and size and time of change of each
            image; by their bytes: a split file and the tower's weights. Each data set is read once a study, and its
            images are not opened. Images in a remote storage count by their address alone.
"""

from __future__ import annotations

import json
import multiprocessing
import os
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
from cssa_mm.datasets.pipeline import build_pipeline
from cssa_mm.datasets.questions import accepted_kinds
from cssa_mm.datasets.workers import start_method
from cssa_mm.engine.config.data_parts import require_test_data
from cssa_mm.engine.config.train_loops import NO_EPOCH
from cssa_mm.errors import ConfigError, CSSAError
from cssa_mm.features.view import draws_view_or_mirror, view_of
from cssa_mm.files import code_digest
from cssa_mm.studies.fingerprint import DataDigests, Fingerprint, settings_digest
from cssa_mm.studies.own_photos import draw_folder
from cssa_mm.studies.report import report
from cssa_mm.studies.spec import Row, Study, load_study
from cssa_mm.studies.worker import LOG, NO_RESULT, Job, prepare, run, start_worker

FEATURES = 'work_dirs/features'


def run_study(
    *,
    study: str,
    seeds: Sequence[int] = (1, 2, 3, 4, 5),
    jobs: int = 1,
    rows: Sequence[str] | None = None,
    config: str | None = None,
    data_root: str | os.PathLike | None = None,
    validation: float | None = None,
    work_dir: str | os.PathLike | None = None,
    features: str | os.PathLike = FEATURES,
    overrides: Mapping[str, object] | None = None,
    tower: str | os.PathLike | None = None,
    keep_results: bool = False,
) -> dict:
    """Do the runs of a study whose results are missing or out of date; writes and prints the report.

    Args:
        study: name of a shipped study, or a study file.
        seeds: seeds of split, prompts and order.
        jobs: runs at a time, one thread each; they take the GPUs in turn.
        rows: names or patterns of the rows to run, all by default; '*' stands for anything.
        config: in place of the study's config, for rows without one of their own.
        data_root: directory of the data.
        validation: test on this share of the training images, which no run trains on, to choose settings.
        work_dir: directory of all results; `work_dirs/studies/STUDY` by default.
        features: directory of the frozen features, for all studies.
        overrides: dotted key -> value, for every run.
        tower: the tower of every run: `NAME:TAG`, `NAME:PATH` (see `load_config`).
        keep_results: keep results of another version of the code.

    Returns:
        The summary, with the log and the reason of each run that failed under `failures`.

    Raises:
        ConfigError: an unknown study, row or config key, or `config` for rows that have their own.
        DataError: the data are missing or broken.
        CSSAError: a process was killed.
    """
    found = load_study(study)
    chosen = found.chosen(rows)
    own = [row.name for row in chosen if row.config]
    if config and own:
        raise ConfigError(
            f'--config: found rows that have a config of their own ({", ".join(own)}), expected rows that start from '
            "the study's; choose others with --rows"
        )
    folder = Path(work_dir or Path('work_dirs', 'studies', found.name))
    places = [(data_root, seeds)]
    if found.own_photos:
        drawn = [draw_folder(found, seed, data_root, validation, folder / f'photos-{seed}') for seed in seeds]
        places, validation = [(place, [seed]) for place, seed in zip(drawn, seeds, strict=True)], None
    configs = [
        (row, row_config(found, row, config, overrides, root, validation, tower), some)
        for row in chosen
        for root, some in places
    ]
    data = DataDigests()
    wanted = [
        job
        for row, settings, some in configs
        for job in row_jobs(found, row, settings, some, folder, features, data.of(settings))
    ]
    _say_why([job.changes(keep_results) for job in wanted])
    failures = _work([job for job in wanted if job.changes(keep_results)], jobs, folder)
    kept = [job.result() for job in wanted if not job.changes(keep_results)]
    results = [result for result in kept if result is not None]
    summary = report(found, chosen, seeds, results, folder) if results else {}
    for log, reason in failures.items():
        print(f'failed: {reason}; its log is {log}', file=sys.stderr)
    if failures:
        print(f'{len(failures)} of {len(wanted)} runs failed; the same command repeats them alone', file=sys.stderr)
    return summary | dict(failures=failures)


def row_config(
    study: Study,
    row: Row,
    config: str | None = None,
    overrides: Mapping[str, object] | None = None,
    data_root: str | os.PathLike | None = None,
    validation: float | None = None,
    tower: str | os.PathLike | None = None,
) -> Config:
    """The config of a row; the arguments are those of `run_study`.

    Raises:
        ConfigError: the config is missing, or a key is unknown.
    """
    try:
        options = {**row.options, **(overrides or {})}
        result = load_config(row.config or config or study.config, overrides=options, data_root=data_root, tower=tower)
    except ConfigError as error:
        raise ConfigError(f"row '{row.name}' of study {study.name}: {error}") from error
    require_test_data(result)
    if validation is not None:
        _hold_out(result, validation)
    result.val_cfg = result.val_dataloader = result.val_evaluator = None
    result.default_hooks.checkpoint = None
    result.visualizer.vis_backends = []
    if row.kind != 'train':
        result.train_cfg.update(warmup_epochs=0, semi_epochs=0)
        result.accept = [*accepted_kinds(result.get('accept')), NO_EPOCH]
        result.param_scheduler = None
    if row.kind == 'zero_shot' and result.model.get('evidence'):  # it rests on labels, and its neighbours come with it
        result.model.update(evidence=None, neighbours=None)
    transforms = build_pipeline(result.train_dataloader.dataset.pipeline, None).transforms
    if draws_view_or_mirror(transforms, view_of(result)):  # no image is read: workers would only cost time
        result.train_dataloader.update(num_workers=0, persistent_workers=False)
    return result


def row_jobs(
    study: Study, row: Row, config: Config, seeds: Sequence[int], work_dir: Path, features: str | os.PathLike, data: str
) -> list[Job]:
    """The runs of a row with its config, one for each seed; `data` is the hash of what the config reads."""
    jobs, code = [], code_digest()
    # Of own photos all classes count: the draw has left out the others, and few labels are known here.
    enough = 0 if study.own_photos else study.min_positives
    for seed in seeds:
        seeded = deepcopy(config)
        seeded.randomness.seed = seed
        if isinstance(seeded.train_dataloader.dataset.get('split'), Mapping):
            seeded.train_dataloader.dataset.split.seed = seed
        fingerprint = Fingerprint(settings_digest(seeded, row.kind, enough), code, data)
        seeded.default_hooks.pseudo_labels.feature_cache.folder = os.fspath(features)
        folder = work_dir / f'{row.name}-{seed}'
        jobs.append(Job(row.name, seed, row.kind, seeded.to_dict(), folder, enough, fingerprint))
    return jobs


def _say_why(changes: Sequence[Sequence[str]]) -> None:
    """Print, once for a study, why existing results are not kept."""
    out_of_date = [names for names in changes if names and names != [NO_RESULT]]
    if out_of_date:
        reasons = [name for name in Fingerprint._fields if any(name in names for names in out_of_date)]
        print(
            f'{len(out_of_date)} of {len(changes)} results are out of date and run again: '
            f'{", ".join(f"{name} changed" for name in reasons)}',
            flush=True,
        )


def _hold_out(config: Config, share: float) -> None:
    """Test on some of the training images in place of the test set: the same ones for all rows and seeds."""
    train, test = config.train_dataloader.dataset, config.test_dataloader.dataset
    train.validation = dict(proportion=share, seed=0)
    options = {key: value for key, value in train.items() if key not in ('split', 'held_out')}
    config.test_dataloader.dataset = options | dict(part='validation', pipeline=test.pipeline, test_mode=True)


def _work(jobs: Sequence[Job], num_processes: int, work_dir: Path) -> dict[str, str]:
    """Do the jobs; returns log file -> reason of those that failed."""
    if not jobs:
        return {}
    # A process that has started CUDA cannot be forked; fresh ones need seconds to import.
    context = multiprocessing.get_context('spawn' if torch.cuda.is_available() else start_method())
    failures: dict[str, str] = {}
    started = context.Value('i', 0)
    with ProcessPoolExecutor(num_processes, context, start_worker, (started,)) as pool:
        try:
            sources = {_source(job): job for job in reversed(jobs)}
            print(f'{len(jobs)} runs, after the features that they share', flush=True)
            for prepared in [pool.submit(prepare, job) for job in sources.values()]:
                prepared.result()
            futures = {pool.submit(run, job): job for job in jobs}
            for future in (bar := tqdm(as_completed(futures), work_dir.name, len(jobs), unit='run')):
                job = futures[future]
                reason, result = future.result(), job.result()
                if reason is None and result is not None:
                    bar.set_postfix_str(f'{job.folder.name} {result["mAP"]:.1f} mAP')
                elif reason is not None:
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
    """What the shared features of a job depend on, which is not the split."""
    loaders = {name: deepcopy(job.config[name]['dataset']) for name in ('train_dataloader', 'test_dataloader')}
    loaders['train_dataloader'].pop('split', None)
    return json.dumps([job.config['model']['backbone'], loaders], sort_keys=True, default=str)
