"""Text tables: encodings, delimiters, headers and lines."""

import csv
import io
import sys

import numpy as np
import pytest

from cssa_mm.datasets.readers.tables.grid import Column
from cssa_mm.datasets.readers.tables.rows import RowReader
from cssa_mm.errors import DataError
from tests.datasets.readers.conftest import kinds, said

TABLE = 'image{d}labels\na.jpg{d}cat\nb.jpg{d}dog\n'
READ = {'a.jpg': '+cat -dog', 'b.jpg': '-cat +dog'}


@pytest.mark.parametrize('delimiter', [',', ';', '\t', '|', '  '])
@pytest.mark.parametrize('end', ['\n', '\r\n', '\r'])
def test_delimiters_and_line_ends_are_found(rows_of, delimiter, end):
    assert rows_of(TABLE.format(d=delimiter).replace('\n', end)) == READ


@pytest.mark.parametrize('first', ['sep=;', '"sep=;"', 'SEP=;', '\ufeffsep=;'])
def test_excel_s_first_line_tells_the_delimiter(rows_of, first):
    assert rows_of(f'{first}\nimage;labels\na.jpg;cat,dog\nb.jpg;dog\n') == {'a.jpg': '+cat +dog', 'b.jpg': '-cat +dog'}


@pytest.mark.parametrize(
    'encoding', ['utf-8', 'utf-8-sig', 'utf-16', 'utf-16-le', 'utf-16-be', 'utf-32', 'cp1252', 'latin-1']
)
def test_encodings_are_found(table_of, encoding):
    table = table_of('image,labels\na.jpg,café\nb.jpg,Straße\n'.encode(encoding))
    assert table.class_names == ['Straße', 'café']
    assert kinds(table) == []
    assert table.understanding.facts['encoding'][:6] == {'latin-1': 'cp1252'}.get(encoding, encoding)[:6].rstrip('-')


@pytest.mark.parametrize(
    ('encoding', 'word'), [('cp1251', 'собака'), ('shift_jis', 'ねこ'), ('gbk', '小狗'), ('mac_roman', 'café')]
)
def test_an_encoding_that_is_guessed_wrongly_is_asked_about_or_refused(table_of, refusal_of, encoding, word):
    content = f'image,labels\na.jpg,{word}\n'.encode(encoding)
    assert table_of(content, encoding=encoding).class_names == [word]
    try:
        table = table_of(content)
    except DataError:
        assert 'set encoding' in refusal_of(content)
    else:
        assert kinds(table) == ['encoding']


def test_an_encoding_that_is_given_must_fit(refusal_of):
    assert "encoding: found 'utf-9'" in refusal_of(TABLE, encoding='utf-9')
    assert 'found no text in ascii' in refusal_of('image,labels\na.jpg,café\n', encoding='ascii')
    assert 'found a ZIP or Excel file' in refusal_of(b'PK\x03\x04rest')


def test_the_delimiter_of_a_list_leaves_whole_image_names(rows_of):
    rows = rows_of('a.jpg\t0,1,0,0,1\nb.jpg\t1,0,0,0,0\n', 'list.txt', class_names=tuple('vwxyz'))
    assert rows == {'a.jpg': '-v +w -x -y +z', 'b.jpg': '+v -w -x -y -z'}


def test_celeba_s_count_and_header_without_the_image_are_read(rows_of):
    content = '2\nNo_Beard Smiling Young\n000001.jpg -1  1  1\n000002.jpg  1 -1 -1\n'
    assert rows_of(content, 'list_attr.txt') == {
        '000001.jpg': '-No_Beard +Smiling +Young',
        '000002.jpg': '+No_Beard -Smiling -Young',
    }


@pytest.mark.parametrize(
    ('content', 'known', 'expected'),
    [
        ('a.jpg,cat,dog\nb.jpg,dog\nc.jpg\n', (), {'a.jpg': '+cat +dog', 'b.jpg': '-cat +dog', 'c.jpg': '?'}),
        ('a.jpg cat\nb.jpg dog cat\n', (), {'a.jpg': '+cat -dog', 'b.jpg': '+cat +dog'}),
        ('a.jpg 0 2\nb.jpg 1\n', ('x', 'y', 'z'), {'a.jpg': '+x -y +z', 'b.jpg': '-x +y -z'}),
        ('a.jpg,0,1\nb.jpg,1,1\n', ('x', 'y'), {'a.jpg': '-x +y', 'b.jpg': '+x +y'}),
        ('a.jpg,1,-1\nb.jpg,-1,1\n', ('x', 'y'), {'a.jpg': '+x -y', 'b.jpg': '-x +y'}),
        ('gs://b/a.jpg,cat\ngs://b/b.jpg,dog\n', (), {'gs://b/a.jpg': '+cat -dog', 'gs://b/b.jpg': '-cat +dog'}),
        ('a.jpg,10,20,30,40,cat\nb.jpg,1,2,3,4,dog\nc.jpg,,,,,\n', (),
         {'a.jpg': '+cat -dog', 'b.jpg': '-cat +dog', 'c.jpg': '?'}),
    ],
)  # fmt: skip
def test_lists_without_header_are_read(table_of, content, known, expected):
    table = table_of(content, 'list.txt', class_names=known)
    assert said(table) == expected
    assert table.where(0).endswith('line 1')
    assert table.understanding.facts['header'] == 'none: the first line is a row'


def test_blank_lines_remarks_and_trailing_delimiters_are_left_out(table_of):
    table = table_of('# by Ann, in May\n\nimage,labels,\na.jpg,cat,\n\n,,\n# not sure\nb.jpg,dog,\n')
    assert said(table) == READ
    assert [table.where(row).rpartition(' ')[2] for row in range(2)] == ['4', '8']
    assert said(table_of('#filename,labels\na.jpg,cat\nb.jpg,dog\n')) == READ
    assert said(table_of('image,labels\n#1.jpg,cat\nb.jpg,dog\n')) == {'#1.jpg': '+cat -dog', 'b.jpg': '-cat +dog'}


def test_places_count_lines_of_the_file_whatever_is_quoted(refusal_of):
    content = 'image,cat,dog,note\na.jpg,1,0,"two\nlines"\n\nb.jpg,0,1,""\nc.jpg,1,maybe,""\n'
    assert refusal_of(content).startswith("labels.csv, line 6: found 'maybe'")


def test_a_short_row_and_one_with_a_trailing_delimiter_do_not_make_up_for_each_other(rows_of):
    assert rows_of('image,labels,x\na.jpg,cat\nb.jpg,dog,1,\n', label_column='labels') == READ


def test_a_column_whose_cells_begin_to_differ_late_is_read_whole():
    cells = ['same'] * 1500 + [f'{number} ' for number in range(40_000)] + ['same', '1']
    column = Column('x')
    for start in range(0, len(cells), 1000):
        column.add(cells[start : start + 1000])
    assert column.cells() == [cell.strip() for cell in cells]
    assert (column.first('39999'), column.first('other'), column[1500]) == (41_499, -1, '0')


def test_a_row_with_more_cells_than_the_header_is_refused(refusal_of):
    assert refusal_of('image,labels\na.jpg,cat\nb.jpg,cat,dog\n').startswith('labels.csv, line 3: found 3 cells')


def test_quotes_that_do_not_close_are_refused(refusal_of):
    assert 'quotes that close' in refusal_of('image,labels\na.jpg,"cat\nb.jpg,dog\n')


def test_random_text_is_read_as_the_standard_library_reads_it():
    """Oracle: csv.reader, over texts with blank lines, quotes, other alphabets and ragged rows, in small pieces."""
    rng = np.random.default_rng(0)
    parts = ['a', 'bé', '猫', '', ' x', 'y ', '1', '0', '"q,q"', '"li\nne"', '-1', 'long text']
    for trial in range(300):
        delimiter = str(rng.choice([',', ';', '\t', '|']))
        end = str(rng.choice(['\n', '\r\n', '\r']))
        quotes = trial % 3 == 0
        lines = []
        for _ in range(rng.integers(0, 40)):
            cells = rng.choice(parts if quotes else parts[:8], 3 if rng.random() < 0.9 else rng.integers(0, 4))
            lines.append(delimiter.join(cells))
        text = end.join(lines) + (end if trial % 2 else '')
        rows = csv.reader(io.StringIO(text, newline=''), delimiter=delimiter, skipinitialspace=True, strict=True)
        expected = [[c.strip() for c in row] + [''] * (3 - len(row)) for row in rows if any(row)]
        grid = RowReader('t.csv', text.encode(), 'utf-8', 0, delimiter, ['x', 'y', 'z']).grid()
        assert [list(row) for row in zip(*(column.cells() for column in grid.columns), strict=True)] == expected


def test_a_table_of_many_rows_is_read_piece_by_piece(rows_of):
    """Oracle: what was written; more rows than a piece holds, and a column that has many distinct cells late."""
    count = 9000
    lines = ['image,labels,x'] + [
        f'{i:05d}.jpg,{"cat" if i % 2 else "dog;cat"},{i if i > 5000 else 1}' for i in range(count)
    ]
    rows = rows_of('\n'.join(lines), label_column='labels')
    assert len(rows) == count
    assert all(rows[f'{i:05d}.jpg'] == ('+cat -dog' if i % 2 else '+cat +dog') for i in range(count))


def test_progress_is_shown_on_a_terminal_only_and_for_large_files_only(rows_of, capsys, monkeypatch):
    monkeypatch.setattr('cssa_mm.datasets.readers.tables.rows.LARGE', 10)
    rows_of(TABLE.format(d=','))
    assert capsys.readouterr().err == ''
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: True, raising=False)
    rows_of(TABLE.format(d=','))
    assert 'labels.csv' in capsys.readouterr().err


@pytest.mark.parametrize('content', [b'\xad', b'\xef\xbb\xbf', b'\xe2\x80\x8b'])
def test_a_file_of_invisible_characters_is_refused_in_one_line(refusal_of, content):
    assert '\n' not in refusal_of(content)
