"""What a cell with class names holds: names, a list in Python's or JSON's form, or names with values."""

from __future__ import annotations

import ast
import io
import json
import operator
import re
import tokenize
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cssa_mm.errors import DataError

EMPTY = '\x00'  # stands for an empty list: none of the classes
NEGATIVE = '\x01'  # before a name that is said not to be shown
OPENING = {'[': ']', '{': '}', '(': ')'}
# Fields of an entry that hold its name, the first of them that is there.
NAME_FIELDS = (
    'displayName', 'display_name', 'class_name', 'className', 'label_name', 'tagName', 'name', 'label', 'class',
    'category', 'tag', 'text', 'title', 'value', 'id',
)  # fmt: skip
# Fields of an entry that say, by true or false, whether it is shown.
FLAG_FIELDS = ('value', 'present', 'isPresent', 'is_present', 'selected', 'checked', 'shown', 'answer', 'positive')
LIST_FIELDS = (
    'choices', 'labels', 'tags', 'classes', 'rectanglelabels', 'polygonlabels', 'brushlabels', 'keypointlabels',
    'ellipselabels', 'label', 'class', 'categories',
)  # fmt: skip
ARRAY = re.compile(r'array\((\[.*\])(?:,\s*dtype=[^)]*)?\)', re.DOTALL)


def is_list(cell: str) -> bool:
    """Whether a cell is written as a list, set, tuple or object."""
    return (
        cell[:1] in OPENING and cell.endswith(OPENING[cell[:1]]) or cell.startswith(('set()', 'array(', 'frozenset('))
    )


def parse_list(cell: str, where: Callable[[], str], is_bare: bool) -> list[str] | None:
    """The names in a list that is written out in a cell; [EMPTY] for an empty one, None for a cell that is no list.

    Args:
        cell: The cell.
        where: Its place, for messages.
        is_bare: Whether brackets around names without quotes make a list: '[cat, dog]'.

    Raises:
        DataError: Its entries have no name.
    """
    if not is_list(cell):
        return None
    found = _parse(cell)
    if found is None:
        inner = cell[1:-1]
        if re.fullmatch(r'[-\d.\s]+', inner) and cell[0] == '[':
            found = inner.split()
        elif not is_bare or cell[0] != '[' or '"' in inner or "'" in inner:
            return None
        else:
            found = [part.strip() for part in inner.split(',')]
    names = _names(found, cell, where)
    return names or [EMPTY]


def _parse(cell: str) -> Any:
    if cell in ('set()', 'frozenset()', '()', '[]'):
        return []
    if array := ARRAY.fullmatch(cell):
        cell = array.group(1)
    cell = re.sub(r'^frozenset\((.*)\)$', r'\1', cell, flags=re.DOTALL)
    try:
        return json.loads(cell)
    except ValueError:
        pass  # Python's form is tried next
    try:
        tokens = [t for t in tokenize.generate_tokens(io.StringIO(cell).readline) if t.type != tokenize.NL]
        kinds = [token.type == tokenize.STRING for token in tokens]
        if any(map(operator.and_, kinds, kinds[1:])):  # ['a' 'b'], as numpy prints: Python would join the names
            texts = [token.string for token in tokens if token.type == tokenize.STRING]
            others = ''.join(token.string for token in tokens if token.type != tokenize.STRING).split()
            return [ast.literal_eval(text) for text in texts] if others == ['[]'] else None
        return ast.literal_eval(cell)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError, tokenize.TokenError):
        return None


def _names(found: Any, cell: str, where: Callable[[], str]) -> list[str]:
    if isinstance(found, Mapping):
        lists = [found[key] for key in LIST_FIELDS if isinstance(found.get(key), list | Mapping)]
        if len(lists) == 1:
            return _names(lists[0], cell, where)
        if found and all(value is None or isinstance(value, bool) or value in (0, 1) for value in found.values()):
            return [
                (str(name) if value else NEGATIVE + str(name)) for name, value in found.items() if value is not None
            ]
        if not found:
            return ['']  # an object in which nobody has written anything
        only = next(iter(found.values())) if len(found) == 1 else None
        if isinstance(only, Mapping | str):  # {"animal": "cat"}
            return _names(only, cell, where)
        return [_name(found, cell, where)]
    if isinstance(found, set | frozenset):
        found = sorted(found, key=str)
    if not isinstance(found, Sequence) or isinstance(found, str):
        found = [found]
    return [_name(entry, cell, where) for entry in found]


def _name(entry: Any, cell: str, where: Callable[[], str]) -> str:
    if isinstance(entry, Mapping):
        flags = [entry[key] for key in FLAG_FIELDS if isinstance(entry.get(key), bool | int)]
        kept = {key: value for key, value in entry.items() if key not in FLAG_FIELDS}
        if flags and all(flag in (0, 1) for flag in flags) and any(key in kept for key in NAME_FIELDS):
            name = _name(kept, cell, where)
            return name if all(flags) else NEGATIVE + name
        entry = next((entry[key] for key in NAME_FIELDS if isinstance(entry.get(key), str | int)), None)
    elif entry is None:
        return 'nan'
    if isinstance(entry, bool):
        return str(int(entry))
    if isinstance(entry, str | int | float):
        return str(entry)
    cell = ' '.join(cell.split())
    shown = cell if len(cell) < 80 else f'{cell[:77]}...'
    raise DataError(
        f"{where()}: found '{shown}', an entry that is no name, expected class names; write them as cat;dog."
    )
