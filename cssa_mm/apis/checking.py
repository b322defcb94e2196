"""Check the data of a config before training on them."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context

from mmengine.config import Config
from mmengine.logging import MMLogger
from tqdm import tqdm

from cssa_mm.apis.check_report import Style, section, understood, verdict
from cssa_mm.apis.config import load_config
from cssa_mm.apis.findings import FIX, NOTE, WARN, Finding, of_labels, of_test_labels
from cssa_mm.apis.image_findings import near_duplicates, of_images, overlap, questions_of_images
from cssa_mm.apis.model_findings import classes_of, of_model
from cssa_mm.apis.parts import Part, read_part, sections
from cssa_mm.datasets import LoadRGBImage, SemiMultiLabelDataset
from cssa_mm.datasets.class_words import ClassWords
from cssa_mm.datasets.images.image_facts import ImageFacts, image_facts
from cssa_mm.datasets.questions import accepted_kinds, is_open, questions_of, shared_groups
from cssa_mm.datasets.readers.understanding import Question
from cssa_mm.datasets.workers import end_with_parent, num_cores, start_method
from cssa_mm.engine.bad_image_hook import BadImageHook
from cssa_mm.errors import CSSAError, DataError

# Images that a process opens at a time, and those that all of them are given at once.
CHUNK, ROUND = 32, 16_384


@dataclass(frozen=True)
class CheckReport:
    """What a check found.

    Attributes:
        parts: the training, validation and test images that could be read, and how they were understood.
        findings: the kinds of problems, those that must be fixed first.
        asked: what looks wrong, with the part that it is asked about.
        accepted: the kinds of questions that the config accepts.
    """

    parts: list[Part]
    findings: list[Finding]
    asked: list[tuple[str, Question]]
    accepted: Collection[str] = ()

    @property
    def open_questions(self) -> list[Question]:
        """The questions that the config does not answer."""
        return [question for _, question in self.asked if is_open(question, self.accepted)]

    @property
    def trains(self) -> bool:
        """Whether training would run well: nothing must be fixed, and no question is open."""
        return not self.open_questions and all(finding.severity != FIX for finding in self.findings)

    def text(self, style: Style | None = None) -> str:
        """What was understood of each part, a line for each kind of problem and for each question, and a verdict."""
        style = style or Style()
        lines = [line for part in self.parts for line in section(part, style)]
        lines += [style.line(finding.line()) for finding in self.findings]
        for part, question in self.asked:
            word = 'question' if is_open(question, self.accepted) else 'accepted'
            lines.append(style.line(f'{word}: {part}: {question.line()} [{question.kind}]'))
        still_open = self.open_questions
        return '\n'.join([*lines, *verdict(self.findings, still_open, len(self.asked) - len(still_open), style)])

    def as_dict(self) -> dict[str, object]:
        """Everything that was understood, found and asked, with all names, as JSON can hold it."""
        return dict(
            trains=self.trains,
            parts={part.name: part.counts() | dict(understood=understood(part)) for part in self.parts},
            findings=[asdict(finding) | dict(count=len(finding.names)) for finding in self.findings],
            questions=[
                dict(part=part, **asdict(question), accepted=not is_open(question, self.accepted))
                for part, question in self.asked
            ],
        )


def check(
    *,
    config: str | os.PathLike | Config,
    data_root: str | os.PathLike | None = None,
    overrides: Mapping[str, object] | None = None,
    tower: str | os.PathLike | None = None,
    num_workers: int | None = None,
) -> CheckReport:
    """Read the data of a config as training does, open every image and compare the parts.

    Args:
        config: a config file, or a shipped config by its name.
        data_root: directory of the data.
        overrides: dotted key -> value, as `--cfg-options` takes them; `accept` answers questions.
        tower: the tower in place of the config's: `NAME:TAG`, `NAME:PATH` (see `load_config`).
        num_workers: processes that open images; one for each core by default.

    Raises:
        ConfigError: a key or component of the config is unknown.
        DataError: a process that opens images was killed. What is wrong with the data is a finding, not an error.

    Examples:
        >>> from cssa_mm.apis.checking import check
        >>> check(config='cssa_table', data_root='photos').trains  # doctest: +SKIP
        True
    """
    with gathered_log() as messages:
        settings = load_config(config, overrides=overrides, data_root=data_root, tower=tower)
        report = check_config(settings, num_workers)
    report.findings.extend(Finding(severity, 'config', 'message', [text], '') for severity, text in messages)
    report.findings.sort(key=lambda finding: (FIX, WARN, NOTE).index(finding.severity))
    return report


def check_config(settings: Config, num_workers: int | None = None) -> CheckReport:
    """`check` of a config that has been read."""
    accepted = accepted_kinds(settings.get('accept'))
    findings: list[Finding] = []
    parts = []
    for name, options in sections(settings).items():
        try:
            part = read_part(name, options)
        except CSSAError as error:
            findings.append(Finding(FIX, name, 'error that stops the reading', [str(error)], ''))
            continue
        part.facts += open_all(part.dataset, part.data.img_paths, num_workers, f'Images of {name}')
        parts.append(part)
    hook = settings.get('default_hooks', {}).get('bad_images')
    share = 0.0 if hook is None else hook.get('max_share', BadImageHook().max_share)
    for part in parts:
        findings += of_images(part, share)
        findings += of_test_labels(part) if part.is_test else of_labels(part, settings)
    words = classes_of(settings)
    findings += of_model(parts, settings, words)
    train = next((part for part in parts if part.name == 'train'), None)
    asked = [(part.name, question) for part in parts for question in _questions(part, words)]
    for other in parts:
        if train is not None and other is not train:
            findings += overlap(train, other)
            questions, alike = near_duplicates(train, other)
            findings += alike
            asked += [(other.name, question) for question in questions]
            asked += [(other.name, question) for question in shared_groups(train.dataset.groups, other.dataset.groups)]
    return CheckReport(parts, findings, asked, accepted)


@contextmanager
def gathered_log() -> Iterator[list[tuple[str, str]]]:
    """Gather the lines that are logged meanwhile, each once with its severity, in place of showing them."""
    messages: list[tuple[str, str]] = []

    class Gatherer(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            line = (WARN if record.levelno >= logging.WARNING else NOTE, ' '.join(record.getMessage().split()))
            if line not in messages:
                messages.append(line)

    logger = MMLogger.get_current_instance()
    shown, logger.handlers = logger.handlers, [Gatherer(logging.INFO)]
    try:
        yield messages
    finally:
        logger.handlers = shown


def _questions(part: Part, words: ClassWords | CSSAError | None) -> list[Question]:
    dataset, known = part.dataset, words if isinstance(words, ClassWords) else None
    found = questions_of(dataset.class_names, part.data.labels, dataset.understanding, part.is_test, known)
    return [*found, *questions_of_images(part)]


def open_all(
    dataset: SemiMultiLabelDataset, paths: Sequence[str], num_workers: int | None, description: str
) -> list[ImageFacts]:
    """The facts of the images at ``paths``, opened as ``dataset`` opens them, by several processes."""
    loaders = [step for step in dataset.pipeline.transforms if isinstance(step, LoadRGBImage)]
    look = partial(image_facts, loaders[0] if loaders else LoadRGBImage(dataset.backend_args))
    num_workers = num_workers or num_cores()
    bar = partial(tqdm, desc=description, total=len(paths), unit='image', mininterval=0.5)
    if num_workers < 2:
        return list(bar(map(look, paths)))
    try:
        context = get_context(start_method())
        with ProcessPoolExecutor(num_workers, context, _start) as pool:
            try:
                # A million tasks at once would fill the memory before the first is done.
                parts = (paths[start : start + ROUND] for start in range(0, len(paths), ROUND))
                return list(bar(facts for part in parts for facts in pool.map(look, part, chunksize=CHUNK)))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    except BrokenProcessPool as error:
        raise DataError(
            f'{description}: found one of {num_workers} processes killed, probably for lack of memory; use fewer of '
            'them: --num-workers 1'
        ) from error


def _start() -> None:
    # Ctrl-C is for the parent: a worker that it ends in the middle would leave the others waiting.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
