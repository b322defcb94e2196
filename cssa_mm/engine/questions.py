"""What is asked and said about the data of a run before its first step."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from mmengine.config import Config
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.logging import print_log

from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.datasets.checks import refuse_without_positives
from cssa_mm.datasets.class_words import ClassWords
from cssa_mm.datasets.images.overlap import is_tolerated, overlap_of
from cssa_mm.datasets.questions import accepted_kinds, how_to_go_on, is_open, questions_of, shared_groups
from cssa_mm.datasets.readers.understanding import Question
from cssa_mm.errors import CSSAError, DataError, OpenQuestionsError

Asked = tuple[str, Question]  # the part of the data, and what is asked about it


def check_training_data(train: object, held_out: object, config: Config, words: ClassWords | None = None) -> None:
    """Say how the data were read, and stop on all ranks where they leak or a question is open.

    Data sets of other packages are left alone.

    Args:
        train: The training set.
        held_out: The validation set, or None.
        config: The config of the run, whose key ``accept`` answers questions.
        words: What CLIP reads for each class.

    Raises:
        DataError: Validation images are trained on, or none of them shows any class.
        OpenQuestionsError: What was read looks wrong, and nobody has accepted it.
    """

    def look() -> None:
        asked: list[Asked] = []
        for name, dataset in (('train', train), ('val', held_out)):
            if isinstance(dataset, SemiMultiLabelDataset):
                print_log(in_short(name, dataset), 'current')
                asked += [(name, question) for question in questions_about(dataset, name != 'train', words)]
        if isinstance(held_out, SemiMultiLabelDataset):
            refuse_without_positives(held_out.hidden_labels, 'val_dataloader.dataset')
            if isinstance(train, SemiMultiLabelDataset):
                refuse_overlap(train, held_out, 'val_dataloader.dataset')
                asked += [('val', question) for question in shared_groups(train.groups, held_out.groups)]
        refuse_open(asked, config)

    on_first_rank(look)


def refuse_untaught(train: object, config: Config) -> None:
    """Stop where no labelled image that can be read shows a class: no prompt would learn from a label.

    Args:
        train: The training set, with its split, and without labels of bad images.
        config: The config of the run, whose key ``accept`` answers the question.

    Raises:
        OpenQuestionsError: None does, and nobody has accepted it.
    """
    if not isinstance(train, SemiMultiLabelDataset) or (train.labels == 1).any():
        return
    labelled = train.is_labelled
    bad = train.bad_images.among(train.image_ids) & labelled if train.bad_images is not None else labelled & False
    first = train.img_paths[int(bad.argmax())] if bad.any() else ''
    found = f', {bad.sum()} of which cannot be read, such as {first},' if bad.any() else ''
    question = Question(
        'no_positives',
        f'none of the {labelled.sum()} labelled images of this run{found} shows any class, so that no prompt learns '
        'from a label and the loss is 0',
        'label images that show a class, restore those that cannot be read, or take a larger split',
    )
    refuse_open([('train', question)], config)
    options = (config.get('default_hooks') or {}).get('pseudo_labels') or {}
    says = (
        'nothing is trained, and figures are those of the untrained model'
        if options.get('mask_unseen_classes', True)
        else 'prompts are trained on negatives alone (mask_unseen_classes=False)'
    )
    print_log(f'No labelled image shows a class: {says}', 'current', logging.WARNING)


def questions_about(dataset: SemiMultiLabelDataset, is_test: bool, words: ClassWords | None = None) -> list[Question]:
    """The questions about a data set that has been read."""
    return questions_of(dataset.class_names, dataset.hidden_labels, dataset.understanding, is_test, words)


def refuse_open(asked: Iterable[Asked], config: Config) -> None:
    """Stop where a question is open.

    Raises:
        OpenQuestionsError: ``accept`` of the config does not answer all; a line for each, and how to go on.
    """
    accepted = accepted_kinds(config.get('accept'))
    still_open = [(part, question) for part, question in asked if is_open(question, accepted)]
    if still_open:
        count = len(still_open)
        lines = [f'{count} question{"s" * (count > 1)} about the data, before the first step:']
        lines += [f'question: {part}: {question.line()} [{question.kind}]' for part, question in still_open]
        raise OpenQuestionsError('\n'.join([*lines, how_to_go_on([question.kind for _, question in still_open])]))


def warn_of_questions(dataset: object, part: str) -> None:
    """Log what looks wrong about a test set, as warnings; nothing stops."""
    if isinstance(dataset, SemiMultiLabelDataset):
        for question in questions_about(dataset, is_test=True):
            print_log(f'question: {part}: {question.line()}', 'current', logging.WARNING)


def refuse_overlap(train: SemiMultiLabelDataset, held_out: SemiMultiLabelDataset, where: str) -> None:
    """Refuse to test on images that are trained on, by path or bytes; warn of the few that published sets hold twice.

    Raises:
        DataError: Some are.
    """
    shared = overlap_of(train.img_paths, held_out.img_paths, train.is_local and held_out.is_local)
    pairs = [*shared.same_file, *shared.same_bytes]
    if not pairs:
        return
    first, second = pairs[0]
    text = f'{where}: found {len(pairs)} images that are in the training set, too, such as {second}'
    text += f' (the same bytes as {first})' if first != second else ''
    if not shared.same_file and is_tolerated(len(pairs), len(held_out)):
        print_log(f'{text}; so few of {len(held_out)} hardly change a figure', 'current', logging.WARNING)
        return
    raise DataError(f'{text}, expected no image in both; remove them from one.')


def in_short(part: str, dataset: SemiMultiLabelDataset) -> str:
    """In one line, how a data set was read: file, format, classes, labelled and unlabelled images."""
    understanding = dataset.understanding
    if understanding is None:
        source = f'{dataset.in_root(dataset.ann_file)} ({type(dataset).__name__})'
    else:
        facts = [f'{name} {value}' for name, value in understanding.facts.items()]
        source = f'{understanding.source} ({"; ".join([understanding.format, *facts])})'
    labelled = int(dataset.is_labelled.sum())
    return f'Data of {part}: {source}: {len(dataset.class_names)} classes, {labelled} images labelled, ' + (
        f'{len(dataset) - labelled} unlabelled'
    )


def on_first_rank(look: Callable[[], None]) -> None:
    """Run a check on rank 0; what it raises is raised on all ranks."""
    found: list[CSSAError | None] = [None]
    if is_main_process():
        try:
            look()
        except CSSAError as error:
            found = [error]
    broadcast_object_list(found)
    if found[0] is not None:
        raise found[0]
