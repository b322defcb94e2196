"""The rows of several data sets as those of one: classes, photos that several list, and what is said of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cssa_mm.datasets.base import SemiMultiLabelDataset
from cssa_mm.datasets.class_words import ClassWords
from cssa_mm.datasets.image_table import UNKNOWN
from cssa_mm.datasets.questions import ONE_CLASS_EACH, named, questions_of_labels
from cssa_mm.datasets.readers.understanding import Question, Understanding
from cssa_mm.errors import ConfigError, DataError
from cssa_mm.names import plain_name

OF_ALL = 'class_in_every_image'  # another part may show images without the class


class PartRows(NamedTuple):
    """The n images of a part: labels int8 (n, C) over all classes, is_labelled bool (n,), draws int64 (n,)."""

    number: int
    source: str
    own_ids: list[str]
    img_paths: list[str]
    labels: np.ndarray
    is_labelled: np.ndarray
    counts: np.ndarray


class JoinedRows(NamedTuple):
    """The n photos of all parts, each once; `same` leads from each further id of a photo to the one that is kept."""

    image_ids: list[str]
    img_paths: list[str]
    labels: np.ndarray
    is_labelled: np.ndarray
    counts: np.ndarray
    same: dict[str, str]
    completed: int


def joined_words(parts: Sequence[ClassWords]) -> ClassWords:
    """The classes of several parts in the order of their first appearance, with the prompts that one of them gives.

    Case, blanks, '_' and '-' in names don't matter; the first spelling counts.

    Raises:
        ConfigError: Two parts give a class other prompts.
    """
    spelt: dict[str, str] = {}
    words: dict[str, tuple[str, ...]] = {}
    for part in parts:
        for name, prompts in zip(part.names, part.prompts, strict=True):
            own = spelt.setdefault(plain_name(name), name)
            given = () if prompts == (name,) else prompts
            if words.get(own) and given and words[own] != given:
                raise ConfigError(
                    f"datasets: found the prompts {list(words[own])} and {list(given)} of '{own}' in two parts, "
                    'expected one wording; make their class files agree, or give class_names beside datasets'
                )
            words[own] = words.get(own) or given
    return ClassWords.of(words)


def join_rows_of_parts(parts: Sequence[PartRows], is_local: bool) -> JoinedRows:
    """The rows of the parts, one below the other; a photo that several list is one row.

    It stays where it has labels first, else where it stands first. Its labels are those of the parts where it is
    labelled, or of all if it is in none; what one of them does not know, another may.

    Raises:
        DataError: One says that a class is shown, and another that it is not.
    """
    image_ids = [f'{part.number}/{name}' for part in parts for name in part.own_ids]
    img_paths = [path for part in parts for path in part.img_paths]
    labels = np.concatenate([part.labels for part in parts])
    is_labelled = np.concatenate([part.is_labelled for part in parts])
    counts = np.concatenate([part.counts for part in parts])
    rows_of: dict[str, list[int]] = {}
    for row, path in enumerate(img_paths):
        rows_of.setdefault(os.path.abspath(path) if is_local else path, []).append(row)
    doubled = [rows for rows in rows_of.values() if len(rows) > 1]
    has_labels = (labels != UNKNOWN).any(axis=1)
    for rows in doubled:
        rows.sort(key=lambda row: (not has_labels[row], row))  # the first is kept: labels move no other image
    same = {image_ids[row]: image_ids[rows[0]] for rows in doubled for row in rows[1:]}
    completed = 0
    for rows in doubled:
        labelled = [row for row in rows if is_labelled[row]]
        used = labelled or rows
        _refuse_contradiction(labels[used], img_paths[rows[0]])
        completed += 0 < len(labelled) < len(rows)
        labels[rows[0]] = labels[used].max(axis=0)
        is_labelled[rows[0]] = bool(labelled)
        counts[rows[0]] = counts[used].max()
    kept = sorted(rows[0] for rows in rows_of.values())
    return JoinedRows(
        [image_ids[row] for row in kept],
        [img_paths[row] for row in kept],
        labels[kept],
        is_labelled[kept],
        counts[kept],
        same,
        completed,
    )


def joined_understanding(
    parts: Sequence[SemiMultiLabelDataset],
    rows: Sequence[PartRows],
    found: JoinedRows,
    class_names: Sequence[str],
    is_test: bool,
) -> Understanding:
    """How the parts were read: a line for each, and the questions of each."""
    formats = [_format_of(part) for part in parts]
    result = Understanding(
        ' + '.join(part.source for part in rows), formats[0] if len(set(formats)) == 1 else ' + '.join(formats)
    )
    asked: list[list[Question]] = []
    for part, own, form in zip(parts, rows, formats, strict=True):
        key = f'part {own.number}'
        unlabelled = len(own.is_labelled) - int(own.is_labelled.sum())
        result.facts[key] = (
            f'{own.source} ({form}): {len(part.class_names)} classes, {int(own.is_labelled.sum())} images labelled, '
            f'{unlabelled} unlabelled'
        )
        missing = [name for name in class_names if plain_name(name) not in set(map(plain_name, part.class_names))]
        if missing and own.is_labelled.any():
            result.facts[f'{key}: unknown'] = (
                f'{named(missing)}, which its files do not know: its images may show them or not; if they do '
                'not, list these classes, too, in its class_names or classes.txt'
            )
        asked.append(questions_of_labels(part.class_names, part.labels, is_test, form in ONE_CLASS_EACH))
        understanding = part.understanding
        if understanding is not None:
            result.facts |= {f'{key}: {name}': value for name, value in understanding.facts.items()}
            result.taken += [name for name in understanding.taken if name not in result.taken]
            result.left |= {f'{key}: {name}': reason for name, reason in understanding.left.items()}
            for reason, names in understanding.left_out.items():
                result.left_out[reason] = [*result.left_out.get(reason, []), *names]
            result.questions += [_of_part(question, own) for question in understanding.questions]
    kinds = [
        {question.kind for question in each} for each, own in zip(asked, rows, strict=True) if own.is_labelled.any()
    ]
    of_each = set.intersection(*kinds) if kinds else set()  # asked about all parts together
    for questions, own in zip(asked, rows, strict=True):
        result.questions += [_of_part(each, own) for each in questions if each.kind not in of_each | {OF_ALL}]
    if found.same:
        result.facts['photos in several parts'] = f'{len(set(found.same.values()))}, each counts once' + (
            f'; {found.completed} of them are labelled in one part and not in another: they are labelled'
            if found.completed
            else ''
        )
    return result


def _format_of(part: SemiMultiLabelDataset) -> str:
    return type(part).__name__ if part.understanding is None else part.understanding.format


def _of_part(question: Question, part: PartRows) -> Question:
    return Question(question.kind, f'{part.source}: {question.text}', question.fix)


def _refuse_contradiction(labels: np.ndarray, path: str) -> None:
    """Refuse labels int8 (n, C) of one photo of which two say the opposite."""
    opposite = (labels == 1).any(axis=0) & (labels == 0).any(axis=0)
    if opposite.any():
        raise DataError(
            f'{path}: found this photo in several parts, which disagree on {int(opposite.sum())} of the '
            f'{int((labels != UNKNOWN).any(axis=0).sum())} known classes, expected the same labels; label it in one, '
            'or correct them.'
        )
