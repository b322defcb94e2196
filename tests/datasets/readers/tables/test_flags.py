"""What the cells of class columns say."""

import numpy as np
import pytest

from tests.datasets.readers.conftest import kinds, said

WORDS = [('1', '0'), ('1.0', '0.0'), ('True', 'False'), ('TRUE', 'false'), ('yes', 'no'), ('Y', 'N'), ('ja', 'nein'),
         ('oui', 'non'), ('x', '0'), ('positive', 'negative'), ('+', '-'), ('on', 'off'), (' 1', ' 0 ')]  # fmt: skip


@pytest.mark.parametrize(('yes', 'no'), WORDS)
def test_yes_and_no_are_read_in_the_words_that_tables_use(rows_of, yes, no):
    rows = rows_of(f'image,cat,dog\na.jpg,{yes},{no}\nb.jpg,{no},\nc.jpg,{yes},{yes}\n')
    assert rows == {'a.jpg': '+cat -dog', 'b.jpg': '-cat ?dog', 'c.jpg': '+cat +dog'}


@pytest.mark.parametrize('word', ['nan', 'NaN', 'N/A', 'NA', '-', 'null', '?', '', '  '])
def test_words_for_missing_values_are_unknown(rows_of, word):
    assert rows_of(f'image,cat,dog\na.jpg,1,{word}\nb.jpg,0,1\n')['a.jpg'] == '+cat ?dog'


def test_a_word_of_ones_own_can_say_unknown(rows_of, refusal_of):
    table = 'image,cat,dog\na.jpg,1,unsure\nb.jpg,0,1\nc.jpg,1,0\n'
    assert "line 2: found 'unsure' in the column 'dog'" in refusal_of(table)
    assert "set unknown_word='unsure'" in refusal_of(table)
    assert rows_of(table, unknown_word=('Unsure',))['a.jpg'] == '+cat ?dog'


def test_minus_one_is_no_where_no_cell_is_0_in_the_whole_table(table_of):
    table = table_of('image,cat,dog\na.jpg,1,-1\nb.jpg,-1,1\nc.jpg,-1,-1\n')
    assert said(table) == {'a.jpg': '+cat -dog', 'b.jpg': '-cat +dog', 'c.jpg': '-cat -dog'}
    assert table.understanding.facts['-1'].startswith('no, as no cell is 0')
    assert table.understanding.facts['no'] == '-1 (4 cells)'
    unknown = table_of('image,cat,dog\na.jpg,1,-1\nb.jpg,-1,1\n', minus_one='unknown')
    assert said(unknown) == {'a.jpg': '+cat ?dog', 'b.jpg': '?cat +dog'}


def test_minus_one_is_unknown_where_a_cell_of_any_column_is_0(table_of):
    table = table_of('image,cat,dog\na.jpg,1,-1\nb.jpg,1.0,0\nc.jpg,-1.0,1\n')
    assert said(table) == {'a.jpg': '+cat ?dog', 'b.jpg': '+cat -dog', 'c.jpg': '?cat +dog'}
    assert table.understanding.facts['unknown'] == '-1 (1 cells), -1.0 (1)'
    assert said(table_of('image,cat,dog\na.jpg,1,-1\nb.jpg,1,0\n', minus_one='no'))['a.jpg'] == '+cat -dog'


def test_a_single_0_among_many_minus_ones_is_asked_about(table_of):
    rows = ''.join(f'{number}.jpg,1,-1\n' for number in range(150))
    assert kinds(table_of(f'image,cat,dog\n{rows}x.jpg,1,0\n')) == ['minus_one']


@pytest.mark.parametrize('yes', ['x', '1', 'X', 'yes'])
def test_a_table_without_no_is_refused_with_both_readings_of_a_blank(rows_of, refusal_of, yes):
    table = f'image,cat,dog\na.jpg,{yes},\nb.jpg,,{yes}\n'
    message = refusal_of(table)
    assert f'found {yes} (2 cells) and 2 blank cells but no cell that says no' in message
    assert "blank='no'" in message
    assert "blank='unknown'" in message
    assert rows_of(table, blank='no') == {'a.jpg': '+cat -dog', 'b.jpg': '-cat +dog'}
    assert rows_of(table, blank='unknown') == {'a.jpg': '+cat ?dog', 'b.jpg': '?cat +dog'}


def test_rows_that_are_blank_throughout_are_unlabelled_where_no_other_cell_is_blank(rows_of):
    assert rows_of('image,cat,dog\na.jpg,1,1\nb.jpg,,\n') == {'a.jpg': '+cat +dog', 'b.jpg': '?'}


def test_rows_that_are_blank_throughout_are_asked_about_where_blank_says_no(table_of):
    table = table_of('image,cat,dog\na.jpg,x,x\nb.jpg,,\n', blank='no')
    assert kinds(table) == ['blank_rows']
    assert 'line 3' in table.understanding.questions[0].text
    assert kinds(table_of('image,cat,dog\na.jpg,x,\nb.jpg,,x\n', blank='no')) == []


@pytest.mark.parametrize('cells', ['95%,5%\nb.jpg,1%,99%', '0.95,0.05\nb.jpg,0.2,0.8', '95,5\nb.jpg,20,80'])
def test_scores_and_percentages_are_refused(refusal_of, cells):
    assert 'by a threshold of yours' in refusal_of(f'image,cat,dog\na.jpg,{cells}\n')


def test_a_score_among_ones_and_zeros_is_refused_with_its_place(refusal_of):
    message = refusal_of('image,cat,dog\na.jpg,1,0\nb.jpg,0.7,1\nc.jpg,0,1\n')
    assert message.startswith("labels.csv, line 3: found '0.7' in the column 'cat', a score or percentage")


def test_yes_in_several_ways_is_asked_about(table_of):
    assert kinds(table_of('image,cat,dog\na.jpg,x,0\nb.jpg,1,0\n')) == ['mixed_words']
    assert kinds(table_of('image,cat,dog\na.jpg,X,0\nb.jpg,x,0\n')) == []


def test_facts_count_what_the_cells_say(table_of):
    facts = table_of('image,cat,dog\na.jpg,True,False\nb.jpg,,True\n').understanding.facts
    assert (facts['yes'], facts['no'], facts['unknown']) == ('True (2 cells)', 'False (1 cells)', 'blank (1 cells)')


def test_random_tables_with_random_words_are_read_as_written(rows_of):
    """Oracle: the matrix that was written."""
    rng = np.random.default_rng(0)
    for _ in range(60):
        yes, no = WORDS[rng.integers(len(WORDS))]
        count, width = rng.integers(2, 30), rng.integers(2, 6)
        truth = rng.integers(-1, 2, (count, width))
        truth[0, :2] = 1, 0
        names = [f'c{index}' for index in range(width)]
        cells = {1: yes, 0: no, -1: str(rng.choice(['', 'nan', 'N/A']))}
        lines = [','.join(['image', *names])]
        lines += [','.join([f'{row}.jpg', *(cells[value] for value in truth[row])]) for row in range(count)]
        marks = {1: '+', 0: '-', -1: '?'}
        expected = {
            f'{row}.jpg': ' '.join(f'{marks[v]}{n}' for v, n in zip(truth[row], names, strict=True))
            if (truth[row] >= 0).any()
            else '?'
            for row in range(count)
        }
        assert rows_of('\n'.join(lines)) == expected
