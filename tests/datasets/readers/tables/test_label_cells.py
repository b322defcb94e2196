"""Columns whose cells hold class names: words, separators, lists and numbers."""

import json

import numpy as np
import pytest

from tests.datasets.readers.conftest import kinds, said

LISTS = [
    ("['cat', 'dog']", "['cat']", '[]'),
    ('["cat", "dog"]', '["cat"]', '[]'),
    ("['cat' 'dog']", "['cat']", '[]'),
    ("array(['cat', 'dog'], dtype=object)", "array(['cat'])", 'array([])'),
    ("{'cat', 'dog'}", "{'cat'}", 'set()'),
    ("('cat', 'dog')", "('cat',)", '()'),
    ('[cat, dog]', '[cat]', '[]'),
    ('{"choices": ["cat", "dog"]}', 'cat', 'none'),
    ('[{"name": "cat"}, {"name": "dog"}]', '[{"name": "cat"}]', '[]'),
]


def quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


@pytest.mark.parametrize(('two', 'one', 'none'), LISTS)
def test_lists_in_cells_are_taken_apart(rows_of, two, one, none):
    rows = rows_of(f'image,labels\na.jpg,{quoted(two)}\nb.jpg,{quoted(one)}\nc.jpg,{quoted(none)}\nd.jpg,\n')
    assert rows == {'a.jpg': '+cat +dog', 'b.jpg': '+cat -dog', 'c.jpg': '-cat -dog', 'd.jpg': '?'}


def test_names_in_lists_keep_commas_quotes_and_blanks(table_of):
    names = ['a, b', "it's", 'say "x"', 'hot dog', 'x;y']
    table = table_of(f'image,labels\na.jpg,{quoted(json.dumps(names))}\nb.jpg,{quoted(repr(names[:2]))}\n')
    assert table.class_names == sorted(names)
    assert table.labels[1].sum() == 2


@pytest.mark.parametrize('cell', ["['cat' 'dog' ... 'cow']", "['cat' 'dog', 'cow']", "['cat', 'dog'"])
def test_lists_that_are_cut_or_broken_are_no_shorter_lists(table_of, refusal_of, cell):
    content = f'image,labels\na.jpg,{quoted(cell)}\nb.jpg,"[\'cat\']"\n'
    if cell.endswith(']'):
        assert 'line 2: found' in refusal_of(content)
    else:  # one name with a bracket, which is asked about wherever classes are checked
        assert cell in table_of(content).class_names


def test_values_in_cells_say_what_is_shown_and_what_is_not(rows_of):
    rows = rows_of([dict(image='a.jpg', labels=dict(cat=1, dog=0)), dict(image='b.jpg', labels=dict(dog=1))], 'l.json')
    assert rows == {'a.jpg': '+cat -dog', 'b.jpg': '?cat +dog'}


# ---------------------------------------------------------------- separators


@pytest.mark.parametrize(
    ('cells', 'shown'),
    [
        (['chair, red;cat|dog', 'cat|dog'], [{'chair, red', 'cat|dog'}, {'cat|dog'}]),
        (['chair, red', 'cat|dog'], [{'chair, red'}, {'cat|dog'}]),
        (['chair, red|x', 'x;y', 'none'], None),  # no single character fits all cells
    ],
)
def test_known_names_tell_which_of_several_characters_separates(table_of, cells, shown):
    lines = [f'{number}.jpg,{quoted(cell)}' for number, cell in enumerate(cells)]
    table = table_of('\n'.join(['image,labels', *lines]), class_names=('chair, red', 'cat|dog', 'x', 'y'))
    if shown is None:
        assert kinds(table) == ['mixed_separators']
        return
    assert not table.understanding.questions
    names = np.array(table.class_names, object)
    assert [set(names[row == 1]) for row in table.labels] == shown


@pytest.mark.parametrize('separator', [';', '|', ';;', ' ; ', '\n'])
def test_usual_separators_are_found(rows_of, separator):
    rows = rows_of(f'image,labels\na.jpg,"hot dog{separator}cat"\nb.jpg,cat\nc.jpg,none\n')
    assert rows == {'a.jpg': '+cat +hot dog', 'b.jpg': '+cat -hot dog', 'c.jpg': '-cat -hot dog'}


def test_several_separators_in_a_table_are_asked_about(table_of):
    table = table_of('image,labels\na.jpg,cat;dog\nb.jpg,"cow, big"\n')
    assert table.class_names == ['big', 'cat', 'cow', 'dog']
    assert kinds(table) == ['mixed_separators']
    assert (
        table_of('image,labels\na.jpg,cat;dog\nb.jpg,"cow, big"\n', label_separators=';').class_names[1] == 'cow, big'
    )


def test_blanks_separate_where_each_word_stands_alone_elsewhere(table_of):
    table = table_of('image,labels\na.jpg,rust scab\nb.jpg,scab\nc.jpg,rust\nd.jpg,healthy\n')
    assert said(table)['a.jpg'] == '-healthy +rust +scab'
    assert kinds(table) == []
    assert 'separated by blanks' in table.understanding.facts['labels']


@pytest.mark.parametrize(
    'cells',
    [
        # Kaggle's plants: most words recur or stand alone.
        ['healthy', 'scab frog_eye_leaf_spot complex', 'scab', 'complex', 'rust frog_eye_leaf_spot'],
        # Kaggle's planet: hardly a word stands alone, but others come between them.
        ['haze primary', 'agriculture clear primary water', 'clear primary', 'cloudy', 'clear road primary'],
    ],
)
def test_blanks_that_probably_separate_are_asked_about(table_of, cells):
    content = 'image,labels\n' + ''.join(f'{i}.jpg,{cell}\n' for i, cell in enumerate(cells))
    table = table_of(content)
    assert table.class_names == sorted({word for cell in cells for word in cell.split()})
    assert kinds(table) == ['separators']
    assert kinds(table_of(content, label_separators=' ')) == []


def test_many_tags_of_few_words_are_separated(table_of):
    rng = np.random.default_rng(0)
    words = [f'tag{index}' for index in range(9)]
    cells = {' '.join(sorted(rng.choice(words, rng.integers(2, 6), replace=False))) for _ in range(60)}
    table = table_of('image,tags\n' + ''.join(f'{i}.jpg,{cell}\n' for i, cell in enumerate(sorted(cells))))
    assert table.class_names == words
    assert kinds(table) == ['separators']


def test_names_of_several_words_are_never_cut(table_of):
    names = ['hot dog', 'dining table', 'cat']
    table = table_of('image,labels\n' + ''.join(f'{i}.jpg,{name}\n' for i, name in enumerate(names)))
    assert (table.class_names, kinds(table)) == (sorted(names), [])
    names = ['traffic light', 'traffic sign', 'stop sign', 'bus stop', 'bus lane']
    table = table_of('image,labels\n' + ''.join(f'{i}.jpg,{name}\n' for i, name in enumerate(names)))
    assert (table.class_names, kinds(table)) == (sorted(names), ['separators'])


def test_a_name_of_which_a_word_is_a_class_is_kept_and_asked_about(table_of):
    names = ['hot dog', 'ice cream', 'teddy bear', 'dog', 'tennis ball']
    table = table_of('image,labels\n' + ''.join(f'{i}.jpg,{name}\n' for i, name in enumerate(names)))
    assert (table.class_names, kinds(table)) == (sorted(names), ['separators'])


def test_words_that_partly_stand_alone_are_refused_with_both_readings(refusal_of, table_of):
    content = 'image,labels\na.jpg,hot dog\nb.jpg,dog\nc.jpg,cat\n'
    message = refusal_of(content)
    assert "blanks separate classes (3: 'cat', 'dog', 'hot')" in message
    assert "or stand within names (3: 'cat', 'dog', 'hot dog')" in message
    assert "set label_separators=' ' for the first, label_separators=';' for the second" in message
    assert table_of(content, label_separators=';').class_names == ['cat', 'dog', 'hot dog']
    assert table_of(content, label_separators=' ').class_names == ['cat', 'dog', 'hot']
    assert table_of(content, class_names=('dog', 'cat', 'hot dog')).class_names == ['cat', 'dog', 'hot dog']


def test_known_classes_tell_what_a_blank_is(rows_of):
    known = ('hot dog', 'dog', 'cat')
    assert rows_of('image,labels\na.jpg,hot dog\nb.jpg,dog\n', class_names=known)['a.jpg'] == '-dog +hot dog'
    assert rows_of('image,labels\na.jpg,cat dog\n', class_names=known) == {'a.jpg': '+cat +dog'}
    assert rows_of('image,labels\na.jpg,"Cat, black;dog"\nb.jpg,"Cat, black"\n', class_names=('Cat, black', 'dog'),
                   label_separators=';') == {'a.jpg': '+Cat, black +dog', 'b.jpg': '+Cat, black -dog'}  # fmt: skip


def test_in_a_table_with_a_row_a_label_a_cell_is_one_name(table_of):
    rows = 'a.jpg,hot dog\na.jpg,dog\nb.jpg,cat\nb.jpg,hot dog\n'
    table = table_of(f'image,labels\n{rows}')
    assert said(table) == {'a.jpg': '-cat +dog +hot dog', 'b.jpg': '+cat -dog +hot dog'}
    assert kinds(table) == ['separators']


# ---------------------------------------------------------------- words


def test_words_for_none_and_for_unlabelled_are_told_apart_and_counted(table_of):
    cells = ['cat', '', 'nan', 'N/A', '-', 'null', 'none', 'None', '[]']
    table = table_of('image,labels\n' + ''.join(f'{i}.jpg,{cell}\n' for i, cell in enumerate(cells)))
    assert list(said(table).values()) == ['+cat', *['?'] * 5, *['-cat'] * 3]
    assert table.understanding.facts['none of the classes'] == 'none, None, [] (3 rows)'
    assert table.understanding.facts['unlabelled'] == 'blank, nan, N/A, -, null (5 rows)'


def test_words_can_be_given(rows_of):
    content = 'image,labels\na.jpg,No Finding\nb.jpg,Mass|Edema\nc.jpg,todo\n'
    options = dict(none_word=('no finding', 'none'), unknown_word=('TODO',))
    assert rows_of(content, **options) == {'a.jpg': '-Edema -Mass', 'b.jpg': '+Edema +Mass', 'c.jpg': '?'}


def test_a_class_may_be_called_like_a_missing_value_where_it_is_known(rows_of):
    assert rows_of('image,labels\na.jpg,NA\nb.jpg,DE\n', class_names=('NA', 'DE'))['a.jpg'] == '-DE +NA'


@pytest.mark.parametrize('cell', ['none;cat', 'cat;nan'])
def test_none_or_unlabelled_beside_a_class_is_refused(refusal_of, cell):
    assert f"line 3: found '{cell}', which says" in refusal_of(f'image,labels\na.jpg,cat;dog\nb.jpg,{cell}\n')


# ---------------------------------------------------------------- numbers


def test_numbers_are_places_in_the_list_of_classes(table_of):
    table = table_of('Id,Target\n0a,2 0\n0b,1\n0c,\n', class_names=('x', 'y', 'z'))
    assert said(table) == {'0a': '+x -y +z', '0b': '-x +y -z', '0c': '?'}
    assert 'from 0: 2 is z (of 3)' in table.understanding.facts['numbers']


def test_numbers_without_names_are_classes(table_of):
    assert table_of('Id,Target\n0a,16 0\n0b,7 1 0\n').class_names == ['0', '1', '16', '7']
    assert table_of('image,label\na.jpg,3.0\nb.jpg,\nc.jpg,5.0\n').class_names == ['3', '5']


def test_numbers_that_are_no_places_are_refused(refusal_of):
    message = refusal_of('Id,Target\n0a,3 1\n0b,2\n', class_names=('x', 'y', 'z'))
    assert 'found the number 3 for a class (are they counted from 1?), expected 0 to 2' in message


VECTORS = ['"0,1,0,0,1"\nb.jpg,"1,0,0,0,0"', '"[0, 1, 0, 0, 1]"\nb.jpg,"[1, 0, 0, 0, 0]"']
VECTORS += ['0 1 0 0 1\nb.jpg,1 0 0 0 0', '[0. 1. 0. 0. 1.]\nb.jpg,[1. 0. 0. 0. 0.]']


@pytest.mark.parametrize('cells', VECTORS)
def test_vectors_of_1_and_0_follow_the_list_of_classes(rows_of, refusal_of, cells):
    content = f'image,labels\na.jpg,{cells}\n'
    expected = {'a.jpg': '-e +d -c -b +a', 'b.jpg': '+e -d -c -b -a'}
    assert rows_of(content, class_names=tuple('edcba')) == expected
    assert 'vectors of 5 numbers' in refusal_of(content)
    assert 'vectors of 5 numbers, expected the 3 classes' in refusal_of(content, class_names=tuple('abc'))


def test_random_cells_are_read_as_written(rows_of):
    """Oracle: the sets that were written."""
    rng = np.random.default_rng(1)
    names = ['cat', 'hot dog', 'Straße', '猫', "it's", 'T-shirt', 'a_b', 'x (y)']
    for _ in range(80):
        sets = [rng.choice(names, rng.integers(0, 5), replace=False).tolist() for _ in range(rng.integers(3, 20))]
        sets.append(names)
        form = rng.integers(4)
        write = (';'.join, lambda s: ' | '.join(s), repr, lambda s: json.dumps(s, ensure_ascii=False))[form]
        cells = [write(found) if found or form > 1 else 'none' for found in sets]
        content = 'image,labels\n' + ''.join(f'{i}.jpg,{quoted(cell)}\n' for i, cell in enumerate(cells))
        rows = rows_of(content)
        for i, found in enumerate(sets):
            assert rows[f'{i}.jpg'] == ' '.join(f'{"+" if name in found else "-"}{name}' for name in sorted(names))


def test_names_that_differ_in_case_or_blanks_alone_are_one_class_with_a_question(table_of):
    table = table_of('image,labels\na.jpg,dog;cat\nb.jpg,Dog\nc.jpg,dog\nd.jpg,none\n')
    assert table.class_names == ['cat', 'dog']
    [question] = [question for question in table.understanding.questions if question.kind == 'spellings']
    assert "'dog' and 'Dog'" in question.text
    assert 'classes.txt' in question.fix


def test_names_in_another_unicode_form_are_one_class_without_a_question(table_of):
    table = table_of('image,labels\na.jpg,caf\u00e9;cat\nb.jpg,cafe\u0301\nc.jpg,cat\nd.jpg,none\n')
    assert table.class_names == ['caf\u00e9', 'cat']
    assert 'spellings' not in [question.kind for question in table.understanding.questions]


@pytest.mark.parametrize('separator', ['；', '，', '、', '،'])
def test_the_commas_of_other_scripts_separate_names(table_of, separator):
    table = table_of(f'image,labels\na.jpg,猫{separator}狗\nb.jpg,猫\n')
    assert table.class_names == ['狗', '猫']
