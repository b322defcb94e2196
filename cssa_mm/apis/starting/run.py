"""`start`: from a folder of photos to labels, as far as its labels allow; the same call goes on where it was."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from mmengine.config import Config

from cssa_mm.apis.config import load_config
from cssa_mm.apis.labelling.outputs import PAGE
from cssa_mm.apis.merging import merge
from cssa_mm.apis.predicting.scorers import open_for_prediction
from cssa_mm.apis.predicting.sources import find_images
from cssa_mm.apis.reporting.report import FILE as REPORT
from cssa_mm.apis.scorer import TorchScorer
from cssa_mm.apis.starting.pace import (
    gib_of_features,
    in_words,
    seconds_of_reading,
    seconds_of_training,
    seconds_per_photo,
)
from cssa_mm.apis.starting.project import CONFIG, Project, open_project
from cssa_mm.apis.starting.rounds import Rounds
from cssa_mm.apis.starting.steps import Options, Step, steps_of
from cssa_mm.engine.runner import checked_device
from cssa_mm.errors import DataError

LABELS = 'labels.csv'
MOST_GIB = 4.0  # of features that are kept for later rounds


@dataclass(frozen=True)
class Started:
    """What a start has done.

    Attributes:
        project: the folder of photos as it was understood.
        folder: of the results of this round: `training`, `predictions` and `suggestions`.
        checkpoint: the trained model; None without labels.
        page: the labelling page; None if every photo is labelled.
    """

    project: Project
    folder: Path
    checkpoint: Path | None
    page: Path | None


def start(
    *,
    photos: str | os.PathLike,
    classes: str | Sequence[str] | None = None,
    labels: str | os.PathLike | None = None,
    out: str | os.PathLike | None = None,
    tower: str | None = None,
    overrides: Mapping[str, object] | None = None,
    device: str | None = None,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> Started:
    """Go from a folder of photos to labels, as far as its labels allow.

    Without labels, CLIP labels the photos, and a page asks for the labels of those that tell most. With labels, the
    photos are checked, a model is trained, it labels all photos, and the page asks for the next ones. The same call
    goes on where an earlier one was killed, and with more labels it begins a round of its own. Each round trains anew:
    thresholds are found on labels that are held out, and prompts of an earlier round have seen them.

    Args:
        photos: folder of the photos, with labels of any form or without.
        classes: names of the classes, or a text with commas between them, where nothing is labelled yet.
        labels: answers of the labelling page, or other labels, which are merged into the labels of the folder first; a
            file in the folder is its label file, where there are several.
        out: folder of the results; `work_dirs/NAME_OF_FOLDER` by default.
        tower: the tower in place of the config's: `NAME:TAG`, `NAME:PATH` (see `load_config`); a later call keeps it.
        overrides: dotted key -> value for the training, as `--cfg-options` takes them.
        device: 'cpu', 'cuda' or 'mps'; by default the best one that this machine has.
        seed: of the choice of photos.
        say: takes what people should read.

    Raises:
        ConfigError: an option is wrong, class names are missing, or `out` is of something else.
        DataError: there is no photo, or labels cannot be read or merged.
        OpenQuestionsError: what was read looks wrong, and `overrides` don't accept it.

    Examples:
        >>> from cssa_mm.apis.starting.run import start
        >>> started = start(photos='photos', classes='dog, cat')  # doctest: +SKIP
        >>> started.page  # doctest: +SKIP
        PosixPath('work_dirs/photos/no_labels/suggestions/label.html')
    """
    folder = Path(photos).expanduser()
    own, answers = _own_or_answers(folder, labels)
    project = open_project(folder, classes=classes, labels=own)
    rounds = Rounds.of(Path(out or Path('work_dirs', folder.resolve().name)).expanduser(), folder, tower)
    if answers is not None:
        merged = merge(answers=answers, into=folder / (project.labels or LABELS))
        if merged.is_refused:
            raise DataError(merged.text())
        say(merged.summary())
        project = open_project(folder)
    options = Options(rounds.tower, device, own, dict(overrides or {}), seed)
    say(project.text())
    rounds.out.mkdir(parents=True, exist_ok=True)
    rounds.write()
    settings = load_config(CONFIG, overrides=options.overrides, tower=options.tower)
    opened = open_for_prediction(None, settings, classes=project.class_names, device=options.device)
    scorer = cast(TorchScorer, opened.scorer)  # of a config, so of no ONNX file
    if gib_of_features(scorer, project.images) <= MOST_GIB:
        options = replace(options, features=rounds.features)
    steps = steps_of(project, rounds, options)
    # By the training of an earlier round, if nobody has removed them since.
    is_encoded = options.features is not None and options.features.is_dir() and bool(rounds.checkpoints)
    say(_plan(project, steps, settings, scorer, options.device, is_encoded))
    for number, step in enumerate(steps, start=1):
        say(f'\n{number} of {len(steps)}: {step.title}\n  {step.command()}')
        say(step.run())
    result = _result(project, rounds)
    say('\n' + _what_next(result, folder, rounds))
    return result


def _own_or_answers(folder: Path, labels: str | os.PathLike | None) -> tuple[str | None, Path | None]:
    """The label file in the folder, or the file elsewhere whose answers are merged."""
    if labels is None:
        return None, None
    path, root = Path(labels).expanduser(), folder.resolve()
    own = (folder / path).resolve() if (folder / path).exists() else path.resolve()
    return (os.path.relpath(own, root), None) if own.is_relative_to(root) else (None, path)


def _plan(
    project: Project, steps: Sequence[Step], settings: Config, scorer: TorchScorer, device: str | None, is_encoded: bool
) -> str:
    """How long the steps will take on this machine."""
    where = checked_device(device)
    pace = seconds_per_photo(scorer, find_images(project.folder))
    seconds = 0.0
    for step in steps:
        if step.trains:
            classes = len(project.class_names)
            seconds += seconds_of_training(settings, project.images, project.labelled, classes, pace, is_encoded)
        else:
            seconds += seconds_of_reading(step.photos, pace, where.type == 'cpu')
    return f'{len(steps)} steps, {in_words(seconds)} on {where.type} ({1 / pace:.0f} photos/s)'


def _result(project: Project, rounds: Rounds) -> Started:
    folder = rounds.folder(project)
    page = folder / 'suggestions' / PAGE
    return Started(project, folder, rounds.checkpoint(project), page if page.is_file() else None)


def _what_next(result: Started, photos: Path, rounds: Rounds) -> str:
    lines = [f'labels of all photos: {result.folder / "predictions" / "predictions.csv"}']
    report = result.folder / 'training' / REPORT
    if report.is_file():
        lines.append(f'what the model can do: {report}')
    if result.page:
        default = Path('work_dirs', photos.resolve().name)
        out = '' if rounds.out == default else f' --out {rounds.out}'
        lines.append(f'to go on, open {result.page}, label, save, and run: cssa start {photos}{out} --labels FILE')
    return '\n'.join(lines)
