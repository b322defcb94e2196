"""Predict any number of images into a folder: shards first, which survive a kill, then what other tools read."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from tqdm import tqdm

from cssa_mm.apis.chosen_labels import LabelChoice
from cssa_mm.apis.predicting.folder import OutFolder
from cssa_mm.apis.predicting.loading import Loaded, Task, default_workers, load
from cssa_mm.apis.predicting.outputs import BAD_IMAGES, FORMATS, good_rows, write_bad_images
from cssa_mm.apis.predicting.result import PredictionRun
from cssa_mm.apis.predicting.rows import PredictedImage
from cssa_mm.apis.predicting.scorers import open_for_prediction
from cssa_mm.apis.predicting.shards import SHARD_SIZE, Found, Ledger, Shard, look_up
from cssa_mm.apis.predicting.sources import ImageList, Images, find_images
from cssa_mm.apis.predicting.threshold_file import given_threshold
from cssa_mm.apis.scorer import Scorer
from cssa_mm.engine.runner import checked_device
from cssa_mm.errors import ConfigError, DataError, nearest

FEW = 64  # images that are decoded before other processes have started


def predict(
    *,
    images: Images,
    checkpoint: str | os.PathLike | None,
    out: str | os.PathLike,
    config: str | os.PathLike | Config | None = None,
    tower: str | os.PathLike | None = None,
    new_classes: str | Sequence[str] | None = None,
    threshold: float | str | os.PathLike | Mapping[str, float] | None = None,
    top: int | None = None,
    formats: Sequence[str] | None = None,
    replaces: bool = False,
    batch_size: int = 32,
    workers: int | None = None,
    device: str | torch.device | None = None,
    shard_size: int = SHARD_SIZE,
) -> PredictionRun:
    """Label images with a model, and write what other tools read.

    The same call goes on where a killed one stopped, and predicts what has been added or changed since. Of a finished
    folder it writes the results anew where they are asked for in another way; no image is scored twice.

    Args:
        images: what `find_images` takes: a folder, a pattern, a list, a table, an image.
        checkpoint: a trained model; None for zero-shot CLIP with the classes and the tower of `config`.
        out: the folder of the results: new, empty, or of an earlier call with the same model.
        config: for `checkpoint` None alone, what `load_config` takes.
        tower: new path of the weights of the checkpoint's tower; of a config, what `load_config` takes.
        new_classes: names that were never trained, or one text with commas between them.
        threshold: in place of the model's thresholds: a number, class name -> number, or a CSV file class,threshold.
        top: the number of labels of each image, in place of thresholds.
        formats: some of `FORMATS`; None: those that need no more than a few bytes an image and class.
        replaces: start anew, whatever `out` holds.
        batch_size: images scored at a time.
        workers: processes that decode; None goes by the cores of this machine.
        device: 'cpu', 'cuda' or 'mps'; by default the best one that this machine has.
        shard_size: images of a shard, which a kill loses at most.

    Raises:
        ConfigError: an option is wrong, or `out` cannot be written, holds something else, or is of another model.
        DataError: there is no image, or none of them can be read.
        CheckpointError: the checkpoint is none.
    """
    for name, value, least in (('batch_size', batch_size, 1), ('workers', workers, 0), ('shard_size', shard_size, 1)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise ConfigError(f'{name}: found {value!r}, expected a whole number from {least}')
    wanted = _wanted(formats)
    folder = OutFolder(out, replaces)
    given = given_threshold(threshold)
    found = find_images(images)
    opened = open_for_prediction(checkpoint, config, tower=tower, new_classes=new_classes, device=device)
    scorer = opened.scorer
    choice = LabelChoice.of(scorer, threshold=given, top=top)
    if workers is None:
        is_cpu = checked_device(device).type == 'cpu'
        workers = default_workers(is_cpu) if len(found) > FEW else 0
    request = dict(formats=wanted, top=choice.top, thresholds=choice.thresholds.to_dict())
    listed = dict(count=len(found), digest=found.digest)
    with folder.held(opened.identity) as known:
        before = look_up(folder.shards, found)
        finished = known.get('finished') or {}
        ledger = before.ledger
        missing = ledger.missing()
        is_same = known.get('images') == listed and finished.get('request') == request
        if not missing.size and is_same and all((folder.path / name).is_file() for name in finished['written']):
            return PredictionRun.done(folder.path, finished['counts'], finished['written'])
        result = PredictionRun(folder.path, choice=choice.describe(), notes=_notes(found, before, known, missing.size))
        folder.record(opened.identity, listed, _unfinished(finished))
        began = time.monotonic()
        for number, positions, shard in _scored(scorer, found, missing, shard_size, batch_size, workers, folder):
            with folder.writing():
                folder.shards.write(number, shard)
            ledger.enter(number, positions)
        result.scored, result.seconds = int(missing.size), time.monotonic() - began
        _write(result, folder, ledger, scorer, choice, wanted, finished.get('written', []))
        finished = dict(request=request, counts=result.counts(), written=result.files)
        folder.record(opened.identity, listed, finished)
    return result


def _wanted(formats: Sequence[str] | None) -> list[str]:
    for name in formats or ():
        if name not in FORMATS:
            raise ConfigError(
                f"formats: found '{name}', expected some of {', '.join(FORMATS)}.{nearest(name, FORMATS)}"
            )
    return [name for name in FORMATS if formats is None or name in formats]


def _unfinished(finished: Mapping[str, Any]) -> dict[str, Any] | None:
    """A record of which only the names of files are still true: those that a later run must replace or remove."""
    return dict(request=None, counts=None, written=finished['written']) if finished else None


def _notes(found: ImageList, before: Found, known: Mapping[str, Any], missing: int) -> list[str]:
    notes = [f'left out: {count:,} files {reason}' for reason, count in found.left_out.items()]
    if found.repeated:
        notes.append(f'{found.source}: {found.repeated:,} lines repeat an image; each is predicted once')
    done = len(found) - missing
    if done:
        notes.append(f'{done:,} of {len(found):,} images were predicted before; {missing:,} are left')
    then = known.get('images', {})
    if then and then.get('digest') != found.digest:
        notes.append(
            f'the images have changed since the last run: {then.get("count"):,} then, {len(found):,} now; those that '
            f'are new are predicted, {before.gone:,} that are gone are left out'
        )
    if before.changed:
        notes.append(f'{before.changed:,} image files have changed since they were predicted: they are predicted anew')
    return notes


def _scored(
    scorer: Scorer,
    images: ImageList,
    missing: np.ndarray,
    shard_size: int,
    batch_size: int,
    workers: int,
    folder: OutFolder,
) -> Iterator[tuple[int, np.ndarray, Shard]]:
    """Score the images at the missing positions: number, positions and content of each shard.

    No batch reaches over two shards: so the scores of a shard are the same after a kill.
    """
    if not missing.size:
        return
    chunks = [missing[start : start + shard_size] for start in range(0, len(missing), shard_size)]
    tasks = (
        Task(batch.tolist(), [images.path(position) for position in batch])
        for chunk in chunks
        for batch in np.split(chunk, range(batch_size, len(chunk), batch_size))
    )
    number = max(folder.shards.numbers(), default=-1) + 1
    interval = 0.2 if sys.stderr.isatty() else 30
    with (
        closing(load(tasks, scorer.view, workers)) as loaded,
        tqdm(
            desc='Predicting', total=len(images), initial=len(images) - len(missing), unit='image', mininterval=interval
        ) as bar,
    ):
        for chunk in chunks:
            shard = _empty(len(chunk), len(scorer.class_names))
            for batch in islice(loaded, -(-len(chunk) // batch_size)):
                _fill(shard, images, batch, scorer)
                bar.update(len(batch.positions))
            yield number, chunk, shard
            number += 1


def _empty(rows: int, classes: int) -> Shard:
    scores = np.full((2, rows, classes), np.nan, np.float32)
    return Shard([], [], [], scores[0], scores[1])


def _fill(shard: Shard, images: ImageList, batch: Loaded, scorer: Scorer) -> None:
    start = len(shard.names)
    for rows, pixels in batch.groups:
        scores = scorer(torch.from_numpy(pixels))
        places = start + np.asarray(rows)
        shard.scores[places], shard.raw_scores[places] = scores
    shard.names.extend(images.names[position] for position in batch.positions)
    shard.facts.extend(batch.facts)
    shard.reasons.extend(batch.reasons)


def _write(
    result: PredictionRun,
    folder: OutFolder,
    ledger: Ledger,
    scorer: Scorer,
    choice: LabelChoice,
    formats: Sequence[str],
    earlier: Sequence[str],
) -> None:
    """Write the results, all of them or none, and count them."""
    class_names = list(scorer.class_names)

    def rows() -> Iterator[PredictedImage]:
        return good_rows(ledger, folder.shards, class_names, choice)

    counts: Counter[str] = Counter()
    for row in rows():
        result.images += 1
        result.without_label += not row.labels
        counts.update(row.labels)
    result.labels = {name: counts[name] for name in class_names}
    with folder.staged() as staging:
        result.bad = write_bad_images(ledger, folder.shards, staging / BAD_IMAGES)
        if not result.images:
            reason = (staging / BAD_IMAGES).read_text('utf-8').split('\n')[0].replace('\t', ': ')
            raise DataError(f'images: found {result.bad:,}, none of which can be read ({reason}), expected images')
        facts = scorer.facts()
        result.files = [BAD_IMAGES] * (result.bad > 0)
        for name in formats:
            for file, write in FORMATS[name].items():
                (staging / file).parent.mkdir(parents=True, exist_ok=True)
                write(rows(), facts, staging / file, choice)
                result.files.append(file)
    folder.remove([name for name in earlier if name not in result.files])
