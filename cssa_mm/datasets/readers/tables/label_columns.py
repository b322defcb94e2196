"""Which columns of a table hold the labels, and which hold no class at all."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cssa_mm.datasets.class_index import ClassIndex
from cssa_mm.datasets.readers.source import ReadOptions
from cssa_mm.datasets.readers.tables.column_names import DOUBTFUL, LABELS, NO_LABELS, VALUES
from cssa_mm.datasets.readers.tables.columns import Roles, TableColumns
from cssa_mm.datasets.readers.tables.flags import as_number, meaning
from cssa_mm.datasets.readers.tables.grid import Column, Grid
from cssa_mm.datasets.readers.understanding import Understanding
from cssa_mm.errors import DataError
from cssa_mm.names import plain_name

PROSE = 60  # characters; longer cells are no class names


def find_roles(grid: Grid, options: ReadOptions, understanding: Understanding) -> Roles:
    """What each column of a table is for; those that are left go into ``understanding``.

    Raises:
        ConfigError: An option names a column that is not there.
        DataError: The image or the labels are not found, or in several columns.
    """
    table = TableColumns(grid, options, understanding)
    table.refuse_single()
    columns = list(grid.columns)
    left = [(name, 'ignore_columns') for name in options.ignore_columns if not options.may_lack or table.has(name)]
    if options.group_column is not None and options.group_column in table.names:  # a test table may lack it
        left.append((options.group_column, 'group_column'))
    for name, key in left:
        column = table.named(name, key)
        table.leave(column, f'{key} names it')
        columns = [other for other in columns if other is not column]
    roles = Roles(table.image(columns), has_boxes=table.has_boxes())
    columns = [column for column in columns if column is not roles.image]
    roles.split = table.split(columns)
    columns = [column for column in columns if column is not roles.split]
    _find_labels(table, roles, columns)
    for column in [roles.image, *roles.labels, *roles.classes]:
        if column.name and table.names.count(column.name) > 1:
            raise DataError(f"{grid.source}: found the column '{column.name}' twice, expected each once; remove one.")
    for column in columns:
        if column not in [*roles.labels, *roles.classes, roles.value]:
            table.leave(column)
    return roles


def refuse_single_flag(grid: Grid, roles: Roles, options: ReadOptions) -> None:
    """DataError for one column of 1 and 0 that is called label: the numbers of two classes, or one class?"""
    column = roles.labels[0]
    is_chosen = options.label_column is not None or options.class_names or not grid.has_header
    if is_chosen or len(roles.labels) > 1 or plain_name(column.name) in ('labels', 'tags'):
        return
    cells = column.sample()
    if cells and all(meaning(cell, options.unknown_word) is not None for cell in cells):
        raise DataError(
            f"{grid.source}: found {' and '.join(cells[:2])} in the column '{column.name}', expected to know "
            f"what they say; set label_column='{column.name}' if they are the numbers of classes (with their names in "
            f"classes.txt), or class_names=['{column.name}'] if it is one class that an image shows or not."
        )


def _find_labels(table: TableColumns, roles: Roles, columns: list[Column]) -> None:
    options = table.options
    if options.label_column is not None:
        roles.labels = [table.named(options.label_column, 'label_column', ' with the labels')]
        _find_value(table, roles, columns)
    elif not table.grid.has_header:
        _take_list(table, roles, columns)
    elif not _take_wanted(table, roles, columns):
        named = _called_labels(table, columns)
        flags = [c for c in columns if table.holds(c) == 'flags' and not table.is_no_class(c) and c not in named]
        if named and (table.holds(named[0]) != 'flags' or not flags):
            _take_named(table, roles, named, columns, flags)
        elif flags:
            _take_flags(table, roles, columns)
        else:
            _take_text(table, roles, columns)


def _take_wanted(table: TableColumns, roles: Roles, columns: Sequence[Column]) -> bool:
    """Take the columns of the classes that are wanted, where they are known and columns of yes or no."""
    wanted = {plain_name(name) for name in table.options.class_names}
    chosen = [c for c in columns if plain_name(c.name) in wanted and table.holds(c) in ('flags', 'nothing')]
    if not any(table.holds(column) == 'flags' for column in chosen):
        return False
    declared = {c.name: None for c in columns if c in chosen or table.could_be_class(c)}
    ClassIndex(table.options.class_names).check_complete(list(declared), table.source)
    roles.classes = chosen
    for column in columns:
        if column not in chosen and table.could_be_class(column):
            table.leave(column, 'not among the class names')
    return True


def _called_labels(table: TableColumns, columns: Sequence[Column]) -> list[Column]:
    """The columns that are called like labels, those with text first, then by their names."""
    found = [c for name in LABELS for c in columns if plain_name(c.name) == name and table.holds(c) != 'nothing']
    found.sort(key=lambda column: ('text', 'images', 'numbers', 'flags').index(table.holds(column)))
    return found or [c for name in LABELS[:8] for c in columns if plain_name(c.name) == name]


def _take_named(
    table: TableColumns, roles: Roles, named: list[Column], columns: Sequence[Column], flags: list[Column]
) -> None:
    first = next((column for column in named if column.name == 'labels'), named[0])
    others = [c for c in named if c is not first and table.holds(c) == 'text' == table.holds(first)]
    if others and first.name != 'labels':
        raise DataError(
            f'{table.source}: found several columns that may hold labels, {table.with_examples([first, *others])}, '
            f'expected one; set label_column.'
        )
    roles.labels = [first]
    _find_value(table, roles, columns)
    doubtful = (roles.value, *(column for column in flags if plain_name(column.name) in DOUBTFUL))
    roles.rivals = [column for column in flags if column not in doubtful]


def _find_value(table: TableColumns, roles: Roles, columns: Sequence[Column]) -> None:
    """The column that says whether the class of a row is shown."""
    for name in VALUES:
        for column in columns:
            is_called = plain_name(column.name) == name and column not in roles.labels
            if is_called and table.holds(column) in ('flags', 'numbers'):
                roles.value = column
                return


def _take_flags(table: TableColumns, roles: Roles, columns: Sequence[Column]) -> None:
    for column in columns:
        if not table.could_be_class(column):
            continue
        roles.classes.append(column)
        is_blank = table.holds(column) == 'nothing' and table.grid.count
        if is_blank or plain_name(column.name) in DOUBTFUL:
            what = 'is blank throughout' if is_blank else 'holds yes or no, though its name sounds like no class'
            table.ask(
                'column_role',
                f"the column '{column.name}' {what}; it is read as a class",
                f"set ignore_columns='{column.name}' if it is no class, or class_names to the classes",
            )
    for column in columns:
        if table.holds(column) == 'numbers' and not table.is_no_class(column):
            _ask_scores(table, column)
        elif table.holds(column) == 'flags' and table.is_no_class(column) and not _is_certain(column):
            table.ask(
                'column_role',
                f"the column '{column.name}' holds yes or no, but is left, as its name sounds like no class",
                f"set ignore_columns='{column.name}' to confirm it, or class_names to the classes",
            )
    words = [column for column in columns if table.holds(column) == 'text' and _recurs(table, column)]
    if len(words) >= len(roles.classes):
        table.ask(
            'column_role',
            f'{table.with_examples(words)} hold words that recur, and are left; read as classes are the columns of yes '
            f'or no: {", ".join(repr(column.name) for column in roles.classes[:3])}',
            f"set label_column to the column with the class names, or ignore_columns='{words[0].name}' if it has none",
        )


def _recurs(table: TableColumns, column: Column) -> bool:
    """Whether a column holds a few words again and again, as one of labels does."""
    if plain_name(column.name) in NO_LABELS or not column.is_coded or _is_prose(column):
        return False
    return len(column.sample()) * 2 <= table.grid.count


def _is_certain(column: Column) -> bool:
    """Whether a column that is called like no class is none: by its name alone, or as it counts the rows."""
    plain = plain_name(column.name)
    if not plain or plain.startswith(('is', 'unnamed:')):
        return True
    cells = column.cells()
    return cells in ([*map(str, range(len(cells)))], [*map(str, range(1, len(cells) + 1))])


def _ask_scores(table: TableColumns, column: Column) -> None:
    """A column of fractions among class columns looks like the scores of a class."""
    numbers = [as_number(cell.rstrip('% ')) for cell in column.sample()]
    if plain_name(column.name) not in NO_LABELS and all(n is not None and 0 <= n <= 1 for n in numbers):
        table.ask(
            'column_role',
            f"the column '{column.name}' is left: it holds numbers from 0 to 1 ({column.sample()[0]}), which may be "
            f'the scores of a class',
            f"set ignore_columns='{column.name}' if it is no class, or write 1 or 0 by a threshold of yours",
        )


def _take_text(table: TableColumns, roles: Roles, columns: Sequence[Column]) -> None:
    """Take the only column of text, or columns such as tag1, tag2."""
    free = [column for column in columns if not table.is_no_class(column)]
    texts, numbers, blank = ([c for c in free if table.holds(c) == kind] for kind in ('text', 'numbers', 'nothing'))
    likely = [c for c in texts if plain_name(c.name) not in NO_LABELS and not _is_prose(c)]
    if likely and len({re.sub(r'[\d_ -]+$', '', column.name) for column in likely}) == 1:
        roles.labels = likely
        _find_value(table, roles, columns)
    elif not texts and blank:  # a table that nobody has filled in yet
        roles.classes = blank
    elif not texts and numbers:
        raise DataError(
            f'{table.source}: found numbers in {table.with_examples(numbers)}, expected class names, or 1 and 0; write '
            f'scores and percentages as 1 or 0 by a threshold of yours, or set label_column.'
        )
    else:
        several = f' and several that may hold labels, {table.with_examples(texts)}' if texts else ''
        raise DataError(
            f'{table.source}: found the columns {table.shown()}{several}, expected one called '
            f"'labels', or one for each class; set label_column, or ignore_columns."
        )


def _take_list(table: TableColumns, roles: Roles, columns: Sequence[Column]) -> None:
    """Take the cells after the image of a table without a header."""
    filled = [column for column in columns if table.holds(column) != 'nothing'] or list(columns)
    texts = [column for column in filled if table.holds(column) == 'text']
    roles.labels = texts or filled
    roles.has_boxes = bool(texts) and any(table.holds(column) == 'numbers' for column in filled)


def _is_prose(column: Column) -> bool:
    cells = column.sample(200)
    return sum(map(len, cells)) > PROSE * len(cells)
