"""Large JSON files element by element: what is kept is what the caller keeps."""

from __future__ import annotations

import codecs
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, NoReturn

from mmengine.fileio import LocalBackend
from tqdm import tqdm

from cssa_mm.datasets.data_root import DataRoot
from cssa_mm.errors import DataError

PIECE = 2**22
LARGE = 2**25  # bytes from which on progress is shown
BLANKS = re.compile(r'[ \t\r\n]*')
ENDS = tuple(' \t\r\n,:]}')
BETWEEN = re.compile(r'[ \t\r\n]*,[ \t\r\n]*')
SCAN = json.JSONDecoder().raw_decode


def pieces_of(files: DataRoot, path: str, expected: str, size: int = PIECE) -> Iterator[bytes]:
    """The content of a file in pieces, with a progress bar on a terminal where it is large.

    Raises:
        DataError: It cannot be read.
    """
    if not isinstance(files.backend(path), LocalBackend):
        content = files.read_bytes(path, expected)
        yield from (content[start : start + size] for start in range(0, len(content), size))
        return
    try:
        with open(path, 'rb') as file:
            total = os.fstat(file.fileno()).st_size
            is_quiet = True if total < LARGE else None  # None: on a terminal only
            with tqdm(total=total, desc=os.path.basename(path), unit='B', unit_scale=True, disable=is_quiet) as bar:
                while piece := file.read(size):
                    bar.update(len(piece))
                    yield piece
    except OSError as error:
        raise DataError(
            f'{path}: cannot be read ({error.strerror or error}), expected {expected}; check data_root '
            f"('{files.data_root}') and the file's name."
        ) from error


def decoded(pieces: Iterable[bytes], path: str, expected: str, encoding: str = 'utf-8-sig') -> Iterator[str]:
    """The text of pieces of a file.

    Raises:
        DataError: It has another encoding.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    start = 0
    try:
        for piece in pieces:
            yield decoder.decode(piece)
            start += len(piece)
        yield decoder.decode(b'', final=True)
    except UnicodeDecodeError as error:
        raise DataError(
            f'{path}: cannot be read as UTF-8 text ({error.reason} at byte {start + error.start}), expected '
            f'{expected}; save it in UTF-8.'
        ) from error


def elements(
    texts: Iterable[str], keys: Collection[str], path: str, expected: str, on_key: Callable[[str], None] | None = None
) -> Iterator[tuple[str, Any]]:
    """(key, element) for each element of the arrays that the object of a JSON text holds under ``keys``.

    Args:
        texts: The text in pieces.
        keys: The arrays that are wanted; everything else is parsed and dropped.
        path: Of the file, for messages.
        expected: What the file should be.
        on_key: Called with every key of the object.

    Raises:
        DataError: No valid JSON, something else than an object at the top, or no array under one of ``keys``.
    """
    text = _Text(texts, path, expected)
    if text.peek() != '{':
        value = text.value()
        raise DataError(
            f'{path}: found a {type(value).__name__} at the top, expected an object with '
            f'{", ".join(keys)}; give {expected}.'
        )
    text.position += 1
    is_first = True
    while text.peek() != '}':
        if not is_first:
            text.take(',')
        is_first = False
        key = text.value() if text.peek() == '"' else text.fail('Expecting property name enclosed in double quotes')
        text.take(':')
        if on_key is not None:
            on_key(key)
        if key not in keys:
            text.value()
        elif text.peek() == '[':
            text.position += 1
            for element in text.elements():
                yield key, element
        else:
            value = text.value()
            raise DataError(f"{path}: found a {type(value).__name__} as '{key}', expected a list; give {expected}.")
    text.position += 1
    if text.peek():
        text.fail('Extra data')


class _Text:
    """A JSON text of which a piece at a time is in memory."""

    def __init__(self, texts: Iterable[str], path: str, expected: str) -> None:
        self.texts = iter(texts)
        self.path = path
        self.expected = expected
        self.text = ''
        self.position = 0
        self.lines = 1  # number of the line that the text starts in

    def more(self) -> bool:
        """Drop what was parsed, and read as much again as is left; False at the end."""
        self.lines += self.text.count('\n', 0, self.position)
        parts = [self.text[self.position :]]
        self.position, wanted, found = 0, len(parts[0]), 0
        for text in self.texts:
            parts.append(text)
            found += len(text)
            if found > wanted:
                break
        self.text = ''.join(parts)
        return found > 0

    def peek(self) -> str:
        """The next character that is no blank, '' at the end."""
        while True:
            self.position = BLANKS.match(self.text, self.position).end()  # type: ignore[union-attr]
            if self.position < len(self.text):
                return self.text[self.position]
            if not self.more():
                return ''

    def take(self, character: str) -> None:
        """Go on behind the next character, which must be this one."""
        if self.peek() != character:
            self.fail(f"Expecting '{character}' delimiter")
        self.position += 1

    def value(self) -> Any:
        """The next value of any kind."""
        self.peek()
        while True:
            try:
                value, end = SCAN(self.text, self.position)
            except json.JSONDecodeError as error:
                if not self.more():
                    self.position = error.pos
                    self.fail(error.msg)
            except ValueError as error:  # Python's of a number of thousands of digits
                self.fail(str(error).split(' for ')[0])
            except RecursionError:
                self.fail('nested too deeply')
            else:
                # A number at the end of a piece may go on: 2 of 2.5e-3.
                if self.text[end : end + 1] in ENDS or not self.more():
                    self.position = end
                    return value

    def elements(self) -> Iterator[Any]:
        """The elements of the array whose first bracket was read."""
        if self.peek() == ']':
            self.position += 1
            return
        while True:
            # The quick way for all but the last element of a piece.
            text, position = self.text, self.position
            try:
                while True:
                    value, end = SCAN(text, position)
                    following = BETWEEN.match(text, end)
                    if following is None or following.end() == len(text):
                        break
                    position = following.end()
                    yield value
            except (ValueError, RecursionError):
                pass
            self.position = position
            yield self.value()
            if self.peek() == ']':
                self.position += 1
                return
            self.take(',')
            self.peek()  # the quick way starts at a value

    def fail(self, reason: str) -> NoReturn:
        line = self.lines + self.text.count('\n', 0, self.position)
        raise DataError(
            f'{self.path}: found no valid JSON ({reason} in line {line}), expected {self.expected}; download or write '
            'it again.'
        )
