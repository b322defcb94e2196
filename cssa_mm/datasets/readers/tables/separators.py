"""What separates the class names in a cell: decided on all cells of a column, never cell by cell."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from cssa_mm.datasets.readers.source import ReadOptions
from cssa_mm.datasets.readers.understanding import Question
from cssa_mm.errors import DataError
from cssa_mm.names import one_form, plain_name

USUAL = ';,|\n；，、،'  # each of them separates class names, as README says; the last are commas of other scripts
POSSIBLE = ' /+&:'  # they stand within names too
NAMES = {' ': 'blanks', '\n': 'line ends', '\t': 'tabs'}
MANY, FEW = 2 / 3, 1 / 3  # shares of words that stand alone or recur in other company


@dataclass
class Separators:
    """How the cells of a column are taken apart.

    Attributes:
        characters: Each of them separates names.
        fact: What is said of it.
        whole: Class names that hold one of them and are not taken apart, as plain names.
        questions: What is doubtful.
    """

    characters: str = ''
    fact: str = 'one name a cell'
    whole: frozenset[str] = frozenset()
    questions: list[Question] = field(default_factory=list)


def find_separators(
    cells: Sequence[str],
    joined: str,
    words: Collection[str],
    options: ReadOptions,
    source: str,
    column: str,
    is_long: bool,
) -> Separators:
    """Decide what separates names in the cells of a column.

    Args:
        cells: The cells.
        joined: All of them in one text.
        words: Whole cells that say 'none' or 'unlabelled', without case.
        options: ``label_separators`` decides; ``class_names``, where known, are evidence.
        source: The file, for messages.
        column: The column, for messages.
        is_long: Whether images have several rows, so that a row may hold one label.

    Raises:
        DataError: Two readings are likely.
    """
    if options.label_separators is not None:
        characters = options.label_separators
        fact = f'separated by {_named(characters)}, as label_separators says' if characters else 'one name a cell'
        return Separators(characters, fact)
    characters = ''.join(character for character in USUAL if character in joined)
    if characters:
        names = (*options.class_names, *words)
        only = _only_separator(cells, characters, names) if options.class_names else None
        if only is not None:
            fact = f'separated by {_named(only)}' if only else 'one name a cell'
            return Separators(only, f'{fact}, as the names of the classes say')
        whole = frozenset(plain_name(name) for name in names if any(c in name for c in characters))
        found = Separators(characters, f'separated by {_named(characters)}', whole)
        if len(characters.replace('\n', '')) > 1:
            examples = [next(cell for cell in cells if c in cell) for c in characters.replace('\n', '')]
            found.questions.append(
                Question(
                    'mixed_separators',
                    f"the labels in '{column}' hold {_named(characters)} ({_quoted(dict.fromkeys(examples))}): each is "
                    f'read as a separator of names',
                    "set label_separators to the right one (such as ';')",
                )
            )
        return found
    if not any(character in joined for character in POSSIBLE):
        return Separators()
    cells = [cell for cell in dict.fromkeys(cells) if cell and one_form(cell).casefold() not in words]
    for character in POSSIBLE:
        multiple = [cell for cell in cells if len(_words(cell, character)) > 1]
        if not multiple:
            continue
        weighed = _weigh(cells, multiple, character, options.class_names, source, column, is_long)
        if weighed is not None:
            return weighed
    return Separators()


def _only_separator(cells: Sequence[str], characters: str, names: Collection[str]) -> str | None:
    """The character of several by which alone all cells fall into known names, where names hold others of them.

    '' where each cell is a known name; None where no such character is.
    """
    if len(characters) < 2 or not any(character in name for name in names for character in characters):
        return None
    known = {plain_name(name) for name in names}
    distinct = set(cells)
    for character in ('', *characters):
        if all(plain_name(word) in known for cell in distinct for word in _words(cell, character)):
            return character
    return None


def _weigh(
    cells: Sequence[str],
    multiple: Sequence[str],
    character: str,
    class_names: Sequence[str],
    source: str,
    column: str,
    is_long: bool,
) -> Separators | None:
    """Whether a character within cells separates names; None: it is part of them."""
    separators = Separators(character, f'separated by {_named(character)}')
    known = {plain_name(name) for name in class_names}
    words = Counter(word for cell in multiple for word in {*_words(cell, character)})
    if all(re.fullmatch(r'\d+', word) for word in words):  # numbers of classes; 12/24 is none
        return separators if character == ' ' else None
    if known:
        parted = [cell for cell in multiple if plain_name(cell) not in known]
        if not parted or not any(all(plain_name(w) in known for w in _words(cell, character)) for cell in parted):
            return None
        separators.whole = frozenset(plain_name(name) for name in class_names if character in name)
        return separators
    singles = {cell for cell in cells if len(_words(cell, character)) == 1}
    alone = sum(word in singles for word in words)
    pieces = sorted(singles | set(words))
    if alone == len(words):
        separators.fact += ': each of the words stands alone in other cells'
        return separators
    if not is_long:
        recurring = sum(word in singles or words[word] > 1 for word in words) / len(words)
        sizes = {len(_words(cell, character)) for cell in cells}
        is_wide = len(pieces) * 2 <= len(cells) and len(sizes) > 2 and not _have_companions(multiple, words, character)
        is_mixed = character == ' ' and _has_parts_apart(multiple)
        if is_wide or is_mixed or (recurring >= MANY and alone and len(multiple) > 1):
            text = (
                f"the labels in '{column}' seem to be separated by {_named(character)} ({_quoted(multiple)}): read so, "
                f'they are {len(pieces)} classes ({_quoted(pieces)})'
            )
            fix = (
                f'set label_separators={character!r} to confirm it, or another one (such as ;) if each cell is one name'
            )
            separators.questions.append(Question('separators', text, fix))
            return separators
        if alone / len(words) >= FEW:
            raise DataError(
                f"{source}: found cells such as {_quoted(multiple)} in '{column}', expected to know whether "
                f'{_named(character)} separate classes ({len(pieces)}: {_quoted(pieces)}) or stand within names '
                f'({len(set(cells))}: {_quoted(sorted(set(cells)))}); set label_separators={character!r} for the '
                f"first, label_separators=';' for the second."
            )
    recurrent = sum(words[word] > 1 for word in words) / len(words)
    if alone or (recurrent >= 1 / 2 and len(multiple) > 2):
        separators.characters, separators.fact = '', 'one name a cell'
        text = (
            f"names in '{column}' such as {_quoted(multiple)} hold {_named(character)}, and some of their parts occur "
            f'in other cells; each cell is read as one name'
        )
        fix = f"set label_separators={character!r} if they are several classes, or label_separators=';' to confirm"
        separators.questions.append(Question('separators', text, fix))
        return separators
    return None


def _have_companions(multiple: Sequence[str], words: Counter, character: str) -> bool:
    """Whether some word never stands without a certain other one, as 'traffic' and 'light'."""
    together: Counter[tuple[str, str]] = Counter()
    for cell in multiple:
        parts = _words(cell, character)
        together.update(zip(parts, parts[1:], strict=False))
    return any(count > 2 and count == words[first] == words[second] for (first, second), count in together.items())


def _has_parts_apart(multiple: Sequence[str]) -> bool:
    """Whether the words of one cell stand in another with other words between them, as no part of a name does."""
    cells = [cell.split() for cell in multiple[:2000]]
    pairs = {(first, second) for words in cells for first, second in zip(words, words[1:], strict=False)}
    return any((words[i], word) in pairs for words in cells for i in range(len(words)) for word in words[i + 2 :])


def _words(cell: str, character: str) -> list[str]:
    return [word.strip() for word in (cell.split(character) if character else [cell]) if word.strip()]


def _named(characters: str) -> str:
    return ' and '.join(NAMES.get(character, repr(character)) for character in characters)


def _quoted(texts: Iterable[str], limit: int = 3) -> str:
    texts = list(texts)
    return ', '.join(f"'{text}'" for text in texts[:limit]) + (', ...' if len(texts) > limit else '')
