"""Merge answers of the labelling page, or labels of any form, into `labels.csv` (ours)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from cssa_mm.apis.labelling.held_out import held_out_photos
from cssa_mm.apis.labelling.label_store import Known, LabelStore, labelled, open_store, place_of, write_store
from cssa_mm.apis.labelling.merge_result import Conflict, MergeResult
from cssa_mm.apis.truth_labels import labels_for, matched_rows, part_of
from cssa_mm.datasets.discovery import LocalFiles
from cssa_mm.datasets.image_table import UNKNOWN
from cssa_mm.datasets.readers import read_labels
from cssa_mm.datasets.readers.label_table import LabelTable
from cssa_mm.datasets.readers.matching.joining import images_of, join_rows
from cssa_mm.datasets.readers.source import LabelSource, ReadOptions
from cssa_mm.errors import ConfigError, DataError, nearest
from cssa_mm.names import plain_name

PREFERENCES = ('new', 'old')


def merge(
    *,
    answers: str | os.PathLike | Sequence[str | os.PathLike],
    into: str | os.PathLike,
    prefer: str | None = None,
    test_photos: bool = False,
    checkpoint: str | os.PathLike | None = None,
) -> MergeResult:
    """Add the labels of some files to those of a project.

    Photos are matched by name, as everywhere. Where a label contradicts an earlier one, nothing at all is written
    unless `prefer` says which counts. Columns of the table that are no labels are kept. An answer for a photo that a
    test or validation table in the folder lists is left out: training must not see it.

    Args:
        answers: what the labelling page saved, or labels in any form of docs/formats.md; later ones count as newer.
        into: the label file; a new `labels.csv` begins where there is none, or where the labels have another form.
        prefer: 'new' or 'old', which of two contradicting labels counts.
        test_photos: merge the answers for photos of test and validation tables, too.
        checkpoint: the earlier model, for the command that starts from it; it is not opened.

    Returns:
        What was merged. `is_refused` where labels contradict each other.

    Raises:
        ConfigError: an option is wrong, or the table cannot be written.
        DataError: a file cannot be read, is of another project, or names a class that the project has not.

    Examples:
        >>> from cssa_mm.apis.merging import merge
        >>> merge(answers='Downloads/labels.csv', into='photos/labels.csv').added  # doctest: +SKIP
        20
    """
    if prefer is not None and prefer not in PREFERENCES:
        raise ConfigError(f"prefer: found '{prefer}', expected new or old.{nearest(str(prefer), PREFERENCES)}")
    paths = [Path(path).expanduser() for path in ([answers] if isinstance(answers, str | os.PathLike) else answers)]
    if not paths:
        raise ConfigError('answers: found none, expected the file that the labelling page saved')
    store = open_store(into)
    tables = [_read(path, store) for path in paths]
    if not store.class_names:
        store.class_names = list(dict.fromkeys(name for table in tables for name in table.class_names))
    result = MergeResult(store.path, store.root, notes=store.notes)
    result.checkpoint = None if checkpoint is None else os.fspath(checkpoint)
    held_out, notes = ({}, []) if test_photos else held_out_photos(store.root)
    result.notes += notes
    known = dict(store.known)
    for path, table in zip(paths, tables, strict=True):
        found = _answers(path, table, store, result)
        if held_out:
            found = _without(found, held_out, store, result)
        _add(known, found, path.name, prefer, result, store.class_names)
    has_changed = any(image not in store.known or (row != store.known[image]).any() for image, row in known.items())
    if has_changed and (prefer is not None or not result.conflicts):
        result.kept, result.written = write_store(store, known)
        result.is_written = True
    before = {image: row != UNKNOWN for image, row in store.known.items()}
    for image, row in known.items():
        was = before.get(image, np.zeros(len(row), bool))
        result.added += bool((row != UNKNOWN).any() and not was.any())
        result.completed += bool(was.any() and ((row != UNKNOWN) & ~was).any())
    result.labelled = labelled(known)
    return result


def _read(path: Path, store: LabelStore) -> LabelTable:
    if not path.exists():
        raise DataError(f'{path}: found nothing there, expected answers: the file that the labelling page saved')
    for own in (store.path, store.source):
        if own is not None and own.exists() and path.samefile(own):
            raise ConfigError(f'answers: found {path}, which is the file to merge into, expected another one')
    root = path if path.is_dir() else path.parent
    source = LabelSource(LocalFiles(str(root)), str(path), os.path.abspath(store.images.root))
    options = ReadOptions(class_names=tuple(store.class_names), unannotated='unlabelled')
    try:
        return read_labels(source, options)
    except DataError:
        # It may lack a class that nobody was asked about; another reason is said again.
        return read_labels(source, replace(options, class_names=()))


def _answers(path: Path, table: LabelTable, store: LabelStore, result: MergeResult) -> Known:
    """The labels of a file, by the photos of the project."""
    rows, missing = matched_rows(table, store.images)
    if not rows:
        example = f", such as '{missing[0]}'" if missing else ''
        raise DataError(
            f"{path}: found none of its {len(table):,} photos in '{store.images.root}'{example}, expected answers for "
            'this project; give those, or another --into'
        )
    _refuse_other_classes(path, table, store)
    values, _ = labels_for(table, store.class_names, store.class_names)
    part = part_of(table, rows)
    result.missing += missing
    result.notes += [
        f"the column '{name}' of {path.name} was not read ({reason}); if it is a class, write it into "
        f'{store.root / "classes.txt"}, and merge again'
        for name, reason in table.understanding.left.items()
    ]
    return join_rows(part, images_of(part, store.images), values[rows])


def _without(found: Known, held_out: Mapping[str, str], store: LabelStore, result: MergeResult) -> Known:
    """The answers but those for photos that a table of the test or validation lists."""
    tables = {image: held_out.get(place_of(store.images, image), '') for image in found}
    result.held_out |= {image: table for image, table in tables.items() if table}
    return {image: row for image, row in found.items() if not tables[image]}


def _refuse_other_classes(path: Path, table: LabelTable, store: LabelStore) -> None:
    wanted = {plain_name(name) for name in store.class_names}
    shown = (table.labels == 1).any(axis=0) | table.is_closed
    others = [name for name, is_shown in zip(table.class_names, shown, strict=True) if is_shown]
    unknown = next((name for name in others if plain_name(name) not in wanted), None)
    if unknown is not None:
        raise DataError(
            f"{path}: found the class '{unknown}', expected those of {store.path.name} ({len(store.class_names)} "
            f'classes).{nearest(unknown, store.class_names)} Rename it in the answers, or, if it is new, add it to '
            f'{store.root / "classes.txt"}.'
        )


def _add(known: Known, found: Known, source: str, prefer: str | None, result: MergeResult, names: list[str]) -> None:
    """Add labels to those that are known; what contradicts them is a conflict."""
    for image, new in found.items():
        old = known.get(image, np.full_like(new, UNKNOWN))
        differs = (old != UNKNOWN) & (new != UNKNOWN) & (old != new)
        result.conflicts += [
            Conflict(image, names[c], int(old[c]), int(new[c]), source) for c in np.flatnonzero(differs).tolist()
        ]
        takes = (old == UNKNOWN) | (differs if prefer == 'new' else False)
        known[image] = np.where(takes, new, old)
        result.overwritten += int((differs & takes).sum())
