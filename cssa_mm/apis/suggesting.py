"""Suggest which photos to label next, and write a page to label them in (ours)."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from cssa_mm.apis.chosen_labels import LabelChoice
from cssa_mm.apis.labelling.choosing import choose, choose_randomly, signed_doubt
from cssa_mm.apis.labelling.outputs import PAGE, WRITTEN, Suggested, reason, write_outputs
from cssa_mm.apis.labelling.pool import Pool, pool_of
from cssa_mm.apis.labelling.reading import ReadPhotos, read_photos
from cssa_mm.apis.predicting.loading import default_workers
from cssa_mm.apis.predicting.neighbours import NearbyImages, readings_in
from cssa_mm.apis.predicting.rows import PredictedImage
from cssa_mm.apis.predicting.scorers import Opened, open_for_prediction
from cssa_mm.apis.predicting.sources import Images
from cssa_mm.engine.runner import checked_device
from cssa_mm.errors import DataError, require_whole_number
from cssa_mm.files import new_folder

COUNT = 20
LOOKED_AT = 4096  # photos of which 20 are chosen: minutes on two cores
FEW = 64  # photos that are decoded before other processes have started


@dataclass(frozen=True)
class Suggestions:
    """Photos to label.

    Attributes:
        out: the folder with the page.
        names: of the photos, the most useful first.
        why: of each, in words.
        unlabelled, labelled: how many photos there are.
        labels: the file that the answers are merged into.
        notes: what to know.
    """

    out: Path
    names: list[str]
    why: list[str]
    unlabelled: int
    labelled: int
    labels: str
    notes: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """What was chosen, and what to know."""
        head = f'{self.out}: {len(self.names):,} of {self.unlabelled:,} unlabelled photos to label'
        return '\n'.join([head + (f' ({self.labelled:,} are labelled)' if self.labelled else ''), *self.notes])

    def text(self) -> str:
        """The summary, and how to go on."""
        lines = [self.summary()]
        lines.append(f'Open {self.out / PAGE} in a browser, label, and save labels.csv. Then merge the answers:')
        lines.append(f'cssa merge ~/Downloads/labels.csv --into {shlex.quote(self.labels)}')
        return '\n'.join(lines)


def suggest(
    *,
    images: Images | Config,
    out: str | os.PathLike,
    checkpoint: str | os.PathLike | None = None,
    count: int = COUNT,
    is_random: bool = False,
    seed: int = 0,
    looked_at: int = LOOKED_AT,
    labels: str | None = None,
    data_root: str | os.PathLike | None = None,
    overrides: Mapping[str, Any] | None = None,
    config: str | os.PathLike | Config | None = None,
    tower: str | os.PathLike | None = None,
    classes: str | Sequence[str] | None = None,
    neighbours: bool | str | os.PathLike = False,
    replaces: bool = False,
    batch_size: int = 32,
    workers: int | None = None,
    device: str | torch.device | None = None,
) -> Suggestions:
    """Choose photos whose labels would teach a model most, and write what one labels them with.

    A photo counts by how near its calibrated scores lie to the thresholds; of those, photos are taken that differ from
    each other in the classes in doubt and in their frozen features (`choose`). Labelled photos, and those of test and
    validation tables, are never chosen.

    Args:
        images: a folder of photos, with or without a label file; a config, whose training set counts; or what else
            `find_images` takes, where nothing is labelled.
        out: the folder to write: new or empty.
        checkpoint: a trained model; None for zero-shot CLIP.
        count: photos to choose.
        is_random: draw them at random: the baseline.
        seed: of every draw.
        looked_at: photos to score at most; of more, these are drawn at random.
        labels: the label file, where a folder has several, or it lies elsewhere.
        data_root, overrides: of a config in `images`.
        config, classes: for `checkpoint` None: what `predict` takes. Without both they are those of `images`.
        tower: as in `predict`.
        neighbours: for `checkpoint` None: each photo leans on those that look like it. A folder of predictions
            that were made so has read them already.
        replaces: replace the files of an earlier call in `out`.
        batch_size, workers, device: as in `predict`.

    Raises:
        ConfigError: an option is wrong, or `out` holds something.
        DataError: no photo is unlabelled, or none can be read.
        CheckpointError: the checkpoint is none.

    Examples:
        >>> from cssa_mm.apis.suggesting import suggest
        >>> suggest(images='photos', checkpoint='model.pth', out='next').names[0]  # doctest: +SKIP
        'IMG_0412.jpg'
    """
    for name, value, least in (('count', count, 1), ('seed', seed, 0), ('looked_at', looked_at, 1)):
        require_whole_number(name, value, least)
    require_whole_number('batch_size', batch_size, 1)
    own_tower = tower if checkpoint is None else None
    pool = pool_of(images, labels=labels, data_root=data_root, tower=own_tower, overrides=overrides)
    with new_folder(out, replaces, parts=WRITTEN) as partial:
        positions = _looked_at(len(pool.images), 2 * count if is_random else max(count, looked_at), seed)
        if workers is None:
            workers = default_workers(checked_device(device).type == 'cpu') if len(positions) > FEW else 0
        nearby = None
        if neighbours:
            path = None if neighbours is True else readings_in(neighbours)
            nearby = NearbyImages(pool.images, path, batch_size=batch_size, workers=workers)
        if checkpoint is None and config is None and classes is None:
            config, classes = pool.config, None if pool.config else pool.images.class_file
            tower = None if config else tower  # the pool's config has it
        opened = open_for_prediction(checkpoint, config, tower=tower, classes=classes, neighbours=nearby, device=device)
        read = read_photos(opened.scorer, pool.images, positions, nearby=nearby, batch_size=batch_size, workers=workers)
        if not len(read.positions):
            raise DataError(f'images: found none of {len(positions):,} photos that can be read ({read.bad[0]})')
        chosen = _chosen(read, opened, pool, count, is_random, seed)
        notes = [*pool.notes, *_notes(pool, positions, read, len(chosen), count, is_random)]
        shown = write_outputs(partial, chosen, opened.facts, opened.scorer.view, _words(opened), notes)
        if shown < len(chosen):
            notes.append(f'{PAGE} shows {shown:,} of them: more would make it too large')
    names, why = [each.row.name for each in chosen], [each.why for each in chosen]
    return Suggestions(Path(out), names, why, len(pool.images), pool.labelled, pool.labels, notes)


def _looked_at(number: int, most: int, seed: int) -> np.ndarray:
    """Positions of the photos to score; of more than `most`, a draw."""
    return np.arange(number) if number <= most else np.sort(choose_randomly(number, most, seed))


def _chosen(read: ReadPhotos, opened: Opened, pool: Pool, count: int, is_random: bool, seed: int) -> list[Suggested]:
    scorer, thresholds = opened.scorer, np.asarray(opened.scorer.thresholds.values)
    reached = LabelChoice.of(scorer).reached(read.scores)
    doubt = signed_doubt(read.scores, thresholds)
    if is_random:
        rows = choose_randomly(len(read.positions), count, seed)
    else:
        rows = choose(doubt, read.features, count, seed)
    say = reason(scorer.class_names, thresholds)
    result = []
    for row in rows.tolist():
        position = int(read.positions[row])
        labels = tuple(scorer.class_names[c] for c in np.flatnonzero(reached[row]))
        name, path = pool.images.names[position], pool.images.path(position)
        predicted = PredictedImage(name, path, labels, read.scores[row], read.raw_scores[row])
        result.append(Suggested(predicted, 'drawn at random' if is_random else say(doubt[row], read.scores[row])))
    return result


def _notes(pool: Pool, positions: np.ndarray, read: ReadPhotos, found: int, count: int, is_random: bool) -> list[str]:
    notes = []
    if len(positions) < len(pool.images) and not is_random:
        notes.append(
            f'{len(positions):,} of {len(pool.images):,} unlabelled photos were drawn at random and looked at; '
            '--look-at N looks at more.'
        )
    if read.bad:
        notes.append(f'{len(read.bad):,} photos cannot be read and are left out, such as {read.bad[0]}.')
    if found < count:
        notes.append(f'{found:,} photos are suggested instead of {count:,}: there are no more without a label.')
    return notes


def _words(opened: Opened) -> str:
    """What made the predictions, for the page: no path."""
    if len(opened.scorer.zero_shot_names) == len(opened.scorer.class_names):
        return 'zero-shot CLIP'
    return opened.facts['checkpoint']['name']
