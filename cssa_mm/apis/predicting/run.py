"""Predict any number of images into a folder: shards first, which survive a kill, then what other tools read."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from itertools import chain
from typing import Any, cast

import numpy as np
import torch
from mmengine.config import Config

from cssa_mm.apis.chosen_labels import LabelChoice
from cssa_mm.apis.predicting.folder import OutFolder
from cssa_mm.apis.predicting.loading import default_workers
from cssa_mm.apis.predicting.neighbours import NearbyImages
from cssa_mm.apis.predicting.outputs import BAD_IMAGES, Rows, Write, bad_lines, good_rows, outputs_of
from cssa_mm.apis.predicting.result import PredictionRun
from cssa_mm.apis.predicting.rows import PredictedImage, count
from cssa_mm.apis.predicting.scorers import open_for_prediction
from cssa_mm.apis.predicting.scoring import scored
from cssa_mm.apis.predicting.shards import SHARD_SIZE, Found, Ledger, Shard, look_up
from cssa_mm.apis.predicting.sources import ImageList, Images, find_images
from cssa_mm.apis.predicting.threshold_file import given_threshold
from cssa_mm.apis.predicting.writers.sidecars import write_sidecars
from cssa_mm.apis.predicting.writers.streams import text_file
from cssa_mm.apis.scorer import Scorer, TorchScorer
from cssa_mm.engine.runner import checked_device
from cssa_mm.errors import DataError, require_whole_number

FEW = 64  # images that are decoded before other processes have started


def predict(
    *,
    images: Images,
    checkpoint: str | os.PathLike | None,
    out: str | os.PathLike,
    config: str | os.PathLike | Config | None = None,
    tower: str | os.PathLike | None = None,
    new_classes: str | Sequence[str] | None = None,
    classes: str | Sequence[str] | None = None,
    neighbours: bool = False,
    threshold: float | str | os.PathLike | Mapping[str, float] | None = None,
    top: int | None = None,
    scores: str = 'parquet',
    raw_scores: bool = False,
    formats: Sequence[str] | None = None,
    sidecars: bool = False,
    replaces: bool = False,
    batch_size: int = 32,
    workers: int | None = None,
    device: str | torch.device | None = None,
    shard_size: int = SHARD_SIZE,
) -> PredictionRun:
    """Label images with a model, and write what other tools read.

    The same call goes on where a killed one stopped, and predicts what has been added or changed since. Of a finished
    folder it writes the results anew where they are asked for in another way; no image is scored twice. For that it
    keeps the scores in `out/shards`; who needs the room can delete the .npz files there.

    Args:
        images: what `find_images` takes: a folder, a pattern, a list, a table, an image.
        checkpoint: a trained model; None for zero-shot CLIP with the classes and the tower of `config`.
        out: the folder of the results: new, empty, or of an earlier call with the same model.
        config: for `checkpoint` None alone, what `load_config` takes.
        tower: new path of the weights of the checkpoint's tower; of a config, what `load_config` takes.
        new_classes: names that were never trained, or one text with commas between them.
        classes: for `checkpoint` None alone, class names, a text with commas between them, or a file of class names,
            in place of those of `config`, which is 'cssa_table' by default; no labelled image is looked at. Without
            both it is the classes.csv or classes.txt of the folder of the images.
        neighbours: for `checkpoint` None alone: each image leans on what CLIP says of the images that look like it,
            among all of them or `model.neighbours.max_images`, drawn at random, that are read first (`Neighbours`). A
            later call for `out` keeps those.
        threshold: in place of the model's thresholds: a number, class name -> number, or a CSV file class,threshold.
        top: the number of labels of each image, in place of thresholds.
        scores: the form of the table of scores: 'parquet', 'csv' or 'none'.
        raw_scores: also write `raw_scores.parquet`, the scores before calibration.
        formats: the tools that get a file of their own: some of 'label_studio', 'fiftyone'; None for all of them.
        sidecars: also write the labels as keywords in an XMP file beside each photo.
        replaces: start anew, whatever `out` holds.
        batch_size: images scored at a time.
        workers: processes that decode; None goes by the cores of this machine.
        device: 'cpu', 'cuda' or 'mps'; by default the best one that this machine has.
        shard_size: images of a shard, which a kill loses at most.

    Raises:
        ConfigError: an option is wrong, or `out` cannot be written, holds something else, or is of another model.
        DataError: there is no image, or none of them can be read.
        CheckpointError: the checkpoint is none.

    Examples:
        >>> import cssa_mm
        >>> run = cssa_mm.predict(images='photos', checkpoint='model.pth', out='predictions')  # doctest: +SKIP
        >>> run.images, run.bad, run.files[0]  # doctest: +SKIP
        (2000, 3, 'predictions.csv')
    """
    _check_numbers(batch_size=(batch_size, 1), workers=(workers, 0), shard_size=(shard_size, 1))
    wanted = outputs_of(scores, formats, raw_scores)
    folder = OutFolder(out, replaces)
    given = given_threshold(threshold)
    found = find_images(images)
    if workers is None:
        workers = default_workers(is_cpu=checked_device(device).type == 'cpu') if len(found) > FEW else 0
    options: dict[str, int] = dict(batch_size=batch_size, workers=workers)
    nearby = NearbyImages(found, folder.neighbours(), replaces=replaces, **options) if neighbours else None
    if checkpoint is None and config is None and classes is None:
        classes = found.class_file
    opened = open_for_prediction(
        checkpoint, config, tower=tower, new_classes=new_classes, classes=classes, neighbours=nearby, device=device
    )
    choice = LabelChoice.of(opened.scorer, threshold=given, top=top)
    request = dict(files=list(wanted), sidecars=sidecars, top=choice.top, thresholds=choice.thresholds.to_dict())
    listed = dict(count=len(found), digest=found.digest, root=found.place)
    with folder.held(opened.identity) as known:
        before = look_up(folder.shards, found)
        ledger, missing = before.ledger, before.ledger.missing()
        finished = known.get('finished') or {}
        if not missing.size and known.get('images') == listed and folder.has_written(finished, request):
            return PredictionRun.done(folder.path, finished['counts'], finished['written'])
        notes = _notes(found, before, known.get('images', {}), missing.size)
        if opened.scorer.zero_shot_names:
            notes.append(_untrained(opened.scorer, choice))
        if nearby is not None:
            notes.append(nearby.text())
        # From here on until the end, these files may be there, and no record vouches for them.
        earlier = list(dict.fromkeys([*finished.get('written', ()), *wanted, BAD_IMAGES]))
        folder.record(opened.identity, listed, dict(request=None, written=earlier))
        seconds = _score(opened.scorer, ledger, folder, nearby, dict(options, shard_size=shard_size))
        rows = partial(good_rows, ledger, folder.shards, list(opened.scorer.class_names), choice)
        if next(rows(), None) is None:
            reason = next(bad_lines(ledger, folder.shards)).replace('\t', ': ').strip()
            if not known:
                folder.discard()
            raise DataError(f'images: found none of {len(found):,} that can be read ({reason}), expected images')
        written = _write(folder, rows, opened.facts, choice, wanted, bad_lines(ledger, folder.shards))
        folder.remove([name for name in earlier if name not in written])
        if sidecars:
            notes.append(write_sidecars(rows(), opened.facts).text())
        result = PredictionRun(
            folder.path,
            **_counts(rows(), opened.scorer.class_names, len(found)),
            choice=choice.describe(),
            files=written,
            scored=int(missing.size),
            seconds=seconds,
            notes=notes,
        )
        folder.record(opened.identity, listed, dict(request=request, written=written, counts=result.counts()))
    return result


def _score(
    scorer: Scorer, ledger: Ledger, folder: OutFolder, nearby: NearbyImages | None, options: Mapping[str, int]
) -> float:
    """Score the images that the ledger lacks into new shards; returns the seconds that it took."""
    began = time.monotonic()
    first: Iterator[tuple[np.ndarray, Shard]] = iter(())
    missing = ledger.missing()
    if nearby is not None:
        with folder.writing():
            nearby.save()
        first = nearby.scored(cast(TorchScorer, scorer), missing, options['shard_size'])
        missing = np.setdiff1d(missing, nearby.among(missing))
    with closing(scored(scorer, ledger.images, missing, **options)) as rest:
        for number, (positions, shard) in enumerate(chain(first, rest), max(folder.shards.numbers(), default=-1) + 1):
            with folder.writing():
                folder.shards.write(number, shard)
            ledger.enter(number, positions)
    return time.monotonic() - began + (0.0 if nearby is None else nearby.seconds)


def _check_numbers(**values: tuple[int | None, int]) -> None:
    for name, (value, least) in values.items():
        if value is not None:
            require_whole_number(name, value, least)


def _notes(found: ImageList, before: Found, then: Mapping[str, Any], missing: int) -> list[str]:
    notes = [f'left out: {count:,} files {reason}' for reason, count in found.left_out.items()]
    if found.repeated:
        notes.append(f'{found.source}: {found.repeated:,} lines repeat an image; each is predicted once')
    done = len(found) - missing
    if done and missing:
        notes.append(f'{done:,} of {len(found):,} images were predicted before; {missing:,} are left')
    elif done:
        notes.append(f'all of {len(found):,} images were predicted before: their results are written anew')
    if done and then.get('root', found.place) != found.place:
        notes.append(
            f"the images lay in '{then['root']}' when they were predicted, and lie in '{found.place}' now: files of "
            'the same name, size and time of change count as the same; --force predicts them anew'
        )
    if then and then.get('digest') != found.digest:
        notes.append(
            f'the images have changed since the last run: {then.get("count"):,} then, {len(found):,} now; those that '
            f'are new are predicted, {before.gone:,} that are gone are left out'
        )
    if before.changed:
        notes.append(f'{before.changed:,} image files have changed since they were predicted: they are predicted anew')
    return notes


def _untrained(scorer: Scorer, choice: LabelChoice) -> str:
    """What to know of the classes that were never trained."""
    names = scorer.zero_shot_names
    if len(names) == len(scorer.class_names):
        return 'no class was ever trained: all scores are those of zero-shot CLIP'
    note = f'never trained, scored by zero-shot CLIP: {", ".join(names)}'
    values = dict(zip(scorer.class_names, choice.thresholds.values, strict=True))
    if choice.top is None and any(math.isnan(values[name]) for name in names):
        note += '; the checkpoint has no thresholds for them: no image gets them without --threshold or --top'
    return note


def _counts(rows: Iterator[PredictedImage], class_names: Sequence[str], total: int) -> dict[str, Any]:
    """The counts of a `PredictionRun`."""
    images, without_label, found = count(rows)
    labels = {name: found[name] for name in class_names}
    return dict(images=images, bad=total - images, without_label=without_label, labels=labels)


def _write(
    folder: OutFolder,
    rows: Rows,
    facts: Mapping[str, Any],
    choice: LabelChoice,
    wanted: Mapping[str, Write],
    bad: Iterator[str],
) -> list[str]:
    """Write the results, all of them or none; returns their names."""
    with folder.staged() as staging:
        for name, write in wanted.items():
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            write(rows, facts, staging / name, choice)
        first = next(bad, None)
        if first is None:
            return list(wanted)
        with text_file(staging / BAD_IMAGES) as file:
            file.writelines(chain([first], bad))
    return [*wanted, BAD_IMAGES]
