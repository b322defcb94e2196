"""Tables with several rows an image: a label each, a value each, or boxes; and tables with parts of a data set."""

import numpy as np
import pytest

from tests.datasets.readers.conftest import kinds, said

OPEN_IMAGES = 'ImageID,Source,LabelName,Confidence\n1a,verification,cat,1\n1a,verification,dog,0\n2b,crowd,cat,{}\n'
BOXES = 'filename,width,height,class,xmin,ymin,xmax,ymax\n'
BOXES += 'a.jpg,9,9,cat,1,1,2,2\na.jpg,9,9,cat,3,3,4,4\na.jpg,9,9,dog,1,1,2,2\n'


def test_the_rows_of_an_image_are_joined(table_of):
    table = table_of('image,labels\na.jpg,cat\nb.jpg,dog\na.jpg,dog\nc.jpg,none\nd.jpg,\na.jpg,cow;cat\n')
    assert said(table) == {
        'a.jpg': '+cat +cow +dog', 'b.jpg': '-cat -cow +dog', 'c.jpg': '-cat -cow -dog', 'd.jpg': '?',
    }  # fmt: skip
    assert table.understanding.facts['joined'] == '6 rows of 4 images'
    assert [table.where(row).rpartition(' ')[2] for row in range(4)] == ['2', '3', '5', '6']


def test_a_blank_row_takes_nothing_from_the_other_rows_of_its_image(rows_of):
    rows = rows_of('image,labels\na.jpg,cat\na.jpg,\nb.jpg,\nb.jpg,none\nb.jpg,\nc.jpg,dog\n')
    assert rows == {'a.jpg': '+cat -dog', 'b.jpg': '-cat -dog', 'c.jpg': '-cat +dog'}


def test_via_s_csv_is_read(rows_of):
    header = 'filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n'
    cells = ['"{""name"":""rect"",""x"":1}","{""name"":""cat""}"', '"{}","{}"', '"{}","{""tags"":{}}"']
    content = header + ''.join(f'{i}.jpg,1,"{{}}",1,0,{cell}\n' for i, cell in enumerate(cells))
    assert rows_of(content) == {'0.jpg': '+cat', '1.jpg': '?', '2.jpg': '?'}
    assert rows_of(content, unannotated='negative') == {'0.jpg': '+cat', '1.jpg': '-cat', '2.jpg': '-cat'}


def test_boxes_are_joined_and_their_sizes_left(table_of):
    table = table_of(BOXES + 'b.jpg,9,9,dog,1,1,2,2\n')
    assert said(table) == {'a.jpg': '+cat +dog', 'b.jpg': '-cat +dog'}
    assert list(table.understanding.left) == ['width', 'height', 'xmin', 'ymin', 'xmax', 'ymax']


@pytest.mark.parametrize(('unannotated', 'expected'), [('negative', '-cat -dog'), ('unlabelled', '?')])
def test_an_image_without_box_is_what_unannotated_says(table_of, unannotated, expected):
    table = table_of(f'{BOXES}b.jpg,9,9,,,,,\n', unannotated=unannotated)
    assert said(table)['b.jpg'] == expected
    assert '1: ' in table.understanding.facts['rows without a class']


def test_values_say_what_is_shown_what_is_not_and_leave_the_rest_unknown(table_of):
    table = table_of(OPEN_IMAGES.format('1'))
    assert said(table) == {'1a': '+cat -dog', '2b': '+cat ?dog'}
    assert "'Confidence' of a row: yes 1 (2 cells); no 0 (1 cells)" in table.understanding.facts['values']
    assert said(table_of(OPEN_IMAGES.format('1'), blank='no'))['2b'] == '+cat -dog'


def test_scores_of_rows_are_refused(refusal_of, rows_of):
    message = refusal_of(OPEN_IMAGES.format('0.7'))
    assert "line 4: found 0.7 in 'Confidence', a score, expected 1 or 0" in message
    assert rows_of(OPEN_IMAGES.format('0.7'), ignore_columns=('Confidence',)) == {'1a': '+cat +dog', '2b': '+cat -dog'}


def test_values_that_are_all_1_are_asked_about(table_of):
    content = OPEN_IMAGES.replace('dog,0', 'dog,1').format('1')
    table = table_of(content)
    assert said(table) == {'1a': '+cat +dog', '2b': '+cat -dog'}
    assert kinds(table) == ['all_positive']
    assert said(table_of(content, blank='unknown')) == {'1a': '+cat +dog', '2b': '+cat ?dog'}


def test_contradictions_are_asked_about(table_of):
    table = table_of(OPEN_IMAGES.format('0') + '2b,crowd,cat,1\n')
    assert said(table)['2b'] == '+cat ?dog'
    assert kinds(table) == ['contradictions']
    table = table_of('image,labels\na.jpg,none\na.jpg,cat\n')
    assert (said(table), kinds(table)) == ({'a.jpg': '+cat'}, ['none_beside_labels'])


def test_a_row_for_each_image_and_class_in_the_id_is_read(rows_of, refusal_of):
    rows = rows_of('ID,Label\nID_1_any,1\nID_1_epidural,0\nID_2_any,0\nID_2_epidural,0\n')
    assert rows == {'ID_1': '+any -epidural', 'ID_2': '-any -epidural'}
    pairs = 'ID,Label\nID_1_any,1\nID_1_any,0\nID_2_epidural,0\nID_2_epidural,0\n'
    assert "in the column 'Label'" in refusal_of(pairs)
    # Without the rows of each class for each image it is a column label of 1 and 0.
    assert "in the column 'Label'" in refusal_of('ID,Label\nID_1_any,1\nID_1_epidural,0\nID_2_any,0\n')


def test_one_row_an_image_must_agree_where_each_class_has_a_column(table_of):
    table = table_of('image,cat,dog\na.jpg,1,0\na.jpg,0,0\n')
    assert (len(table), table.is_split) == (2, False)  # joined, or refused, where images are found


@pytest.mark.parametrize(
    ('header', 'train', 'test'),
    [('split', 'train', 'test'), ('is_valid', 'False', 'True'), ('is_train', '1', '0'), ('Set', 'Train', 'VAL')],
)
def test_the_part_of_the_data_set_is_chosen_or_asked_about(table_of, refusal_of, header, train, test):
    content = f'image,labels,{header}\na.jpg,cat,{train}\nb.jpg,dog,{test}\nc.jpg,dog,{train}\n'
    table = table_of(content)
    assert (len(table), kinds(table)) == (3, ['subset'])
    part = table_of(content, subset='train')
    assert said(part) == {'a.jpg': '+cat -dog', 'c.jpg': '-cat +dog'}
    assert kinds(part) == []
    assert part.where(1).endswith('line 4')
    assert list(said(table_of(content, subset='val' if header == 'Set' else 'test'))) == ['b.jpg']
    if header == 'split':
        assert "expected subset='dev'" in refusal_of(content, subset='dev')
    # A table of one part alone is nothing to ask about.
    assert kinds(table_of(content.replace(f'dog,{test}', f'dog,{train}'))) == []


def test_automl_s_sets_without_header_are_parts(table_of):
    content = 'TRAIN,gs://b/a.jpg,cat,dog\nTEST,gs://b/b.jpg,dog\nTRAIN,gs://b/c.jpg\n'
    assert kinds(table_of(content)) == ['subset']
    assert said(table_of(content, subset='train')) == {'gs://b/a.jpg': '+cat +dog', 'gs://b/c.jpg': '?'}


def test_too_many_labels_are_refused_before_they_fill_the_memory(refusal_of, monkeypatch):
    monkeypatch.setattr('cssa_mm.datasets.readers.tables.long_tables.MOST_CELLS', 20)
    content = 'image,labels\n' + ''.join(f'{i}.jpg,sentence {i}x\n' for i in range(9))
    assert 'found 9 different labels in 9 images' in refusal_of(content)


def test_random_rows_are_joined_as_written(rows_of):
    """Oracle: the pairs that were written, a row each, in any order, some twice."""
    rng = np.random.default_rng(3)
    for _ in range(60):
        count, names = int(rng.integers(2, 12)), ['cat', 'cow', 'dog']
        truth = rng.integers(0, 2, (count, 3))
        truth[0] = 1
        pairs = [(i, names[k]) for i, k in np.argwhere(truth)] + [
            (i, 'none') for i in range(count) if not truth[i].any()
        ]
        pairs += [pairs[int(k)] for k in rng.integers(len(pairs), size=4)]
        lines = [f'{pairs[k][0]}.jpg,{pairs[k][1]}' for k in rng.permutation(len(pairs))]
        rows = rows_of('image,label\n' + '\n'.join(lines))
        marks = '-+'
        assert rows == {
            f'{i}.jpg': ' '.join(f'{marks[v]}{n}' for v, n in zip(truth[i], names, strict=True)) for i in range(count)
        }
