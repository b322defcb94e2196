"""Classes and their prompts from lists, dicts and files, in any common encoding."""

import json

import pytest

from cssa_mm.datasets import class_words as module
from cssa_mm.datasets.class_words import ClassWords, class_words, decode_class_words, read_class_words, same_classes
from cssa_mm.errors import DataError


def test_a_class_is_prompted_by_its_name_unless_other_words_are_given():
    found = ClassWords.of({'dog': [], 'A1': ['rust'], 'B2': ['a', 'b']})
    assert found.names == ('dog', 'A1', 'B2')
    assert found.prompts == (('dog',), ('rust',), ('a', 'b'))
    assert found.wordings == ['dog', 'rust', ('a', 'b')]
    assert not found.is_plain
    assert ClassWords.of({'dog': [], 'cat': ['cat']}).is_plain


def test_lists_and_dicts():
    assert class_words(['dog', ' traffic\u00a0light ', 7], 'x') == {'dog': [], 'traffic light': [], '7': []}
    given = {'A1': 'rust', 'B2': ['mould', 'mildew '], 'C3': None, 'D4': [], 'E5': '', 'dog': 'dog'}
    expected = {'A1': ['rust'], 'B2': ['mould', 'mildew'], 'C3': [], 'D4': [], 'E5': [], 'dog': []}
    assert class_words(given, 'x') == expected


@pytest.mark.parametrize(
    ('source', 'message'),
    [
        (['dog', ''], 'x: found an empty name in place 2'),
        (['\ufeff'], 'x: found an empty name in place 1'),
        (['dog', True], 'found the name True in place 2, expected text; write it in quotes'),
        (['dog', float('nan')], 'found the name nan in place 2'),
        ([None], 'found the name None'),
        ([1.5], 'found the name 1.5'),
        ([['dog']], 'found the name'),
        (['a\x00'], 'with control characters'),
        (['cafe\u0301', 'caf\u00e9'], 'twice'),
        ({'a': 3}, "found the prompt 3 of 'a'"),
        ({'a': ['b', 3]}, 'found the prompt'),
        (3, 'found 3, expected a list'),
    ],
)
def test_what_is_no_list_of_names_is_refused(source, message):
    with pytest.raises(DataError, match='x: ') as error:
        class_words(source, 'x')
    assert message in str(error.value)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    'content',
    [
        'sun\ncaf\u00e9 bar\n'.encode(),
        '\ufeffsun\r\ncafe\u0301 bar'.encode(),
        'sun\n\ncaf\u00e9\u00a0bar\n'.encode('utf-16'),
        'sun\ncaf\u00e9 bar\n'.encode('cp1252'),
        b'name\nsun\ncaf\xc3\xa9 bar\n',
    ],
)
def test_one_name_a_line_in_any_encoding(content):
    path = 'x/classes.csv' if content.startswith(b'name') else 'x/classes.txt'
    assert decode_class_words(content, path) == {'sun': [], 'caf\u00e9 bar': []}


def test_an_encoding_that_was_guessed_is_said_once_with_an_example(monkeypatch):
    said = []
    monkeypatch.setattr(module, 'print_log', lambda message, *args: said.append(message))
    for _ in range(2):
        decode_class_words('dog\nk\u00e4fer\n'.encode('cp1252'), 'odd/classes.txt')
        decode_class_words('dog\nk\u00e4fer\n'.encode(), 'utf/classes.txt')
    assert len(said) == 1
    assert said[0].startswith('odd/classes.txt: ')
    assert 'k\u00e4fer' in said[0]


@pytest.mark.parametrize(
    'text',
    [
        'name,prompt\nA1,a healthy leaf\nB2,"rust, on leaf;leaf rust"\n',
        'Name;Prompts\nA1;a healthy leaf\nB2;"rust, on leaf;leaf rust"\n',
        'sep=;\nname;prompt\nA1;a healthy leaf\nB2;"rust, on leaf;leaf rust"\n',
        'id\tprompt\tname\n1\ta healthy leaf\tA1\n2\trust, on leaf;leaf rust\tB2\n',
        '\nname,prompt\n\nA1,"a healthy\nleaf"\nB2,"rust, on leaf"\n\nB2,leaf rust\n',
        '\ufeffname,prompt\nA1,a healthy leaf\nB2,"rust, on leaf ; ; leaf rust"\nB2,leaf rust\n',
    ],
)
def test_a_table_of_names_and_prompts(text):
    expected = {'A1': ['a healthy leaf'], 'B2': ['rust, on leaf', 'leaf rust']}
    for name in ('classes.csv', 'words.csv', 'classes.txt', 'words.tsv'):
        assert read_class_words(text, name) == expected


def test_a_blank_prompt_stands_for_the_name():
    text = 'name,prompt\ndog\ncat,\nB2,mould\nB2,\n'
    assert read_class_words(text, 'classes.csv') == {'dog': [], 'cat': [], 'B2': ['mould', 'B2']}


def test_json_lists_and_objects():
    assert read_class_words(json.dumps(['dog', 'caf\u00e9']), 'x.json') == {'dog': [], 'caf\u00e9': []}
    assert read_class_words('{"A1": "rust", "B2": ["a", "b"]}', 'x.json') == {'A1': ['rust'], 'B2': ['a', 'b']}


@pytest.mark.parametrize(
    ('text', 'name'),
    [
        ('image,labels\na.jpg,dog\n', 'labels.csv'),
        ('name,labels\na.jpg,dog\n', 'labels.csv'),
        ('filename,dog,cat\na.jpg,1,0\n', '_classes.csv'),
        ('', 'labels.csv'),
        ('[{"data": {}}]', 'x.json'),
        ('{"images": [], "annotations": [{}]}', 'x.json'),
        ('{"metainfo": {"classes": ["a"]}, "data_list": []}', 'x.json'),
    ],
)
def test_label_files_are_told_from_class_files(text, name):
    assert read_class_words(text, name) is None


@pytest.mark.parametrize(
    ('text', 'name', 'message'),
    [
        ('', 'classes.txt', 'found no name'),
        ('\n \n', 'classes.txt', 'found no name'),
        ('name,prompt\n', 'x.csv', 'found no name'),
        ('dog\ncat\ndog\n', 'classes.txt', "found 'dog' twice"),
        ('name\ndog\ndog\n', 'classes.csv', "found 'dog' twice"),
        ('dog,cat,bird\n', 'classes.txt', "found the line 'dog,cat,bird', expected one name a line"),
        ('A1,rust\nB2,mould\n', 'classes.csv', "expected the header 'name,prompt'"),
        ('0 dog\n1 cat\n', 'classes.txt', "found numbered lines such as '0 dog'"),
        ('1: dog\n2: cat\n', 'classes.txt', 'found numbered lines'),
        ('name,prompt\ndog,a dog, outdoors\n', 'x.csv', 'x.csv, line 2: found 3 cells, expected the 2'),
        ('name,prompt\n,a dog\n', 'x.csv', 'x.csv, line 2: found an empty name'),
        ('dog\x00', 'classes.txt', 'control characters'),
        ('{"0": "dog", "1": "cat"}', 'x.json', 'found numbers for names'),
        ('[', 'x.json', 'found no valid JSON'),
        ('["dog", ""]', 'x.json', 'found an empty name in place 2'),
    ],
)
def test_class_files_that_are_not_understood_are_refused_in_one_line(text, name, message):
    with pytest.raises(DataError) as error:
        read_class_words(text, name)
    assert str(error.value).startswith(name)
    assert message in str(error.value)
    assert '\n' not in str(error.value)


def test_a_name_may_hold_commas_and_begin_with_a_number_where_the_file_has_more_lines():
    assert read_class_words('knife, fork\n2 euro\n', 'classes.txt') == {'knife, fork': [], '2 euro': []}


def test_same_classes_in_other_spellings():
    assert same_classes(['Caf\u00e9 bar', 'jet_ski'], ['cafe\u0301-Bar', 'JetSki'])
    assert not same_classes(['dog', 'cat'], ['cat', 'dog'])
    assert not same_classes(['dog'], ['dog', 'cat'])
