"""The steps from a folder of photos to labels: each has the command that does it alone, and an estimate of its time."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mmengine.config import Config

from cssa_mm.apis.checking import check
from cssa_mm.apis.config import load_config
from cssa_mm.apis.labelling.outputs import PAGE
from cssa_mm.apis.predicting.run import predict
from cssa_mm.apis.starting.project import CONFIG, Project
from cssa_mm.apis.starting.rounds import Rounds
from cssa_mm.apis.suggesting import LOOKED_AT, suggest
from cssa_mm.apis.training import train
from cssa_mm.engine.latest import latest_checkpoint
from cssa_mm.errors import DataError, OpenQuestionsError
from cssa_mm.features.options import WHERE

FIRST, NEXT = 30, 20  # photos to label: at the beginning, and in each later round


@dataclass(frozen=True)
class Step:
    """A step.

    Attributes:
        title: what it does.
        command: gives the command that does it alone.
        run: does it, and returns lines that tell what came out.
        photos: photos that it reads and encodes, two views of a photo as two.
        trains: whether it trains.
    """

    title: str
    command: Callable[[], str]
    run: Callable[[], str]
    photos: int = 0
    trains: bool = False


@dataclass(frozen=True)
class Options:
    """What all steps are given: those of `start`, and the folder that keeps the features of the photos, if one does."""

    tower: str | None
    device: str | None
    labels: str | None
    overrides: Mapping[str, object]
    seed: int
    features: Path | None = None

    def of_training(self) -> Options:
        """Those of a training, with the folder as one of its overrides."""
        kept = {} if self.features is None else {f'{WHERE}.folder': str(self.features)}
        return replace(self, overrides=kept | dict(self.overrides))

    def words(
        self, *, tower: bool = False, labels: bool = False, overrides: bool = False, device: bool = True
    ) -> list[str]:
        """The options as a command has them."""
        result = ['--tower', self.tower] if tower and self.tower else []
        result += ['--labels', self.labels] if labels and self.labels else []
        result += ['--device', self.device] if device and self.device else []
        if overrides and self.overrides:
            result += ['--cfg-options', *(f'{key}={value}' for key, value in self.overrides.items())]
        return result


def steps_of(project: Project, rounds: Rounds, options: Options) -> list[Step]:
    """The steps that are left for a project, in their order."""
    folder = rounds.folder(project)
    if not project.can_train:
        return _without_labels(project, folder, options)
    checkpoint = rounds.checkpoint(project)
    steps = [] if checkpoint else [_check(project, options), _train(project, rounds, folder / 'training', options)]
    return [*steps, *_with_model(project, rounds, folder, options)]


def _without_labels(project: Project, folder: Path, options: Options) -> list[Step]:
    photos, names = os.fspath(project.folder), ','.join(project.class_names)
    zero_shot = ['--checkpoint', 'none', '--classes', names, *options.words(tower=True)]
    configured = ['--config', CONFIG, *options.words(overrides=True)] if options.overrides else []

    def settings() -> Config:
        return load_config(CONFIG, overrides=options.overrides, tower=options.tower)

    def label() -> str:
        return predict(
            images=photos, checkpoint=None, config=settings(), classes=names, neighbours=True,
            out=folder / 'predictions', device=options.device,
        ).text()  # fmt: skip

    def page() -> str:
        found = suggest(
            images=photos, checkpoint=None, config=settings(), classes=names, neighbours=folder / 'predictions',
            count=FIRST, seed=options.seed, out=folder / 'suggestions', device=options.device, replaces=True,
        )  # fmt: skip
        return found.summary()

    predictions, suggestions = str(folder / 'predictions'), str(folder / 'suggestions')
    return [
        Step(
            'Label all photos with what CLIP knows; photos that look alike help each other',
            _command('predict', photos, *zero_shot, '--neighbours', '--out', predictions, *configured),
            label,
            photos=project.images,
        ),
        Step(
            f'Choose the {FIRST} photos to label first, and write a page to label them with',
            _command(
                'suggest', photos, *zero_shot, '--neighbours', predictions, '--count', str(FIRST), '--out', suggestions
            ),
            page,
            photos=LOOKED_AT if project.images > LOOKED_AT else 0,  # fewer have been read by the predictions
        ),
    ]


def _check(project: Project, options: Options) -> Step:
    def look() -> str:
        report = check(config=CONFIG, data_root=project.folder, overrides=_overrides(options), tower=options.tower)
        if not report.trains:
            wrong = report.text()
            kind = OpenQuestionsError if report.open_questions else DataError
            raise kind(f'{wrong}\nstart: what is said above must be answered or mended before training')
        return '\n'.join(finding.line() for finding in report.findings) or 'nothing looks wrong'

    words = options.words(tower=True, labels=True, overrides=True, device=False)
    return Step('Check photos and labels', _command('check', str(project.folder), *words), look)


def _train(project: Project, rounds: Rounds, work_dir: Path, options: Options) -> Step:
    goes_on, options = latest_checkpoint(work_dir) is not None, options.of_training()

    def learn() -> str:
        quiet = dict(log_level='WARNING', custom_hooks=[dict(type='ProgressHook')])
        result = train(
            config=CONFIG, data_root=project.folder, overrides=quiet | _overrides(options), tower=options.tower,
            work_dir=work_dir, resume=goes_on, device=options.device,
        )  # fmt: skip
        if result.checkpoint is None:
            raise DataError(
                f'start: the training in {work_dir} has written no checkpoint; remove the folder, and start again'
            )
        rounds.finish(project, result.checkpoint)
        figures = [
            f'{name} {result.metrics[f"ema/{name}"]:.1f}'
            for name in ('mAP', 'CF1', 'OF1')
            if f'ema/{name}' in result.metrics
        ]
        tested = f'on {project.tested:,} test photos: {", ".join(figures)}\n' if figures else ''
        report = '' if result.report is None else f'\nreport {result.report}'
        return f'{tested}checkpoint {result.checkpoint}{report}'

    words = ['--resume'] * goes_on + options.words(tower=True, labels=True, overrides=True)
    return Step(
        f'Train with {project.labelled:,} labelled and {project.images - project.labelled:,} unlabelled photos',
        _command('train', str(project.folder), '--work-dir', str(work_dir), *words),
        learn,
        photos=2 * project.images,
        trains=True,
    )


def _with_model(project: Project, rounds: Rounds, folder: Path, options: Options) -> list[Step]:
    photos, unlabelled = os.fspath(project.folder), project.images - project.labelled
    count = min(NEXT, unlabelled)

    def model() -> Path:
        # It is there as soon as the training has ended.
        return rounds.checkpoint(project) or folder / 'training'

    def command(name: str, part: str, *words: str) -> Callable[[], str]:
        return lambda: _command(name, photos, '--checkpoint', str(model()), '--out', str(folder / part), *words)()

    def label() -> str:
        return predict(images=photos, checkpoint=model(), out=folder / 'predictions', device=options.device).text()

    def page() -> str:
        found = suggest(
            images=photos, checkpoint=model(), labels=options.labels, count=count, seed=options.seed,
            out=folder / 'suggestions', device=options.device, replaces=True,
        )  # fmt: skip
        return found.summary()

    steps = [
        Step(
            'Label all photos with the trained model',
            command('predict', 'predictions', *options.words()),
            label,
            photos=project.images,
        )
    ]
    if unlabelled and not (folder / 'suggestions' / PAGE).is_file():
        words = ['--count', str(count), *options.words(labels=True)]
        steps.append(
            Step(
                f'Choose the {count} photos to label next, and write a page to label them with',
                command('suggest', 'suggestions', *words),
                page,
                photos=min(unlabelled, LOOKED_AT),
            )
        )
    return steps


def _overrides(options: Options) -> dict[str, object]:
    return ({'train_dataloader.dataset.ann_file': options.labels} if options.labels else {}) | dict(options.overrides)


def _command(name: str, *words: str) -> Callable[[], str]:
    return lambda: shlex.join(['cssa', name, *words])
