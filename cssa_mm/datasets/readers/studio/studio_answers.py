"""The answers of annotators, of Label Studio and others, as a label table: one of several questions, agreement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cssa_mm.datasets.readers.label_table import LabelTable, TableRow, table_of_rows
from cssa_mm.datasets.readers.source import ReadOptions
from cssa_mm.datasets.readers.understanding import Question, Understanding
from cssa_mm.errors import DataError, nearest
from cssa_mm.names import plain_name

Label = tuple[str, ...]  # a path of a taxonomy, or a single name


class Annotation(NamedTuple):
    """What one annotator finished: the labels by question; a question without an answer is missing.

    ``says_more`` tells whether there is an answer that is no label, such as a text; ``asked`` has the questions that
    are asked of the image as a whole, so that each image should have an answer.
    """

    answers: Mapping[str, Sequence[Label]]
    says_more: bool = False
    asked: frozenset[str] = frozenset()
    is_ground_truth: bool = False
    annotator: str = ''
    updated: str = ''


@dataclass
class Task:
    """An image with its finished annotations."""

    path: str
    where: str
    annotations: list[Annotation] = field(default_factory=list)
    skipped: int = 0


def table_of_tasks(
    tasks: Iterable[Task], understanding: Understanding, options: ReadOptions, tool: str = 'Label Studio'
) -> LabelTable:
    """The labels of one question, or of several that ``label_column`` names with commas between them.

    Annotations of one image are one annotator's each: of those that are marked as ground truth, else of all, the newest
    of each annotator counts. A label on which they agree is taken, one on which they don't is unknown.

    Raises:
        DataError: The answers are those of several questions and none is chosen, or no task has a label.
    """
    tasks = _by_image(tasks)
    taken = _questions(tasks, understanding, options, tool)
    answers = [
        [_labels_of(annotation, taken, options) for annotation in _that_count(task.annotations)] for task in tasks
    ]
    naming = _Naming(label for task in answers for each in task for label in each or ())
    rows, conflicts = [], Counter[str]()
    for task, given in zip(tasks, answers, strict=True):
        known = [naming.labels(each) for each in given if each is not None]
        labels = _agreed(known)
        if len(known) > 1:
            conflicts.update(
                name for name, value in labels.items() if value < 0 and any(each.get(name) for each in known)
            )
        rows.append(TableRow(task.path, labels, 0 if known else -1, task.where))
    _tell(understanding, tasks, answers, taken, conflicts, options)
    if naming.has_paths:
        understanding.facts['taxonomy'] = naming.fact
    table = table_of_rows(rows, understanding)
    table.is_split = False
    return table


def _by_image(tasks: Iterable[Task]) -> list[Task]:
    """Tasks of one image together: they hold one annotator's answers each, as one task can do, too."""
    result: dict[str, Task] = {}
    for task in tasks:
        first = result.setdefault(task.path, task)
        if first is not task:
            first.annotations += task.annotations
            first.skipped += task.skipped
    return list(result.values())


def _questions(tasks: Sequence[Task], understanding: Understanding, options: ReadOptions, tool: str) -> list[str]:
    found: dict[str, set[Label]] = {}
    largest: Counter[str] = Counter()
    for task in tasks:
        for annotation in task.annotations:
            for question, labels in annotation.answers.items():
                found.setdefault(question, set()).update(labels)
                largest[question] = max(largest[question], len(labels))
    if not found:
        raise DataError(
            f'{understanding.source}: found {len(tasks)} tasks and no label in any finished annotation, expected at '
            f'least one; label images in {tool} (predictions and drafts are no labels) and export again.'
        )
    wanted = options.label_column
    if wanted is None:
        taken = list(found)
        if len(found) > 1:
            example = max(found, key=lambda name: largest[name])
            shown = ', '.join(f'{name} ({len(labels)} labels)' for name, labels in found.items())
            raise DataError(
                f'{understanding.source}: found labels of {len(found)} questions: {shown}, expected to be told which; '
                f'set label_column={example}, or several of them with commas between them.'
            )
    else:
        taken = [wanted] if wanted in found else [name.strip() for name in wanted.split(',')]
        for name in taken:
            if name not in found:
                raise DataError(
                    f"{understanding.source}: found no label of a question '{name}', expected one of "
                    f'{", ".join(found)}.{nearest(name, found)} Correct label_column.'
                )
    understanding.taken = taken
    understanding.left |= {name: 'another question' for name in found if name not in taken}
    return taken


def _that_count(annotations: Sequence[Annotation]) -> list[Annotation]:
    annotations = [each for each in annotations if each.is_ground_truth] or list(annotations)
    newest: dict[str, Annotation] = {}
    for index, each in enumerate(annotations):
        key = each.annotator or f'unknown {index}'
        if key not in newest or each.updated >= newest[key].updated:
            newest[key] = each
    return list(newest.values())


def _labels_of(annotation: Annotation, taken: Sequence[str], options: ReadOptions) -> list[Label] | None:
    """The labels that an annotator chose; None where nothing is known."""
    none_words = {word.casefold() for word in options.none_word}
    unknown_words = {word.casefold() for word in options.unknown_word}
    labels = [label for question in taken for label in annotation.answers.get(question, ())]
    if any(label[-1].casefold() in unknown_words for label in labels):
        return None
    if _is_unanswered(annotation, taken) and options.blank == 'unknown':
        return None
    return [label for label in labels if label[-1].casefold() not in none_words]


def _is_unanswered(annotation: Annotation, taken: Sequence[str]) -> bool:
    return bool(annotation.answers or annotation.says_more) and not any(name in annotation.answers for name in taken)


def _agreed(known: Sequence[Mapping[str, int]]) -> dict[str, int]:
    names = dict.fromkeys(name for labels in known for name in labels)
    said = {name: {labels.get(name, 0) for labels in known} for name in names}
    return {name: values.pop() if len(values) == 1 else -1 for name, values in said.items()}


class _Naming:
    """Names of the labels: the last part of a taxonomy's path, the whole path where several end in the same."""

    fact = (
        "the last part of a path is the label (the whole path, with ' / ', where several end alike); a node that is "
        'chosen itself somewhere is shown by the images of its parts, too, which are unknown where it is chosen alone'
    )

    def __init__(self, labels: Iterable[Label]) -> None:
        paths = dict.fromkeys(labels)
        self.has_paths = any(len(path) > 1 for path in paths)
        ends = Counter(plain_name(path[-1]) for path in {tuple(map(plain_name, path)): path for path in paths}.values())
        self._names = {path: path[-1] if ends[plain_name(path[-1])] == 1 else ' / '.join(path) for path in paths}
        self._above = {
            path: [path[:end] for end in range(1, len(path)) if path[:end] in paths] for path in paths if len(path) > 1
        }
        self._below: dict[Label, list[Label]] = {}
        for path, nodes in self._above.items():
            for node in nodes:
                self._below.setdefault(node, []).append(path)

    def labels(self, chosen: Sequence[Label]) -> dict[str, int]:
        """1 for the labels of an annotation, -1 for those that it leaves open."""
        shown = dict.fromkeys(node for path in chosen for node in (path, *self._above.get(path, ())))
        result = {
            self._names[part]: -1
            for node in chosen
            if not any(part in shown for part in self._below.get(node, ()))
            for part in self._below.get(node, ())
        }
        return result | {self._names[path]: 1 for path in shown}


def _tell(
    understanding: Understanding,
    tasks: Sequence[Task],
    answers: Sequence[Sequence[list[Label] | None]],
    taken: Sequence[str],
    conflicts: Counter[str],
    options: ReadOptions,
) -> None:
    facts = understanding.facts
    skipped = sum(bool(task.skipped) and not task.annotations for task in tasks)
    finished = sum(bool(task.annotations) for task in tasks)
    facts['tasks'] = (
        f'{len(tasks)} images: {finished} with a finished annotation, {skipped} skipped and '
        f'{len(tasks) - finished - skipped} without one, which are unlabelled'
    )
    left = sum(len(task.annotations) - len(_that_count(task.annotations)) for task in tasks)
    if left:
        facts['left out'] = f'{left} annotations: older ones of the same person, or beside one marked as ground truth'
    several = sum(len(given) > 1 for given in answers)
    if several:
        where = f': {", ".join(f"{name} ({count})" for name, count in conflicts.most_common(5))}' if conflicts else ''
        facts['several annotators'] = (
            f'{several} images; {sum(conflicts.values())} labels on which they do not agree are unknown{where}'
        )
    all_counted = [annotation for task in tasks for annotation in _that_count(task.annotations)]
    unanswered = sum(_is_unanswered(annotation, taken) for annotation in all_counted)
    if not unanswered:
        return
    meaning = 'unlabelled' if options.blank == 'unknown' else 'none of the classes'
    facts['without an answer'] = f'{unanswered} annotations that answer other questions alone: {meaning}'
    counts = [len(labels) for given in answers for labels in given if labels is not None]
    asked = {question for annotation in all_counted for question in annotation.asked}
    if options.blank is None and max(counts, default=0) <= 1 and asked.issuperset(taken):
        understanding.questions.append(
            Question(
                'unanswered',
                f'{understanding.source}: {unanswered} annotations leave out the question {", ".join(taken)}, which '
                'has one answer everywhere else, and are taken as none of the classes',
                'set blank=unknown to take them as unlabelled, or blank=no',
            )
        )
