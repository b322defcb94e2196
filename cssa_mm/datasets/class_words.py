"""The C classes, and the words that stand for each in a prompt; read from a list, a file or a mapping.

A class is called by its name in labels, tables and results. CLIP reads words: those of the name, unless others are
given, for codes, synonyms and other languages. Of several wordings of a class the text features are averaged.
"""

from __future__ import annotations

import csv
import json
import logging
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePath
from typing import Any

from mmengine.logging import print_log

from cssa_mm.datasets.readers.text import decode_text
from cssa_mm.errors import DataError
from cssa_mm.names import one_form, plain_name

NAME_COLUMNS = ('name', 'class')
PROMPT_COLUMNS = ('prompt', 'prompts')
DELIMITERS = ',;\t|'
SEPARATOR = ';'  # between the prompts of a cell
TABLES = ('.csv', '.tsv')
LARGEST = 2**22  # bytes; what is larger holds labels
CLASS_TABLE = 'classes'  # a table of this name holds classes, with prompts or without
NUMBERED = re.compile(r'(\d+)(?:[:.,)=]\s*|\s+)(?=[^\W\d])')


@dataclass(frozen=True)
class ClassWords:
    """Names of the C classes, and one or several prompts for each: by default the name itself."""

    names: tuple[str, ...]
    prompts: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, words: Mapping[str, Sequence[str]]) -> ClassWords:
        """Those of a mapping name -> prompts, in its order."""
        return cls(tuple(words), tuple(tuple(prompts) or (name,) for name, prompts in words.items()))

    @property
    def is_plain(self) -> bool:
        """Whether each class is prompted by its name alone."""
        return all(prompts == (name,) for name, prompts in zip(self.names, self.prompts, strict=True))

    @property
    def wordings(self) -> list[str | tuple[str, ...]]:
        """What a prompt is made of, for each class: a text, or several."""
        return [prompts[0] if len(prompts) == 1 else prompts for prompts in self.prompts]


def same_classes(first: Sequence[str], second: Sequence[str]) -> bool:
    """Whether two lists name the same classes in the same order; case, blanks, '_' and '-' don't matter."""
    return [plain_name(name) for name in first] == [plain_name(name) for name in second]


def class_words(source: Sequence[Any] | Mapping[Any, Any], where: str) -> dict[str, list[str]]:
    """Names and prompts of a list of names, or of a mapping name -> prompt or prompts.

    Args:
        source: the list or mapping.
        where: what messages call it.

    Returns:
        name -> prompts, in order; no prompt stands for the name itself.

    Raises:
        DataError: a name is no text, empty or given twice.
    """
    if not isinstance(source, Mapping | Sequence):
        raise DataError(f'{where}: found {source!r}, expected a list of names.')
    given = source.items() if isinstance(source, Mapping) else [(name, ()) for name in source]
    rows = []
    for place, (name, prompts) in enumerate(given, start=1):
        several = [] if prompts is None else [prompts] if isinstance(prompts, str) else prompts
        if not isinstance(several, Sequence) or not all(isinstance(prompt, str) for prompt in several):
            raise DataError(f'{where}: found the prompt {prompts!r} of {name!r}, expected a text or a list of texts.')
        rows.append((_text(name, where, f' in place {place}'), list(several)))
    return _joined(rows, where, once=True)


def decode_class_words(content: bytes, source: str) -> dict[str, list[str]] | None:
    """As `read_class_words`, of a file's bytes in any common encoding; one that is not UTF-8 is said."""
    if len(content) > LARGEST:
        return None
    text, encoding = decode_text(content, source)
    words = read_class_words(text, source)
    if words is not None and encoding == 'cp1252':
        foreign = next((line.strip() for line in text.splitlines() if not line.isascii()), '')
        _say(f"{source}: is not in UTF-8, read as cp1252 (Windows): '{foreign}'; if that is wrong, save it in UTF-8")
    return words


def read_class_words(text: str, source: str) -> dict[str, list[str]] | None:
    """Names and prompts of the text of a class file.

    A class file is a CSV with the columns name and prompt, several rows or several prompts with ';' between them for a
    name; a JSON list of names or object of name: prompts; or text with one name a line.

    Args:
        text: the content.
        source: path of the file, for messages; a .csv, .tsv or .json may as well be a label file.

    Returns:
        name -> prompts, in the order of the file; no prompt stands for the name itself. None: it is a label file.

    Raises:
        DataError: there is no name, or one is empty, doubled or no text.
    """
    suffix, text = PurePath(source).suffix.lower(), text.removeprefix('\ufeff')
    if suffix == '.json':
        words = _of_json(text, source)
    else:
        words = _of_csv(text, source)
        if words is None and (suffix not in TABLES or _is_class_table(source)):
            words = _of_lines(text, source)
    if words == {}:
        raise DataError(f'{source}: found no name, expected the names of the classes.')
    return words


def _of_json(text: str, source: str) -> dict[str, list[str]] | None:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise DataError(
            f'{source}: found no valid JSON ({error}), expected a list of names; write it again.'
        ) from error
    if isinstance(content, list):
        is_names = all(isinstance(value, str | int) for value in content)
        return class_words(content, source) if is_names else None
    if not isinstance(content, Mapping) or not all(map(_is_prompts, content.values())):
        return None
    if content and all(name.isdecimal() for name in content):
        raise DataError(f'{source}: found numbers for names, expected name: prompt; write a list of the names.')
    return class_words(content, source)


def _is_prompts(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(item, str) for item in value))


def _of_csv(text: str, source: str) -> dict[str, list[str]] | None:
    """The rows of a table whose header has a name and a prompt, or in one called classes a name at least."""
    lines = text.splitlines(keepends=True)
    start = next((number for number, line in enumerate(lines) if line.strip()), len(lines))
    mark = re.fullmatch(r'sep=(.)', lines[start].strip()) if lines[start:] else None
    start += bool(mark)
    for delimiter in mark.group(1) if mark else DELIMITERS:
        rows = csv.reader(lines[start:], delimiter=delimiter)
        try:
            header = [one_form(cell).casefold() for cell in next(rows, [])]
            name, prompt = (_first(header, columns) for columns in (NAME_COLUMNS, PROMPT_COLUMNS))
            if name is not None and (prompt is not None or _is_class_table(source)):
                found = [(start + rows.line_num, row) for row in rows if any(cell.strip() for cell in row)]
                return _of_rows(found, len(header), name, prompt, source)
        except csv.Error as error:
            raise DataError(f'{source}: found a table that is no CSV ({error}), expected name,prompt.') from error
    return None


def _of_rows(
    rows: Sequence[tuple[int, list[str]]], width: int, name: int, prompt: int | None, source: str
) -> dict[str, list[str]]:
    found = []
    for line, cells in rows:
        if len(cells) > width or len(cells) <= name:
            raise DataError(
                f'{source}, line {line}: found {len(cells)} cells, expected the {width} of the header; write a text '
                'that holds the separator in double quotes.'
            )
        words = cells[prompt].split(SEPARATOR) if prompt is not None and prompt < len(cells) else []
        found.append((_text(cells[name], f'{source}, line {line}'), words))
    return _joined(found, source, once=prompt is None)


def _of_lines(text: str, source: str) -> dict[str, list[str]]:
    names = [one_form(line) for line in text.splitlines()]
    names = [name for name in names if name]
    numbers = [int(found.group(1)) for found in map(NUMBERED.match, names) if found]
    if len(names) > 1 and numbers in ([*range(len(names))], [*range(1, len(names) + 1)]):
        raise DataError(f"{source}: found numbered lines such as '{names[0]}', expected a name a line; take them off.")
    parted = next((name for name in names if re.search(r'[,;\t|]', name)), None)
    if parted is not None and (_is_class_table(source) or len(names) == 1):
        expected = "the header 'name,prompt'" if _is_class_table(source) else 'one name a line'
        raise DataError(f"{source}: found the line '{parted}', expected {expected}; write it so.")
    return _joined([(_text(name, source), []) for name in names], source, once=True)


def _joined(rows: Iterable[tuple[str, list[str]]], source: str, once: bool) -> dict[str, list[str]]:
    """The prompts of each name; an empty one stands for the name, and so does none."""
    found: dict[str, list[str]] = {}
    for name, prompts in rows:
        if once and name in found:
            raise DataError(f"{source}: found '{name}' twice, expected each class once; remove one.")
        words = [word for word in map(one_form, prompts) if word] or [name]
        found[name] = list(dict.fromkeys([*found.get(name, []), *words]))
    return {name: [] if words == [name] else words for name, words in found.items()}


def _text(name: Any, where: str, place: str = '') -> str:
    if isinstance(name, bool) or not isinstance(name, str | int):
        raise DataError(f"{where}: found the name {name!r}{place}, expected text; write it in quotes: '{name}'.")
    if not (text := one_form(str(name))):
        raise DataError(f'{where}: found an empty name{place}, expected one or more different names; correct it.')
    if any(unicodedata.category(character) == 'Cc' for character in text):
        raise DataError(f'{where}: found the name {text!r} with control characters, expected text; save it in UTF-8.')
    return text


def _first(header: Sequence[str], known: Sequence[str]) -> int | None:
    return next((header.index(column) for column in known if column in header), None)


def _is_class_table(source: str) -> bool:
    path = PurePath(source)
    return path.stem.lower() == CLASS_TABLE and path.suffix.lower() in TABLES


@lru_cache
def _say(message: str) -> None:
    print_log(message, 'current', logging.WARNING)
