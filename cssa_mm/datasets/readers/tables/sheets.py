"""Excel workbooks (.xlsx), read by openpyxl."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import Any

from cssa_mm.archives import opened_archive
from cssa_mm.datasets.readers.label_table import LabelTable
from cssa_mm.datasets.readers.source import LabelSource, ReadOptions
from cssa_mm.datasets.readers.tables.forms import table_of_grid
from cssa_mm.datasets.readers.tables.grid import Column, Grid
from cssa_mm.datasets.readers.understanding import Question, Understanding
from cssa_mm.errors import DataError
from cssa_mm.names import one_form, plain_name

SUFFIXES = ('.xlsx', '.xlsm', '.xls', '.xlsb', '.ods')
READ = ('.xlsx', '.xlsm')
MOST_ROWS, MOST_CELLS = 2**20, 10**8
FORMULA = re.compile(rb'<f(?:\s[^>]*)?(?:/>|>[^<]*</f>)\s*(?:<v\s*/>|<v></v>|</c>)')  # without a value behind it


def is_sheet(source: LabelSource) -> bool:
    """Whether the extension is one of spreadsheets."""
    return source.suffix in SUFFIXES


def read_sheet(source: LabelSource, options: ReadOptions) -> LabelTable:
    """Read the sheet of a workbook that holds rows, or that ``subset`` names.

    Raises:
        ConfigError: An option does not fit the table.
        DataError: openpyxl is missing, it is no .xlsx, several sheets hold rows, or the table cannot be read.
    """
    path = source.path
    if source.suffix in SUFFIXES and source.suffix not in READ:
        raise DataError(f"{path}: found a '{source.suffix}' file, expected .xlsx; save it as .xlsx or CSV (UTF-8).")
    try:
        import openpyxl
    except ImportError as error:
        raise DataError(
            f"{path}: cannot be read without openpyxl; pip install 'cssa_mm[excel]', or save the sheet as CSV (UTF-8)."
        ) from error
    try:
        with warnings.catch_warnings():  # of styles and extensions that hold no cells
            warnings.simplefilter('ignore')
            with opened_archive(io.BytesIO(source.content)):  # refuses one that would fill the memory
                book = openpyxl.load_workbook(io.BytesIO(source.content), read_only=True, data_only=True)
            sheets = {sheet.title: _rows(sheet) for sheet in book.worksheets}
            formulas = _without_values(source.content)
    # A workbook is a ZIP of XML: whatever is broken in it has its own exception.
    except Exception as error:
        reason = ' '.join(str(error).split())
        raise DataError(f'{path}: found no Excel workbook ({reason}), expected .xlsx; save it again.') from error
    understanding = Understanding(path)
    if formulas:
        understanding.questions.append(
            Question(
                'formulas_without_values',
                f'{formulas} cells hold formulas whose values are not stored, and read as blank',
                'open the workbook in a spreadsheet program and save it, or write the values in place of the formulas',
            )
        )
    filled = {title: rows for title, rows in sheets.items() if len(rows) > 1 and max(len(row) for _, row in rows) > 1}
    if not filled:
        raise DataError(f'{path}: found 0 rows and no label in any, expected a sheet with image,labels.')
    named = next(
        (title for title in filled if options.subset and plain_name(title) == plain_name(options.subset)), None
    )
    if named is None and len(filled) > 1:
        names = ', '.join(f"'{title}' ({len(rows) - 1} rows)" for title, rows in filled.items())
        raise DataError(
            f"{path}: found several sheets with rows, {names}, expected one; set subset to the sheet's name, or remove "
            f'the others.'
        )
    if named is not None:
        options = replace(options, subset=None)
    title = named or next(iter(filled))
    understanding.facts['sheet'] = f"'{title}'" + (f' of {len(sheets)}' if len(sheets) > 1 else '')
    return table_of_grid(_grid(filled[title], path, title), options, understanding)

    return replace(options, subset=None)


def _without_values(content: bytes) -> int:
    """How many cells hold a formula without its value, as programs write them that compute nothing."""
    with opened_archive(io.BytesIO(content)) as book:
        sheets = [name for name in book.namelist() if name.startswith('xl/worksheets/') and name.endswith('.xml')]
        return sum(len(FORMULA.findall(book.read(name))) for name in sheets)


def _rows(sheet: Any) -> list[tuple[int, list[str]]]:
    """The rows with text and their numbers.

    Raises:
        ValueError: it is larger than a sheet can be, or than the memory should hold.
    """
    sheet.reset_dimensions()  # what the sheet says of its size may be wrong, or enormous
    rows, width = [], 0
    for number, cells in _texts(sheet):
        if number > MOST_ROWS:
            raise ValueError(f'a row after the {MOST_ROWS:,} that a sheet can have')
        if any(cells):
            rows.append((number, cells))
            width = max(width, len(cells))
        if len(rows) * width > MOST_CELLS:
            raise ValueError(f'{len(rows):,} rows or more of {width:,} columns, more than {MOST_CELLS:,} cells')
    return rows


def _texts(sheet: Any) -> Iterator[tuple[int, list[str]]]:
    for number, row in enumerate(sheet.iter_rows(values_only=True), start=1):
        cells = [_text(value) for value in row]
        while cells and not cells[-1]:
            cells.pop()
        yield number, cells


def _text(value: Any) -> str:
    if value is None:
        return ''
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, date):
        return value.isoformat()
    return str(value).strip()


def _grid(rows: list[tuple[int, list[str]]], path: str, title: str) -> Grid:
    width = max(len(cells) for _, cells in rows)
    numbers = [number for number, _ in rows[1:]]
    table = [cells + [''] * (width - len(cells)) for _, cells in rows]
    columns = [Column(one_form(name)) for name in table[0]]
    for column, cells in zip(columns, zip(*table[1:], strict=True), strict=True):
        column.add(cells)
    return Grid(path, columns, True, len(numbers), lambda row: f"sheet '{title}', row {numbers[row]}")
