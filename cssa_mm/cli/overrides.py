"""`--cfg-options key=value`: what a value written on a command line means.

    3   1e-3   True   None          numbers, truth values and None
    Image Index                     anything else is text, with its blanks
    'None'   "a, b"                 text, whatever it holds
    a,b   [a,b]   (a,b)             lists and tuples; items are values again
    [[a,b],[c]]                     nested ones
    dict(type='A',x=1)   {x: 1}     dicts, in lists too
    ;,|                             text without letters and digits stays as it is

As mmengine's DictAction reads them, with three differences: it removes all blanks, takes quotes off, and knows no
dicts.
"""

from __future__ import annotations

import argparse
import re
from typing import Any

from cssa_mm.errors import ConfigError

QUOTES = '\'"'
OPENING = {'(': ')', '[': ']', '{': '}'}
DEEPEST = 20
DICT = re.compile(r'dict\s*\(')
WORDS = {'true': True, 'false': False}


class Overrides(argparse.Action):
    """Collects key=value pairs into a dict; a key that comes again replaces the earlier one."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Read the pairs.

        Raises:
            ConfigError: one has no `=`, or its value cannot be read.
        """
        found = dict(getattr(namespace, self.dest, None) or {})
        for position, pair in enumerate(values):
            key, equals, value = pair.partition('=')
            if not equals or not all(part.strip() for part in key.split('.')):
                hint = f"; if it belongs to '{values[position - 1]}', put the whole in quotes" if position else ''
                raise ConfigError(
                    f"{option_string}: found {_short(pair)}, expected key=value; write no spaces around '='{hint}"
                )
            found[key.strip()] = read_value(value, f'{option_string}: {key.strip()}')
        setattr(namespace, self.dest, found)


def read_value(text: str, where: str = '--cfg-options') -> Any:
    """The value that a text on the command line stands for.

    Args:
        text: what stands behind `key=`.
        where: start of the error message.

    Raises:
        ConfigError: brackets or quotes don't match, or a dict has an item without key.
    """
    if not any(character.isalnum() or character in '()[]{}\'"' for character in text):
        return text
    try:
        return _Reader(text).read()
    except ValueError as error:
        raise ConfigError(
            f'{where}: found {_short(text)}, which cannot be read ({error}), expected a number, text, [a,b] or '
            'dict(a=1); write text that holds commas, brackets or quotes as "text" and the option as \'key=value\''
        ) from error


class _Reader:
    """Reads one value; every fault is a ValueError with its reason."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.ends: dict[int, int] = {}  # position of an opening bracket or quote -> that of the closing one

    def read(self) -> Any:
        try:
            self.ends = _matching(self.text)
        except ValueError:
            word = self.text.strip()
            # A lone bracket in a single word is a part of it, as in the column name 'Width]'.
            if ',' in word or word[0] in QUOTES or word[0] in OPENING or DICT.match(word):
                raise
            return _scalar(word)
        items = self._spans(0, len(self.text))
        if len(items) == 1 and not self.text.rstrip().endswith(','):
            return self._value(*items[0])
        return [self._value(*item) for item in items]

    def _value(self, start: int, end: int, depth: int = 0) -> Any:
        if depth > DEEPEST:
            raise ValueError(f'it is nested more than {DEEPEST} deep')
        start, end = self._stripped(start, end)
        word, last = self.text[start:end], self.ends.get(start)
        if word[:1] in QUOTES and word:
            if last != end - 1:
                raise ValueError(f'more follows the closing quote in {_short(word)}')
            return re.sub(rf'\\({word[0]})', r'\1', word[1:-1])
        if last == end - 1 and word[0] != '{':
            values = [self._value(*span, depth + 1) for span in self._spans(start + 1, last)]
            return values if word[0] == '[' else tuple(values)
        call = DICT.match(word)
        if call and self.ends.get(start + call.end() - 1) == end - 1:
            return self._dict(start + call.end(), end - 1, '=', depth)
        if last == end - 1:
            return self._dict(start + 1, end - 1, ':', depth)
        if ',' in word:
            raise ValueError(f'a comma stands in the brackets of {_short(word)}')
        return _scalar(word)

    def _dict(self, start: int, end: int, separator: str, depth: int) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for first, last in self._spans(start, end):
            first, last = self._stripped(first, last)
            is_quoted = separator == ':' and first in self.ends and self.text[first] in QUOTES
            middle = self.text.find(separator, self.ends[first] if is_quoted else first, last)
            key: Any = self.text[first:middle].strip() if middle > first else ''
            if separator == ':' and key:
                key = self._value(first, middle, depth + 1)
            if isinstance(key, bool) or not isinstance(key, int | str) or key == '':
                form = 'key=value' if separator == '=' else 'key: value'
                raise ValueError(f'{_short(self.text[first:last])} is not {form}')
            if key in found:
                raise ValueError(f'{key!r} stands twice in a dict')
            found[key] = self._value(middle + 1, last, depth + 1)
        return found

    def _spans(self, start: int, end: int) -> list[tuple[int, int]]:
        """Start and end of the items between commas; nothing follows a last comma."""
        spans, position, first = [], start, start
        while position < end:
            if self.text[position] == ',':
                spans.append((first, position))
                first = position + 1
            position = self.ends.get(position, position) + 1
        return spans if not self.text[first:end].strip() else [*spans, (first, end)]

    def _stripped(self, start: int, end: int) -> tuple[int, int]:
        while start < end and self.text[start].isspace():
            start += 1
        while start < end and self.text[end - 1].isspace():
            end -= 1
        return start, end


def _matching(text: str) -> dict[int, int]:
    """Where each bracket and each quote that begins an item closes."""
    ends: dict[int, int] = {}
    stack: list[tuple[int, bool]] = []  # position of an open bracket, and whether it is that of a dict
    begins, position = True, 0
    while position < len(text):
        character = text[position]
        if character in QUOTES and begins:
            closing = re.compile(rf'(?:\\{character}|[^{character}])*{character}').match(text, position + 1)
            if closing is None:
                raise ValueError(f'the quote at {_short(text[position:])} is not closed')
            ends[position] = closing.end() - 1
            position = closing.end() - 1
        elif character in OPENING:
            stack.append((position, character == '{' or text[:position].rstrip()[-4:] == 'dict'))
        elif character in OPENING.values():
            if not stack or OPENING[text[stack[-1][0]]] != character:
                raise ValueError(f"'{character}' closes nothing")
            ends[stack.pop()[0]] = position
        if not character.isspace():
            starts_value = character in '=:' and bool(stack) and stack[-1][1]
            begins = starts_value or character in OPENING or character == ','
        position += 1
    if stack:
        raise ValueError(f"'{text[stack[-1][0]]}' is not closed")
    return ends


def _scalar(word: str) -> Any:
    for number in (int, float):
        try:
            return number(word)
        except ValueError:
            continue
    return None if word == 'None' else WORDS.get(word.lower(), word)


def _short(text: str) -> str:
    return repr(text if len(text) <= 100 else f'{text[:97]}...')
