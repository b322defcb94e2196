"""What a config may say to a component, read from its constructor: keys, defaults, and the `Args` of the docstring."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from cssa_mm.values import described, hints_of

GIVEN = 'given by'  # what a docstring says of a keyword that no config can set
REFERENCE = re.compile(r':\w+:`~?(?:[\w.]+\.)?(\w+)(?:\(\))?`')


class Key(NamedTuple):
    """A key of a section.

    Attributes:
        name: the key.
        default: the value that is taken where the config says nothing, as Python writes it; '' if it must be said.
        meaning: a sentence or two.
        takes: the values that fit, in words; '' where its annotation does not tell.
    """

    name: str
    default: str
    meaning: str
    takes: str = ''


def keys_of(taker: Callable) -> list[Key]:
    """The documented keywords of a function, or of a class and the parents that its `**kwargs` go to.

    Keywords without a line in the docstring are those of another library, and those that are given by its owner can't
    be set: both are left out.
    """
    found: dict[str, Key] = {}
    hints = hints_of(taker)
    for function, docstring in _initialisers(taker):
        meanings = arguments(docstring)
        for name, parameter in inspect.signature(function).parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD or name in found or GIVEN in meanings.get(name, GIVEN):
                continue
            default = '' if parameter.default is parameter.empty else repr(parameter.default)
            takes = in_markdown(described(hints[name])) if name in hints else ''
            found[name] = Key(name, default, meanings[name], takes)
    return list(found.values())


def arguments(docstring: str | None) -> dict[str, str]:
    """Name -> meaning of the section `Args` of a docstring in Google's style, each in one line of Markdown."""
    lines = inspect.cleandoc(docstring or '').splitlines()
    if 'Args:' not in lines:
        return {}
    found: dict[str, str] = {}
    name = ''
    for line in lines[lines.index('Args:') + 1 :]:
        if line and not line.startswith(' '):
            break
        if starts := re.match(r' {4}(\w+): (.*)', line):
            name, found[starts[1]] = starts[1], starts[2]
        elif name and line.startswith(' ' * 8):
            found[name] += f' {line.strip()}'
        else:
            name = ''  # a blank line, or **kwargs
    return {name: in_markdown(text[0].upper() + text[1:]) for name, text in found.items()}


def first_line(taker: Callable) -> str:
    """The first sentence of a docstring, in Markdown."""
    return in_markdown(' '.join(inspect.cleandoc(taker.__doc__ or '').split('\n\n')[0].split()))


def in_markdown(text: str) -> str:
    """A text of a docstring for a cell of a table: code in single backticks, no references, no bars."""
    return REFERENCE.sub(r'`\1`', text).replace('``', '`').replace('|', r'\|')


def _initialisers(taker: Callable) -> Iterator[tuple[Callable, str | None]]:
    if not inspect.isclass(taker):
        yield taker, taker.__doc__
        return
    for parent in taker.__mro__[:-1]:
        if '__init__' not in vars(parent):
            continue
        initialiser = vars(parent)['__init__']
        yield initialiser, parent.__doc__
        if not any(p.kind is p.VAR_KEYWORD for p in inspect.signature(initialiser).parameters.values()):
            return
