"""A folder for each class."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from cssa_mm.datasets.images.image_folder import ImageFolder
from cssa_mm.datasets.readers.copies import copies_among
from cssa_mm.datasets.readers.label_table import LabelTable, TableRow, table_of_rows
from cssa_mm.datasets.readers.source import LabelSource, ReadOptions
from cssa_mm.datasets.readers.understanding import Question, Understanding
from cssa_mm.errors import DataError
from cssa_mm.names import plain_name

UNLABELLED = frozenset('unlabelled unlabeled unsup unsupervised nolabel nolabels'.split())
PARTS = frozenset('train training test testing val valid validation dev'.split())
# Folders that hold images or what belongs to them, whatever they show.
NEUTRAL = frozenset('images image imgs img photos pictures data dataset labels annotations masks jpegimages'.split())
HIDDEN = ('.', '__MACOSX')


class Folders(NamedTuple):
    """The folders below a directory: what the images of each mean."""

    classes: dict[str, list[str]]
    none: list[str]
    unlabelled: list[str]
    parts: dict[str, list[str]]
    neutral: dict[str, list[str]]
    hidden: list[str]


def read_folders(source: LabelSource, options: ReadOptions) -> LabelTable:
    """Read a folder for each class: ``cat/1.jpg`` shows a cat and nothing else; images directly in it have no label.

    The folders of a class count to it, too. Copies of one photo in several folders are one image with all their labels.

    Raises:
        DataError: There is no folder of a class, the folders are the parts of a data set, or a photo lies in the folder
            of a class and in that of none.
    """
    images = source.images_in(source.path)
    start, folders = _find_folders(images, source, options)
    understanding = Understanding(source.path)
    if start != images.prefix:
        understanding.facts['folders'] = f'those of {start.removeprefix(images.prefix)}'
    understanding.taken = list(folders.classes)
    _ask(folders, start, understanding)
    separators = f'[{re.escape(options.label_separators)}]' if options.label_separators else None
    labels: dict[str, Mapping[str, int] | None] = dict.fromkeys(folders.unlabelled)
    labels |= dict.fromkeys(folders.none, {})
    for folder, paths in folders.classes.items():
        names = [name.strip() for name in re.split(separators, folder)] if separators else [folder]
        labels |= dict.fromkeys(paths, {name: 1 for name in names if name})
    labels |= {path: None for paths in folders.neutral.values() for path in paths}
    left_out = {path for paths in (*folders.parts.values(), folders.hidden) for path in paths}
    left_out |= _join_copies(labels, images, understanding, source)
    rows = [
        TableRow(path, found or {}, -1 if found is None else 0, os.path.join(source.path, path[len(images.prefix) :]))
        for path, found in sorted(labels.items())
        if path not in left_out
    ]
    table = table_of_rows(rows, understanding)
    table.folder = replace(
        images, image_ids={name: path for name, path in images.image_ids.items() if name not in left_out}
    )
    return table


def _find_folders(images: ImageFolder, source: LabelSource, options: ReadOptions) -> tuple[str, Folders]:
    """The folders below the directory, or below the only one in it that is not a class by its name."""
    start, image_ids = images.prefix, list(images.image_ids)
    other_parts: list[str] = []
    while True:
        folders = _sort(image_ids, start, options)
        inner = {**folders.neutral, **folders.parts}
        wanted = [name for name in inner if options.subset and plain_name(name) == plain_name(options.subset)]
        chosen = wanted or (list(inner) if len(inner) == 1 else [])
        if not chosen or (folders.classes and not wanted):
            break
        below = [path for path in inner[chosen[0]] if '/' in path[len(start) + len(chosen[0]) + 1 :]]
        if not below:
            break
        other_parts += [path for name, paths in folders.parts.items() if name != chosen[0] for path in paths]
        start, image_ids = f'{start}{chosen[0]}/', inner[chosen[0]]
    place = os.path.join(source.path, start[len(images.prefix) :])
    if not folders.classes and folders.parts:
        shown = ', '.join(folders.parts)
        raise DataError(
            f'{place}: found the folders {shown}, which are parts of a data set and no classes, expected a folder for '
            f'each class; name one part: ann_file={start}{next(iter(folders.parts))}.'
        )
    if not folders.classes:
        raise DataError(
            f'{place}: found {len(image_ids)} images in no folder of a class, expected a folder for each class, such '
            'as cat/1.jpg, or a label file; set ann_file to it.'
        )
    folders.hidden.extend(other_parts)
    return start, folders


def _sort(image_ids: Sequence[str], start: str, options: ReadOptions) -> Folders:
    wanted = {plain_name(name) for name in options.class_names}
    none_words = {word.casefold() for word in options.none_word}
    unknown_words = {plain_name(word) for word in options.unknown_word} | UNLABELLED
    found = Folders({}, [], [], {}, {}, [])
    for path in image_ids:
        folder, slash, _ = path[len(start) :].partition('/')
        name = plain_name(folder)
        if not slash:
            found.unlabelled.append(path)
        elif folder.startswith(HIDDEN):
            found.hidden.append(path)
        elif folder.casefold() in none_words:
            found.none.append(path)
        elif name in wanted:
            found.classes.setdefault(folder, []).append(path)
        elif name in unknown_words:
            found.unlabelled.append(path)
        elif name in PARTS:
            found.parts.setdefault(folder, []).append(path)
        elif name in NEUTRAL:
            found.neutral.setdefault(folder, []).append(path)
        else:
            found.classes.setdefault(folder, []).append(path)
    return found


def _ask(folders: Folders, start: str, understanding: Understanding) -> None:
    if folders.hidden:
        understanding.left_out['in hidden folders and those of other parts'] = folders.hidden
    for kind, found, meaning in (
        ('folders_of_parts', folders.parts, 'parts of a data set, whose images are left out'),
        ('folders_of_files', folders.neutral, 'no class, whose images are taken as unlabelled'),
    ):
        if not found:
            continue
        shown = ', '.join(f"'{name}' ({len(paths)} images)" for name, paths in found.items())
        understanding.questions.append(
            Question(
                kind,
                f'{understanding.source}: {shown} beside the folders of {len(folders.classes)} classes '
                f'{"look" if len(found) > 1 else "looks"} like {meaning}',
                'move them out of it, or name them in class_names if they are classes',
            )
        )
        if kind == 'folders_of_parts':
            understanding.left_out['in folders of other parts'] = [path for paths in found.values() for path in paths]
    nested = {
        name: sorted(below)
        for name, paths in folders.classes.items()
        if len(below := {path[len(start) + len(name) + 1 :].partition('/')[0] for path in paths}) > 1
        and all('/' in path[len(start) + len(name) + 1 :] for path in paths)
    }
    if nested:
        name, inner = next(iter(nested.items()))
        understanding.questions.append(
            Question(
                'nested_folders',
                f"{understanding.source}: the images of '{name}' lie in the folders {', '.join(inner[:3])}"
                f'{", ..." if len(inner) > 3 else ""} ({len(nested)} such classes), which are read as one class',
                f'move these folders up if each is a class, or set ann_file to the folder of {name}',
            )
        )


def _join_copies(
    labels: dict[str, Mapping[str, int] | None], images: ImageFolder, understanding: Understanding, source: LabelSource
) -> set[str]:
    """Give the first copy of a photo the labels of all; the others, which are to be left out."""
    if not source.files.is_local:
        understanding.facts['copies'] = 'not looked for in a storage'
        return set()
    left: list[str] = []
    joined: Counter[int] = Counter()
    for names in copies_among({name: os.path.join(images.root, images.path_of(name)) for name in sorted(labels)}):
        known = [name for name in names if labels[name] is not None]
        if len({tuple(labels[name] or ()) for name in known}) + (len(known) < len(names)) < 2:
            continue  # all in one folder: one photo twice, which is no error of the labels
        if any(labels[name] for name in known) and not all(labels[name] for name in known):
            raise DataError(
                f'{os.path.join(source.path, names[0])}: found the same photo as {names[-1]}, one in the folder of a '
                'class and one in that of none, expected one of them; remove the wrong copy.'
            )
        first = known[0]
        labels[first] = {key: value for name in known for key, value in (labels[name] or {}).items()}
        joined[len(names)] += 1
        left += [name for name in names if name != first]
    if left:
        understanding.facts['copies'] = (
            f'{sum(joined.values())} photos lie in several folders: each is one image with the labels of all of them, '
            f'{len(left)} copies are left out'
        )
        understanding.left_out['copies of another image'] = left
    return set(left)
