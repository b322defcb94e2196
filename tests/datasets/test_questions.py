import numpy as np
import pytest

from cssa_mm.datasets.class_words import ClassWords
from cssa_mm.datasets.coco import COCO_CLASSES
from cssa_mm.datasets.name_questions import questions_of_names
from cssa_mm.datasets.nuswide import NUSWIDE_CLASSES
from cssa_mm.datasets.questions import (
    accepted_kinds,
    is_open,
    questions_of,
    questions_of_labels,
    shared_groups,
)
from cssa_mm.datasets.readers.understanding import Question, Understanding
from cssa_mm.datasets.voc import VOC_CLASSES
from cssa_mm.demo.scenes import CLASS_NAMES
from cssa_mm.errors import ConfigError

FIELD = dict(voc=VOC_CLASSES, coco=COCO_CLASSES, nus=NUSWIDE_CLASSES, demo=CLASS_NAMES)
MANY = [*CLASS_NAMES, *(f'thing {number}' for number in range(500))]


def kinds(names, **options):
    return {question.kind: question.text for question in questions_of_names(names, **options)}


@pytest.mark.parametrize('names', [*FIELD.values(), MANY], ids=[*FIELD, 'many'])
def test_the_classes_of_the_field_and_of_the_demo_raise_no_question(names):
    assert questions_of_names(names) == []


@pytest.mark.parametrize(
    ('kind', 'suspicious'),
    [
        ('marks_in_names', ["['Comedy'", "'Drama']", '{"choices": [cat', '"cat"', '“cat”', 'a [b]', '#cat', '- cat']),
        ('scores_in_names', ['cat:0.9', 'cat (0.87)', 'cat 1.0', 'cat=.5', 'cat (87%)', 'cat 12,5 %']),
        ('derived_names', ['sun_pred', 'cloud prob', 'sun-score', 'Traffic_Light_confidence']),
        ('joined_names', ['sun cloud', 'sun,cloud', 'cloud | sun', 'traffic light sun', 'sun cloud traffic light',
                          'sun_cloud', 'cloud-sun']),
        ('wrong_encoding', ['cafÃ©', 'MÃ¼hle', 'â€œsun', 'black &amp; white']),
        ('names_are_numbers', ['1', '07', '-2.5', '1:2', '50%']),
        (
            'missing_value_names',
            ['nan', 'N/A', '-', 'None', 'NULL', '<NA>', 'Unknown', 'No Finding', '?', 'empty', 'Background'],
        ),
        (
            'column_names',
            ['Unnamed: 0', 'index', 'id', 'fold', 'Split', 'is_valid', 'width', 'height', 'URL', 'file name',
             'filename', '_background_', 'test', 'images'],
        ),
        ('codes', ['n01440764', 'C12', '/m/01g317', 'class_3', 'Q42', '5f2b9c01', '100CANON', 'http://x.org/Cat']),
    ],
)  # fmt: skip
def test_each_suspicious_name_is_asked_about_and_its_neighbours_are_not(kind, suspicious):
    ordinary = [
        'sun',
        'cloud',
        'traffic light',
        'hot dog',
        "driver's seat",
        'rock (stone)',
        'F-16 jet',
        'unknown man',
        'empty bottle',
        'bird count',
        'route 66',
        'engine (2.5 l)',
        'café',
        'São Paulo',
        't-shirt',
    ]
    for name in suspicious:
        (found,) = questions_of_names([*ordinary, name])
        assert found.kind == kind
        assert found.text.startswith(f"the class name '{name}'")
        assert found.fix


def test_all_names_of_a_kind_are_one_question_and_a_name_is_asked_about_once():
    (found,) = questions_of_names(['1', '2', '3', '4', 'cat'])
    assert "each of the 4 class names '1', '2', '3', ..." in found.text
    assert kinds(["'1'", 'sun', 'cloud', "sun 'cloud'"]).keys() == {'marks_in_names'}


@pytest.mark.parametrize(
    'pair',
    [('cat', 'cats'), ('box', 'boxes'), ('berry', 'Berries'), ('café', 'cafe'), ('Zürich', 'zurich'), ('U.S.', 'us')],
)
def test_names_that_differ_in_plural_accents_or_marks_are_asked_about(pair):
    assert kinds([*pair, 'glass', 'grass']).keys() == {'names_alike'}
    assert f"'{pair[0]}' and '{pair[1]}'" in kinds([*pair])['names_alike']


@pytest.mark.parametrize('pair', [('glass', 'grass'), ('gas', 'glas'), ('か', 'が'), ('🐱', '🐶'), ('bus', 'but')])
def test_other_names_are_no_spellings_of_one(pair):
    assert questions_of_names(pair) == []


def test_codes_with_words_of_their_own_are_no_question():
    names = ['n01440764', 'C12', 'dog']
    words = ClassWords(tuple(names), (('tench',), ('C12',), ('dog',)))
    labels = np.zeros((0, 3), np.int8)
    (found,) = questions_of(names, labels, words=words)
    assert (found.kind, "'C12'" in found.text, 'n01440764' in found.text) == ('codes', True, False)
    assert 'classes.csv (name,prompt)' in found.fix


# -- labels ---------------------------------------------------------------------------------------------------------


def labels_of(*rows):
    return np.array(rows, dtype=np.int8)


MIXED = labels_of((1, 0, 0), (1, 1, 0), (0, 0, 1), (0, 1, 0), (0, 0, 0), (-1, -1, -1))


def test_ordinary_labels_raise_no_question():
    assert questions_of_labels('abc', MIXED) == []
    assert questions_of_labels('abc', MIXED, is_test=True) == []
    assert questions_of_labels('abc', MIXED[:0]) == []


@pytest.mark.parametrize('is_test', [False, True])
def test_no_negative_at_all_is_asked_about_from_the_first_image(is_test):
    labels = np.where(MIXED == 0, np.int8(-1), MIXED)
    (found,) = questions_of_labels('abc', labels, is_test)
    assert found.kind == ('test_without_negatives' if is_test else 'no_negatives')
    assert ('an mAP over it means nothing' in found.text) == is_test
    assert "minus_one='no'" in found.fix
    assert questions_of_labels('abc', np.where(labels == 1, labels, np.int8(0)), is_test) == []


def test_no_positive_at_all_is_asked_about_in_training():
    labels = np.minimum(MIXED, 0)
    (found,) = questions_of_labels('abc', labels)
    assert found.kind == 'no_positives'
    assert questions_of_labels('abc', labels, is_test=True) == []  # an error, not a question


def test_a_class_in_every_image_is_asked_about_from_five_images_on():
    labels = MIXED.copy()
    labels[:5, 1] = 1
    (found,) = questions_of_labels(['cat', 'dog', 'cow'], labels)
    assert (found.kind, "'dog'" in found.text, "'cat'" in found.text) == ('class_in_every_image', True, False)
    assert questions_of_labels('abc', labels[:4]) == []
    labels[0, 1] = -1  # known of four only
    assert questions_of_labels('abc', labels) == []


def test_one_label_an_image_is_asked_about_from_five_images_on():
    single = np.eye(3, dtype=np.int8)[[0, 1, 2, 1, 0, 2]]
    (found,) = questions_of_labels('abc', single)
    assert (found.kind, 'each of the 6 labelled images' in found.text) == ('one_label_an_image', True)
    assert questions_of_labels('abc', single[:4]) == []
    assert questions_of_labels('abc', single, is_single=True) == []
    several = single.copy()
    several[0, 1] = 1
    assert questions_of_labels('abc', several) == []
    partly_known = single.copy()
    partly_known[0, 1] = -1
    assert questions_of_labels('abc', partly_known) == []


def test_folders_hold_one_class_an_image_by_their_nature():
    single = np.eye(3, dtype=np.int8)[[0, 1, 2, 1, 0, 2]]
    assert questions_of(['cat', 'dog', 'cow'], single, Understanding('photos', format='folders')) == []
    assert len(questions_of(['cat', 'dog', 'cow'], single, Understanding('photos', format='csv'))) == 1


def test_the_questions_of_the_reader_come_first_and_names_are_asked_about_in_training_only():
    understanding = Understanding('labels.csv', questions=[Question('paths', 'text', 'fix')])
    names = ['1', '2', '3']
    assert [found.kind for found in questions_of(names, MIXED, understanding)] == ['paths', 'names_are_numbers']
    assert [found.kind for found in questions_of(names, MIXED, understanding, is_test=True)] == ['paths']


def test_groups_in_both_sets_are_asked_about():
    assert shared_groups(None, {'a': 'x'}) == shared_groups({'a': 'x'}, {'b': 'y'}) == []
    (found,) = shared_groups({'a': 'x', 'b': 'y'}, {'c': 'y'})
    assert (found.kind, "the group 'y'" in found.text) == ('groups_in_both', True)


@pytest.mark.parametrize(
    ('option', 'expected'), [(None, ()), ([], ()), ('all', ('all',)), ('codes', ('codes',)), (['a', 'b'], ('a', 'b'))]
)
def test_accept_takes_all_or_kinds(option, expected):
    assert accepted_kinds(option) == expected


@pytest.mark.parametrize('option', [True, 3, [1], dict(codes=True)])
def test_accept_of_another_form_is_refused(option):
    with pytest.raises(ConfigError, match="^accept: found .*, expected 'all' or a list"):
        accepted_kinds(option)


def test_a_question_is_open_until_its_kind_or_all_is_accepted():
    question = Question('codes', 'text', 'fix')
    assert is_open(question, ())
    assert is_open(question, ['marks_in_names'])
    assert not is_open(question, ['codes'])
    assert not is_open(question, ['all'])


def test_a_beginning_that_all_names_share_is_asked_about_once():
    assert kinds(['label_cat', 'label_dog', 'Label_bird']).keys() == {'common_prefix'}
    assert questions_of_names(['label_cat', 'dog']) == []
    assert questions_of_names(['is_full', 'is_empty', 'red fox', 'red deer']) == []
