"""Tables with several rows an image: joined by image, with values for each class, or parts of a data set."""

from __future__ import annotations

import numpy as np

from cssa_mm.datasets.readers.label_table import LabelTable
from cssa_mm.datasets.readers.source import ReadOptions
from cssa_mm.datasets.readers.tables.column_names import PARTS
from cssa_mm.datasets.readers.tables.columns import Roles
from cssa_mm.datasets.readers.tables.flags import as_number, counted, meaning, read_flags
from cssa_mm.datasets.readers.tables.grid import Column, Grid
from cssa_mm.datasets.readers.tables.label_cells import Shown
from cssa_mm.datasets.readers.understanding import Question, Understanding
from cssa_mm.errors import DataError
from cssa_mm.names import plain_name

MOST_CELLS = 8 * 10**9  # of a label matrix, a byte each
TRAINING = ('train', 'training', 'labelled')


def keep_subset(grid: Grid, column: Column, options: ReadOptions, understanding: Understanding) -> None:
    """Keep the rows of the part that ``subset`` names; ask where a table holds several parts and none is named.

    Raises:
        DataError: The table has no such part.
    """
    name = f"the column '{column.name}'" if column.name else 'the first column'
    counts = {value or 'blank': count for value, count in column.counts().items()}
    shown = counted(counts, 'rows')
    if options.subset is None:
        understanding.left[column.name or name] = f'tells the part of the data set: {shown}'
        is_flag = all(meaning(value) in (0, 1) for value in column.values)
        if len(counts) > 1 and (is_flag or any(plain_name(value) in PARTS for value in counts)):
            understanding.questions.append(
                Question(
                    'subset',
                    f'{name} tells parts of the data set ({shown}), and the rows of all are read',
                    "set subset to the part to read (such as subset='train' in the training set)",
                )
            )
        return
    wanted = plain_name(options.subset)
    values = {plain_name(value) for value in counts}
    if wanted not in values and all(meaning(value) in (0, 1) for value in column.values):
        is_train_flag = 'train' in plain_name(column.name)
        wanted_flag = int(is_train_flag == (wanted in TRAINING))
        rows = np.array([meaning(value) == wanted_flag for value in column.values])[column.codes]
    elif wanted in values:
        rows = np.array([plain_name(value or 'blank') == wanted for value in column.values])[column.codes]
    else:
        raise DataError(f"{grid.source}: found the parts {shown} in {name}, expected subset='{options.subset}' there.")
    understanding.facts['subset'] = f"'{options.subset}': {int(rows.sum()):,} of {grid.count:,} rows ({shown})"
    understanding.left[column.name or name] = 'tells the part of the data set'
    grid.keep(np.flatnonzero(rows))


def with_values(
    grid: Grid, column: Column, shown: Shown, options: ReadOptions, understanding: Understanding, is_long: bool
) -> Shown:
    """What rows say that name a class and, in another column, whether it is shown.

    Raises:
        DataError: The column holds scores.
    """
    counts = column.counts()
    if {as_number(cell) for cell in counts} == {1.0} and options.blank is None:
        understanding.questions.append(
            Question(
                'all_positive',
                f"'{column.name}' is 1 in every row: the other classes are read as not shown",
                "set blank='unknown' if nobody has looked for the others, or blank='no' to confirm",
            )
        )
        understanding.left[column.name] = 'holds 1 throughout'
        return shown
    bad = [cell for cell in counts if meaning(cell, options.unknown_word) is None]
    if bad and all(as_number(cell) is not None for cell in bad):
        raise DataError(
            f"{grid.where(column.first(bad[0]))}: found {bad[0]} in '{column.name}', a score, expected 1 or 0; keep "
            f"the rows above a threshold of yours, or set ignore_columns='{column.name}' to take every row as shown."
        )
    own = Understanding(grid.source)
    values = read_flags(grid, [column], options, own)[:, 0]
    understanding.questions += own.questions
    understanding.facts['values'] = (
        f"'{column.name}' of a row: yes {own.facts['yes']}; no {own.facts['no']}; unknown {own.facts['unknown']}"
    )
    _ask_values(column, values, shown, understanding, is_long)
    rest = 'no' if options.blank == 'no' else 'unknown'
    understanding.facts['classes without a row'] = f'{rest} (the key blank changes it)'
    of_row = values[shown.rows]
    keep = of_row >= 0
    others = shown.others if rest == 'no' else np.full_like(shown.others, -1)
    return Shown(shown.class_names, shown.rows[keep], shown.classes[keep], of_row[keep], others, shown.none_rows)


def _ask_values(column: Column, values: np.ndarray, shown: Shown, understanding: Understanding, is_long: bool) -> None:
    """Ask whether a value belongs to the class of its row: numbers of classes, and facts of an image, look alike."""
    if not (values == 0).any():
        return
    of_row = values[shown.rows]
    yes, no = (np.bincount(shown.classes[of_row == value], minlength=len(shown.class_names)) for value in (1, 0))
    if not is_long:
        reason = 'although each image has a single row'
    elif len(shown.class_names) > 1 and not ((yes > 0) & (no > 0)).any():
        reason = 'although it is the same in all rows of a class'
    else:
        return
    understanding.questions.append(
        Question(
            'row_values',
            f"'{column.name}' is read as whether an image shows the class of its row, {reason}",
            f"set ignore_columns='{column.name}' if it says something else",
        )
    )


def join_images(
    grid: Grid,
    paths: list[str],
    images: list[str],
    shown: Shown,
    roles: Roles,
    options: ReadOptions,
    understanding: Understanding,
) -> LabelTable:
    """The table with one row an image: a class that one of its rows shows is shown.

    Args:
        grid: The n rows.
        paths: The image of each.
        images: The images, each once.
        shown: What the rows say.
        roles: What the columns are for.
        options: ``unannotated`` says what a box without a class is.
        understanding: Gets what was joined, and contradictions.

    Raises:
        DataError: There are too many classes for a table in memory.
    """
    count = len(images)
    if count < grid.count:
        numbers = {path: number for number, path in enumerate(images)}
        of_row = np.fromiter(map(numbers.__getitem__, paths), np.int64, grid.count)
        first = np.full(count, grid.count)
        np.minimum.at(first, of_row, np.arange(grid.count))
        understanding.facts['joined'] = f'{grid.count:,} rows of {count:,} images'
    else:
        of_row = first = np.arange(grid.count)
    if count * len(shown.class_names) > MOST_CELLS:
        raise DataError(
            f'{grid.source}: found {len(shown.class_names):,} different labels in {count:,} images, expected class '
            f'names that recur; set label_column or label_separators.'
        )
    others = np.full(count, -1, dtype=np.int8)
    _take_boxes_without_class(grid, shown, roles, options, understanding)
    if count < grid.count:
        np.maximum.at(others, of_row, shown.others)
    else:
        others[:] = shown.others
    labels = np.empty((count, len(shown.class_names)), dtype=np.int8)
    labels[:] = others[:, None]
    rows = of_row[shown.rows] if count < grid.count else shown.rows
    cells = (
        rows.astype(np.int64) * len(shown.class_names) + shown.classes
    )  # positions in the flat matrix are set faster than pairs
    if not shown.values.all():
        labels.reshape(-1)[cells[shown.values == 0]] = 0
        cells = cells[shown.values == 1]
    labels.reshape(-1)[cells] = 1
    _ask_contradictions(grid, images, rows, of_row, shown, labels, understanding)
    return LabelTable(
        class_names=shown.class_names,
        paths=images,
        labels=labels,
        others=others,
        where=lambda row: grid.where(int(first[row])),
        understanding=understanding,
    )


def _take_boxes_without_class(
    grid: Grid, shown: Shown, roles: Roles, options: ReadOptions, understanding: Understanding
) -> None:
    """Rows of a table of boxes that name no class: images without any object, or objects of an unknown class."""
    blank = np.ones(grid.count, dtype=bool)
    blank[shown.rows] = False
    blank &= ~shown.none_rows
    if not roles.has_boxes or not blank.any():
        return
    meaning_of = {'negative': 0}.get(options.unannotated or '', -1)
    shown.others[blank] = meaning_of
    says = 'none of the classes' if meaning_of == 0 else 'unlabelled'
    understanding.facts['rows without a class'] = f'{int(blank.sum()):,}: {says} (unannotated says otherwise)'


def _ask_contradictions(
    grid: Grid,
    images: list[str],
    rows: np.ndarray,
    of_row: np.ndarray,
    shown: Shown,
    labels: np.ndarray,
    understanding: Understanding,
) -> None:
    if shown.values.all() and not shown.none_rows.any():
        return
    negative = shown.values == 0
    lost = labels[rows[negative], shown.classes[negative]] == 1
    if lost.any():
        image = images[int(rows[negative][lost][0])]
        name = shown.class_names[int(shown.classes[negative][lost][0])]
        understanding.questions.append(
            Question(
                'contradictions',
                f"rows contradict each other for {int(lost.sum()):,} images and classes ('{image}', '{name}'): read as "
                f'shown',
                'remove the wrong rows',
            )
        )
    has_name = np.zeros(len(images), dtype=bool)
    has_name[rows[~negative]] = True
    mixed = np.flatnonzero(shown.none_rows & has_name[of_row])
    if mixed.size:
        understanding.questions.append(
            Question(
                'none_beside_labels',
                f"{mixed.size:,} rows say 'none of the classes' of images that other rows label "
                f"('{images[of_row[mixed[0]]]}', {grid.place(int(mixed[0]))}): the labels are taken",
                'remove the wrong rows, or set none_word to another word',
            )
        )
