"""Excel workbooks."""

import builtins
import io
import re
import zipfile
from datetime import date

import pytest

from tests.datasets.readers.conftest import said

ROWS = [
    ['image', 'labels', 'taken'],
    ['a.jpg', 'cat; dog', date(2025, 1, 2)],
    ['b.jpg', 'dog', None],
    ['c.jpg', None, None],
]


def workbook(**sheets) -> bytes:
    openpyxl = pytest.importorskip('openpyxl')
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def test_the_sheet_with_rows_is_read(table_of):
    table = table_of(workbook(Notes=[['about']], Empty=[], Photos=[[], *ROWS]), 'l.xlsx')
    assert said(table) == {'a.jpg': '+cat +dog', 'b.jpg': '-cat +dog', 'c.jpg': '?'}
    assert table.where(0).endswith("l.xlsx, sheet 'Photos', row 3")
    assert table.understanding.facts['sheet'] == "'Photos' of 3"


def test_cells_of_numbers_and_truth_values_are_read(rows_of):
    rows = [['image', 'cat', 'dog'], ['a.jpg', 1, 0.0], ['b.jpg', True, False], [17, 0, None]]
    assert rows_of(workbook(S=rows), 'l.xlsx') == {'a.jpg': '+cat -dog', 'b.jpg': '+cat -dog', '17': '-cat ?dog'}


def test_formulas_whose_values_are_not_stored_are_asked_about(table_of):
    """openpyxl computes nothing, as other programs that write workbooks."""
    rows = [['image', 'labels'], ['a.jpg', 'cat'], ['b.jpg', '=LOWER("DOG")']]
    (question,) = table_of(workbook(S=rows), 'l.xlsx').understanding.questions
    assert (question.kind, question.text[:8]) == ('formulas_without_values', '1 cells ')
    assert not table_of(workbook(S=ROWS), 'l.xlsx').understanding.questions


def test_of_several_sheets_one_is_chosen(rows_of, refusal_of):
    content = workbook(Train=ROWS, Test=[ROWS[0], ['d.jpg', 'cow', None]])
    message = refusal_of(content, 'l.xlsx')
    assert "several sheets with rows, 'Train' (3 rows), 'Test' (1 rows)" in message
    assert 'set subset' in message
    assert rows_of(content, 'l.xlsx', subset='test') == {'d.jpg': '+cow'}


def test_what_is_no_workbook_is_refused(refusal_of):
    pytest.importorskip('openpyxl')
    assert 'found no Excel workbook' in refusal_of(b'no zip', 'l.xlsx')
    assert "found a '.xls' file, expected .xlsx" in refusal_of(b'', 'l.xls')
    assert 'found 0 rows' in refusal_of(workbook(S=[['image', 'labels']]), 'l.xlsx')


def edited(content: bytes, edit) -> bytes:
    """A workbook of whose sheet the XML is another."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(result, 'w', zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, edit(old.read(name)) if name.startswith('xl/worksheets/') else old.read(name))
    return result.getvalue()


def test_what_a_sheet_says_of_its_size_is_not_believed(rows_of, refusal_of):
    """Some programs write another; one of a million rows of 16,384 cells would never end."""
    whole = workbook(S=ROWS)
    for size in (b'A1:XFD1048576', b'A1:A1', b'B7'):
        content = edited(
            whole, lambda xml, size=size: re.sub(b'<dimension ref="[^"]*"', b'<dimension ref="%s"' % size, xml)
        )
        assert rows_of(content, 'l.xlsx') == {'a.jpg': '+cat +dog', 'b.jpg': '-cat +dog', 'c.jpg': '?'}
    far = edited(whole, lambda xml: xml.replace(b'<row r="3"', b'<row r="30000000000"'))
    assert 'a row after the 1,048,576 that a sheet can have' in refusal_of(far, 'l.xlsx')


def test_a_workbook_that_would_fill_the_memory_is_refused(refusal_of, monkeypatch):
    monkeypatch.setattr('cssa_mm.archives.UNPACKED', 10**6)
    bomb = edited(workbook(S=ROWS), lambda xml: xml.replace(b'</sheetData>', b' ' * 10**7 + b'</sheetData>'))
    assert len(bomb) < 30_000
    assert 'that unpacks to 10,0' in refusal_of(bomb, 'l.xlsx')
    monkeypatch.setattr('cssa_mm.datasets.readers.tables.sheets.MOST_CELLS', 8)
    assert '3 rows or more of 3 columns, more than 8 cells' in refusal_of(workbook(S=ROWS), 'l.xlsx')


def test_without_openpyxl_one_line_says_what_to_install(refusal_of, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **options):
        if name == 'openpyxl':
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, '__import__', without)
    assert "pip install 'cssa_mm[excel]'" in refusal_of(b'x', 'l.xlsx')
