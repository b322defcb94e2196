"""CSV, TSV and lists as text: where the table starts, what separates its columns, and its rows."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from itertools import islice

from cssa_mm.datasets.readers.source import LabelSource, ReadOptions
from cssa_mm.datasets.readers.tables.column_names import IMAGE_ENDINGS, IMAGES, LABELS
from cssa_mm.datasets.readers.tables.grid import Grid
from cssa_mm.datasets.readers.tables.rows import RowReader
from cssa_mm.datasets.readers.text import find_encoding, looks_foreign
from cssa_mm.datasets.readers.understanding import Question, Understanding
from cssa_mm.errors import ConfigError, DataError
from cssa_mm.names import one_form, plain_name

DELIMITERS = {',': 'commas', ';': 'semicolons', '\t': 'tabs', '|': 'bars', ' ': 'blanks'}
SAMPLE = 200  # lines that tell the form


def read_delimited(source: LabelSource, options: ReadOptions, understanding: Understanding) -> Grid:
    """Read the rows of a text table.

    Raises:
        ConfigError: The delimiter is not a single character, or the encoding is not known.
        DataError: It is no text, no table, or a row has more cells than the header.
    """
    encoding = find_encoding(source.content, source.path, options.encoding)
    understanding.facts['encoding'] = encoding.removesuffix('-sig')
    text = io.TextIOWrapper(io.BytesIO(source.content), encoding, newline='')
    lines = list(islice(text, SAMPLE))
    if encoding == 'cp1252':
        understanding.facts['encoding'] = 'cp1252 (Windows), as it is not UTF-8'
        if (word := looks_foreign(source.content.decode(encoding))) is not None:
            understanding.questions.append(
                Question(
                    'encoding',
                    f"the file is not UTF-8; read as cp1252 (Windows) it shows '{word}'",
                    'set encoding (such as cp1251, shift_jis, gbk), or save the file in UTF-8',
                )
            )
    skip, sample, marked = _start(lines)
    delimiter = options.delimiter or marked or choose_delimiter(sample, source.suffix == '.tsv')
    try:
        first = list(csv.reader(sample, delimiter=delimiter, skipinitialspace=True))
    except (TypeError, ValueError) as error:
        raise ConfigError(f'delimiter: found {delimiter!r}, expected one character, such as , or ;') from error
    first = [row for row in first if any(cell.strip() for cell in row)]
    if not first:
        raise DataError(f'{source.path}: found no line with text, expected a table; write image,labels above the rows.')
    understanding.facts['columns'] = f'separated by {DELIMITERS.get(delimiter, repr(delimiter))}'
    header = [one_form(name) for name in first[0]]
    if header[0].startswith('#') and is_header([header[0].lstrip('# '), *header[1:]], first[1:]):
        header[0] = header[0].lstrip('# ')
    names: list[str] | None = None
    if is_header(header, first[1:]):
        names = _widened(header, first[1:], delimiter)
        skip = _line_after(sample, delimiter, 1, skip)
    else:
        understanding.facts['header'] = 'none: the first line is a row'
    return RowReader(source.path, source.content, encoding, skip, delimiter, names).grid()


def is_header(first: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row of a table names its columns: by known names, or as the rows below hold other things."""
    plain = {plain_name(cell) for cell in first}
    if any(_is_image(cell) for cell in first):
        return False
    if plain & {*IMAGES, *LABELS, ''}:
        return True
    body = rows[:50]
    if not body:
        return True
    if first[0].strip().upper() in ('TRAIN', 'VALIDATION', 'TEST', 'UNASSIGNED'):
        return False
    return not all(re.fullmatch(r'[-+]?\d+(\.\d+)?', cell.strip()) for cell in first[1:]) or len(first) == 1


def choose_delimiter(sample: Sequence[str], prefers_tabs: bool = False) -> str:
    """The character between the columns of some lines: the one that leaves whole image names and even rows."""

    def score(delimiter: str) -> tuple:
        rows = [row for row in csv.reader(sample, delimiter=delimiter, skipinitialspace=True) if any(row)]
        if not rows:
            return (False,)
        is_list = _is_image(rows[0][0])
        width = max(map(len, rows)) if is_list else len(rows[0])
        body = rows if is_list else rows[1:] or rows
        cells = [[cell.strip() for cell in row] for row in body]
        widths = {len(row) for row in body}
        has_images = any(
            sum(_is_image(row[k]) for row in cells if k < len(row)) * 2 > len(cells)
            for k in range(min(max(widths), 20))
        )
        is_named = not {plain_name(cell) for cell in rows[0]}.isdisjoint(IMAGES)
        even = sum(len(row) == width for row in body) / len(body)
        at_most = sum(len(row) <= width + (not row[-1].strip()) for row in body) / len(body)
        order = -list(DELIMITERS).index(delimiter)
        return (width > 1, delimiter != ' ', has_images + is_named, at_most > 0.9, even > 0.9, order)

    first = '\t' if prefers_tabs else ','
    candidates = sorted(DELIMITERS, key=lambda delimiter: delimiter != first)
    best = max(candidates, key=score)
    return best if score(best)[0] else first


def _is_image(cell: str) -> bool:
    return cell.strip().lower().endswith(IMAGE_ENDINGS) and len(cell.strip()) > 4


def _start(lines: Sequence[str]) -> tuple[int, list[str], str | None]:
    """How many lines stand before the table, those of the table, and the delimiter of Excel's ``sep=;``."""
    marked = None
    for number, line in enumerate(lines):
        text = line.strip('\ufeff \t\r\n')
        if found := re.fullmatch(r'"?sep=(.)"?', line.strip('\ufeff\r\n'), re.IGNORECASE):
            marked = found.group(1)
        elif text and not (text.startswith('#') and _is_remark(text, lines[number + 1 :])):
            following = next((other for other in lines[number + 1 :] if other.strip()), '')
            if not (text.isdecimal() and len(following.split()) > 1):  # CelebA writes the number of rows first
                return number, list(lines[number:]), marked
    return len(lines), [], marked


def _is_remark(text: str, following: Sequence[str]) -> bool:
    """Whether a line that starts with # is a remark, and not a header or the image #1.jpg."""
    names = [plain_name(name) for name in re.split(r'[,;\t|]', text.lstrip('# '))]
    return not (len(names) > 1 and {*names} & {*IMAGES}) and not _is_image(re.split(r'[,;\t|]', text)[0])


def _widened(header: list[str], rows: Sequence[Sequence[str]], delimiter: str) -> list[str]:
    """The header, with a nameless first column where each row has one cell more, as R and CelebA write it."""
    if delimiter == ' ':  # blanks at the end of a line separate nothing; CelebA's header has one
        header = _without_blank_end(header)
        rows = [_without_blank_end(row) for row in rows]
    widths = {len(row) for row in rows}
    is_shifted = widths == {len(header) + 1} and all(row[-1].strip() for row in rows)
    first = [row[0] for row in rows]
    if is_shifted and plain_name(header[0]) not in IMAGES and all(map(_is_image, first)):
        return ['', *header]
    return header


def _without_blank_end(cells: Sequence[str]) -> list[str]:
    end = len(cells)
    while end > 1 and not cells[end - 1].strip():
        end -= 1
    return list(cells[:end])


def _line_after(sample: Sequence[str], delimiter: str, rows: int, skip: int) -> int:
    reader = csv.reader(sample, delimiter=delimiter, skipinitialspace=True)
    for row in reader:
        if any(cell.strip() for cell in row):
            rows -= 1
        if not rows:
            break
    return skip + reader.line_num
