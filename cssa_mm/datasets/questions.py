"""What looks wrong about the names and labels of a data set: questions in one line, each with the key that changes it.

Nothing is changed here and nothing is refused: a question stops a training until the key is set, or the question is
accepted. All functions are pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from cssa_mm.datasets.class_words import ClassWords
from cssa_mm.datasets.name_questions import questions_of_names
from cssa_mm.datasets.readers.understanding import Question, Understanding
from cssa_mm.errors import ConfigError

ENOUGH = 5  # labelled images, below which every image may well show the same class
FEW_CLASSES = 2  # of which an image may well show one and not the other, throughout
ONE_CLASS_EACH = ('folders',)  # formats that hold one class an image by their nature
ALL = 'all'


def questions_of(
    class_names: Sequence[str],
    labels: np.ndarray,
    understanding: Understanding | None = None,
    is_test: bool = False,
    words: ClassWords | None = None,
) -> list[Question]:
    """All questions about one data set, in the order in which they are printed.

    Args:
        class_names: The C class names. Those of a test set are those of the training, and are not asked about again.
        labels: The whole annotation, int8 (n, C), whatever a split hides.
        understanding: How the annotation was read.
        is_test: Whether it is a validation or test set.
        words: What CLIP reads for each class.
    """
    found = [] if understanding is None else list(understanding.questions)
    if not is_test:
        given = {} if words is None else dict(zip(words.names, words.prompts, strict=True))
        found += questions_of_names(class_names, {name for name, prompts in given.items() if prompts != (name,)})
    is_single = understanding is not None and understanding.format in ONE_CLASS_EACH
    return found + questions_of_labels(class_names, labels, is_test, is_single)


def questions_of_labels(
    class_names: Sequence[str], labels: np.ndarray, is_test: bool = False, is_single: bool = False
) -> list[Question]:
    """Questions about labels int8 (n, C): no negative or positive at all, a class in every image, one label an image.

    Args:
        class_names: The C class names.
        labels: The whole annotation; 1, 0 or -1 (unknown).
        is_test: Whether it is a validation or test set, whose figures need both positives and negatives.
        is_single: Whether the format holds one class an image by its nature.
    """
    labels = labels[(labels >= 0).any(axis=1)]
    count = len(labels)
    positives, negatives = (labels == 1).sum(axis=0), (labels == 0).sum(axis=0)
    if not count:
        return []
    if not negatives.any():
        return [_no_negatives(count, is_test)]
    if not positives.any():
        return [] if is_test else [_no_positives(count)]  # a test set without positives is an error
    found = []
    if count < ENOUGH:
        return []
    everywhere = [
        name
        for name, shown, absent in zip(class_names, positives, negatives, strict=True)
        if not absent and shown >= ENOUGH
    ]
    if everywhere and not is_test:
        found.append(
            Question(
                'class_in_every_image',
                f'{named(everywhere)} stands in every image of which it is known: nothing tells what it is not',
                'label some images without it, or leave it out of class_names (ignore_columns in a table)',
            )
        )
    is_asked = len(class_names) > FEW_CLASSES and not is_single
    if is_asked and (labels >= 0).all() and ((labels == 1).sum(axis=1) == 1).all():
        found.append(
            Question(
                'one_label_an_image',
                f'each of the {count} labelled images has exactly one of the {len(class_names)} classes, although an '
                'image may have several',
                'set label_separators (or the delimiter) if a cell holds several names; accept it if the classes '
                'exclude each other',
            )
        )
    return found


def shared_groups(train: Mapping[str, str] | None, test: Mapping[str, str] | None) -> list[Question]:
    """The question about groups (videos, patients) with images in both sets, given image id -> group of each."""
    shared = sorted(set((train or {}).values()) & set((test or {}).values()))
    if not shared:
        return []
    return [
        Question(
            'groups_in_both',
            f'the group{"s" * (len(shared) > 1)} {named(shared)} of group_column have images in the training set, too',
            'move each group to one side',
        )
    ]


def accepted_kinds(option: object) -> Collection[str]:
    """The kinds of questions that the config key ``accept`` accepts, 'all' among them.

    Raises:
        ConfigError: It is neither 'all' nor a list of kinds.
    """
    kinds = [option] if isinstance(option, str) else option
    if kinds is None:
        return ()
    if not isinstance(kinds, (list, tuple)) or not all(isinstance(kind, str) for kind in kinds):
        raise ConfigError(
            f"accept: found {option!r}, expected 'all' or a list of the kinds of questions, such as "
            "['one_label_an_image']; cssa check prints the kinds"
        )
    return tuple(kinds)


def is_open(question: Question, accepted: Collection[str]) -> bool:
    """Whether a question still waits for an answer."""
    return ALL not in accepted and question.kind not in accepted


def how_to_go_on(kinds: Collection[str]) -> str:
    """One line that says how to answer the open questions of some kinds."""
    return (
        'Set the key that a question names, or accept what was read: --yes (all), or --cfg-options '
        f'accept=[{",".join(dict.fromkeys(kinds))}]'
    )


def named(names: Sequence[str], limit: int = 3) -> str:
    """The first of some names in quotes: "'cat', 'dog' and 4 more"."""
    shown = ', '.join(f"'{name}'" for name in names[:limit])
    return shown + (f' and {len(names) - limit} more' if len(names) > limit else '')


def _no_negatives(count: int, is_test: bool) -> Question:
    fix = "write 0 where a class is not shown; set minus_one='no' or blank='no' if that is what -1 or a blank cell says"
    if is_test:
        return Question(
            'test_without_negatives',
            f'none of the {count} labelled images says of any class that it is not shown: an mAP over it means nothing',
            fix,
        )
    return Question(
        'no_negatives',
        f'none of the {count} labelled images says of any class that it is not shown: every known cell is positive',
        fix,
    )


def _no_positives(count: int) -> Question:
    return Question(
        'no_positives',
        f'none of the {count} labelled images shows any class: every known cell is negative',
        'check what counts as yes (label_column, none_word), or label images that show a class',
    )
