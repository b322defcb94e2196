"""The worker process of a study: it computes the shared features, or one run."""

from __future__ import annotations

import contextlib
import json
import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS, HOOKS, MODELS

from cssa_mm.apis.training import build_runner
from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.datasets.workers import end_with_parent
from cssa_mm.engine.calibration_hook import CalibrationHook
from cssa_mm.engine.questions import refuse_overlap
from cssa_mm.evaluation.pseudo_label_records import FILE as PSEUDO_LABELS
from cssa_mm.features.encode import Features
from cssa_mm.files import write_json
from cssa_mm.models import CSSAClassifier
from cssa_mm.semi import PseudoLabelHook
from cssa_mm.semi.statistics import check_same_classes
from cssa_mm.studies.fingerprint import Fingerprint
from cssa_mm.studies.measures import metrics as measured
from cssa_mm.studies.measures import probe
from cssa_mm.studies.memory import forget_peak_memory, peak_memory

KINDS = ('train', 'zero_shot', 'linear_probe')
LOG, RESULT = 'run.log', 'result.json'
NO_RESULT = 'no result'


@dataclass(frozen=True)
class Job:
    """One row of a study with one seed: its config, ready to run, and hashes of all that decides its result."""

    row: str
    seed: int
    kind: str
    config: dict
    folder: Path
    min_positives: int
    fingerprint: Fingerprint

    def result(self) -> dict | None:
        """The result of the last run, up to date or not; None if there is none."""
        path = self.folder / RESULT
        return json.loads(path.read_text('utf-8')) if path.is_file() else None

    def changes(self, keep_results: bool) -> list[str]:
        """Why the run must be done: no result, or what has changed; with `keep_results` the code alone is no reason."""
        result = self.result()
        if result is None:
            return [NO_RESULT]
        found = self.fingerprint.changes(result)
        return [] if keep_results and found == ['code'] else found


def start_worker(started: Synchronized[int]) -> None:
    """Compute with one thread and on one GPU, and exit with the parent process.

    Args:
        started: how many workers have been started; they take the GPUs in turn.
    """
    torch.set_num_threads(1)
    if torch.cuda.is_available():
        with started.get_lock():
            torch.cuda.set_device(started.value % torch.cuda.device_count())
            started.value += 1
    end_with_parent()


def prepare(job: Job) -> None:
    """Compute the features that the runs share, unless they exist; an error is only logged, as the run fails too."""
    job.folder.mkdir(parents=True, exist_ok=True)
    with _logged(job.folder / 'features.log'):
        config = Config(job.config)
        init_default_scope(config.default_scope)
        model = MODELS.build(config.model)
        if torch.cuda.is_available():
            model.cuda()
        dataset = DATASETS.build(config.train_dataloader.dataset)
        hook_of_bad_images = config.default_hooks.get('bad_images')
        if hook_of_bad_images is not None:
            HOOKS.build(hook_of_bad_images).inspect(dataset)
        hook: PseudoLabelHook = HOOKS.build(config.default_hooks.pseudo_labels)
        hook.features(model, dataset, config).fill_for_training()
        _test_features(hook, model, config)


def run(job: Job) -> str | None:
    """Train and test one row with one seed and write its result; returns the error, if any."""
    job.folder.mkdir(parents=True, exist_ok=True)
    (job.folder / RESULT).unlink(missing_ok=True)
    with _logged(job.folder / LOG) as failure:
        write_json(job.folder / RESULT, _measure(job))
    return failure[0] if failure else None


@contextlib.contextmanager
def _logged(path: Path) -> Iterator[list[str]]:
    """Write output and errors into a file; an error is also added to the yielded list."""
    failure: list[str] = []
    with path.open('w', encoding='utf-8') as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        try:
            yield failure
        # A failed run must not stop the others.
        except Exception as error:
            traceback.print_exc()
            failure.append(f'{type(error).__name__}: {" ".join(str(error).split())}'[:300])


def _measure(job: Job) -> dict:
    started = time.perf_counter()
    forget_peak_memory()
    config = Config(job.config)
    config.experiment_name = f'{job.row}-{job.seed}-{job.fingerprint.settings}'
    config.on_used_work_dir = 'overwrite'  # the folder is the study's
    runner = build_runner(config, str(job.folder))
    runner.train()
    trained = time.perf_counter()
    model, train = runner.model, runner.train_dataloader.dataset
    hook = next(hook for hook in runner.hooks if isinstance(hook, PseudoLabelHook))
    test, features = _test_features(hook, model, config)
    check_same_classes(model, test, 'test_dataloader.dataset')
    refuse_overlap(train, test, 'test_dataloader.dataset')
    model.eval()
    calibration = next((hook for hook in runner.hooks if isinstance(hook, CalibrationHook)), None)
    if job.kind == 'linear_probe':
        scores, labelling = probe(hook.semi_supervision.features, train, features, calibration)
    else:
        if job.kind == 'zero_shot' and calibration is not None:
            calibration.calibrate_untrained(hook.semi_supervision)
        scores = torch.cat([model.score(*batch, 'ema').cpu() for batch in features]).numpy()
        labelling = model.calibration, model.thresholds
    metrics = measured(scores, labelling, test, train.hidden_labels, job.min_positives)
    return dict(
        row=job.row,
        seed=job.seed,
        **job.fingerprint._asdict(),
        **metrics,
        labelled_positives=_labelled_positives(train, metrics['AP']),
        **_pseudo_label_quality(job.folder / PSEUDO_LABELS),
        seconds=round(time.perf_counter() - started, 2),
        train_seconds=round(trained - started, 2),
        step_seconds=_step_seconds(runner),
        memory_mib=round(peak_memory() / 2**20, 1),
    )


def _test_features(
    hook: PseudoLabelHook, model: CSSAClassifier, config: Config
) -> tuple[SemiMultiLabelDataset, list[Features]]:
    """The test set, and its features in batches."""
    test = DATASETS.build(config.test_dataloader.dataset)
    features = hook.features(model, test, config)
    features.fill()
    return test, list(features.batches(np.arange(len(test)), 'Test images'))


def _labelled_positives(train: SemiMultiLabelDataset, names: Iterable[str]) -> dict[str, int]:
    """The number of labelled images that show each of these classes, as training sees them."""
    counts = (train.labels == 1).sum(0)
    return {name: int(counts[train.class_names.index(name)]) for name in names}


def _pseudo_label_quality(path: Path) -> dict[str, float | None]:
    """Quality of the last epoch, in per cent; None without pseudo-labels."""
    lines = path.read_text('utf-8').splitlines() if path.is_file() else []
    last = json.loads(lines[-1]) if lines else {}
    names = dict(pseudo_precision='micro_precision', pseudo_recall='micro_recall', pseudo_masked='masked_share')
    return {name: None if last.get(key) is None else 100 * last[key] for name, key in names.items()}


def _step_seconds(runner: Runner) -> float | None:
    times = runner.message_hub.log_scalars.get('train/time')
    return None if times is None else float(np.median(times.data[0]))
