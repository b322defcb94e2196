"""How a table of ours can write some class names, so that every reader gives the same labels back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from cssa_mm.datasets.readers.source import ReadOptions
from cssa_mm.datasets.readers.tables.cells import OPENING
from cssa_mm.datasets.readers.tables.flags import as_number, meaning
from cssa_mm.datasets.readers.tables.tokens import Tokens
from cssa_mm.names import one_form

Form = Literal['names', 'lists', 'columns']
SEPARATOR = ';'


def form_of(class_names: Sequence[str]) -> Form:
    """The form of a table `image,labels` that holds these names, with `classes.txt` beside it.

    'names': names with ';' between them and `none`, wherever no name holds ';', looks like a list or a number, or is a
    word that says yes, no, none or unknown. 'lists': JSON lists in the cells, where names hold ';' alone. 'columns': a
    column a class with 1 and 0, where a name is such a word.
    """
    words = Tokens(ReadOptions())
    for name in class_names:
        if words.special(name) is not None or meaning(name) is not None or as_number(one_form(name)) is not None:
            return 'columns'
    is_plain = all(
        SEPARATOR not in name and '\n' not in name and name.strip()[:1] not in OPENING for name in class_names
    )
    return 'names' if is_plain else 'lists'


def image_column_of(class_names: Sequence[str]) -> str:
    """The name of the column with the images: 'image', with '_' behind it while a class has that name.

    >>> image_column_of(['cat', 'Image'])
    'image_'
    """
    taken, name = {each.casefold() for each in class_names}, 'image'
    while name in taken:
        name += '_'
    return name
