"""Predict any number of images into a folder: shards first, which survive a kill, then what other tools read."""

from __future__ import annotations

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
from cssa_mm.apis.predicting.notes import note_on_untrained, notes_on
from cssa_mm.apis.predicting.outputs import BAD_IMAGES, Rows, Write, bad_lines, good_rows, outputs_of
from cssa_mm.apis.predicting.ray_engine import check_engine, read_on_ray
from cssa_mm.apis.predicting.result import PredictionRun
from cssa_mm.apis.predicting.rows import PredictedImage, count
from cssa_mm.apis.predicting.scorers import open_for_prediction
from cssa_mm.apis.predicting.scoring import Read, read_here, scored
from cssa_mm.apis.predicting.shards import SHARD_SIZE, Ledger, Shard, look_up
from cssa_mm.apis.predicting.sources import Images, find_images
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
    engine: str = 'local',
    ray_address: str | None = None,
    actors: int | None = None,
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
        device: 'cpu', 'cuda' or 'mps'; by default the best one that this machine has, or the cluster.
        shard_size: images of a shard, which a kill loses at most.
        engine: 'local', or 'ray': a cluster scores (`read_on_ray`), and the results are the same.
        ray_address: of a running cluster of Ray; by default the variable RAY_ADDRESS, else one starts on this machine.
        actors: processes of Ray that hold the model; by default one for each GPU, or for two CPUs.

    Raises:
        ConfigError: an option is wrong, or `out` cannot be written, holds something else, or is of another model.
        ToolboxError: Ray is needed and not installed.
        DataError: there is no image, or none of them can be read.
        CheckpointError: the checkpoint is none.

    Examples:
        >>> import cssa_mm
        >>> run = cssa_mm.predict(images='photos', checkpoint='model.pth', out='predictions')  # doctest: +SKIP
        >>> run.images, run.bad, run.files[0]  # doctest: +SKIP
        (2000, 3, 'predictions.csv')
    """
    _check_numbers(batch_size=(batch_size, 1), workers=(workers, 0), shard_size=(shard_size, 1), actors=(actors, 1))
    check_engine(engine, checkpoint, workers=workers, device=device, ray_address=ray_address, actors=actors)
    here = 'cpu' if engine == 'ray' else device  # GPUs are left to the actors
    wanted = outputs_of(scores, formats, raw_scores)
    folder = OutFolder(out, replaces)
    given = given_threshold(threshold)
    found = find_images(images)
    if workers is None:
        workers = default_workers(is_cpu=checked_device(here).type == 'cpu') if len(found) > FEW else 0
    options: dict[str, int] = dict(batch_size=batch_size, workers=workers)
    nearby = NearbyImages(found, folder.neighbours(), replaces=replaces, **options) if neighbours else None
    if checkpoint is None and config is None and classes is None:
        classes = found.class_file
    opened = open_for_prediction(
        checkpoint, config, tower=tower, new_classes=new_classes, classes=classes, neighbours=nearby, device=here
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
        notes = notes_on(found, before, known.get('images', {}), missing.size)
        if opened.scorer.zero_shot_names:
            notes.append(note_on_untrained(opened.scorer, choice))
        if nearby is not None:
            notes.append(nearby.text())
        # From here on until the end, these files may be there, and no record vouches for them.
        earlier = list(dict.fromkeys([*finished.get('written', ()), *wanted, BAD_IMAGES]))
        folder.record(opened.identity, listed, dict(request=None, written=earlier))
        read = (
            partial(read_on_ray, scorer=opened.scorer, address=ray_address, actors=actors, device=device)
            if engine == 'ray'
            else partial(
                read_here,
                of_pixels=opened.scorer,
                view=opened.scorer.view,
                widths=[len(opened.scorer.class_names)] * 2,
                workers=workers,
            )
        )
        seconds = _score(
            opened.scorer, read, ledger, folder, nearby, dict(batch_size=batch_size, shard_size=shard_size)
        )
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
    scorer: Scorer,
    read: Read,
    ledger: Ledger,
    folder: OutFolder,
    nearby: NearbyImages | None,
    options: Mapping[str, int],
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
    with closing(scored(read, len(scorer.class_names), ledger.images, missing, **options)) as rest:
        for number, (positions, shard) in enumerate(chain(first, rest), max(folder.shards.numbers(), default=-1) + 1):
            with folder.writing():
                folder.shards.write(number, shard)
            ledger.enter(number, positions)
    return time.monotonic() - began + (0.0 if nearby is None else nearby.seconds)


def _check_numbers(**values: tuple[int | None, int]) -> None:
    for name, (value, least) in values.items():
        if value is not None:
            require_whole_number(name, value, least)


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
