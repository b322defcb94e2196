"""Tables of known data sets whose columns are easily taken for something else: read rightly, or asked about."""

import pytest
from PIL import Image

from cssa_mm.datasets import TableDataset
from cssa_mm.errors import DataError


@pytest.fixture
def read(tmp_path):
    """read('content', name='labels.csv', **options) -> the data set; images are 1.jpg to 8.jpg."""
    for number in range(1, 9):
        Image.new('RGB', (4, 4)).save(tmp_path / f'{number}.jpg')

    def make(content, name='labels.csv', **options) -> TableDataset:
        (tmp_path / name).write_text(content, 'utf-8')
        return TableDataset(**dict(data_root=str(tmp_path), ann_file=name) | options)

    return make


def table(header, *rows):
    return '\n'.join([header, *rows]) + '\n'


def shown(data):
    """Image -> the names that it shows, None where it is unlabelled."""
    return {
        image_id: [name for name, value in zip(data.class_names, row, strict=True) if value == 1]
        for image_id, row in zip(data.image_ids, data.labels.tolist(), strict=True)
        if max(row) >= 0
    }


def kinds(data):
    return [question.kind for question in data.understanding.questions]


@pytest.mark.parametrize('header_end', ['', ' '])
@pytest.mark.parametrize('row_end', ['', ' '])
def test_a_header_without_the_images_is_not_shifted_by_a_blank_at_the_end_of_a_line(read, header_end, row_end):
    lines = [f'1.jpg -1  1 -1{row_end}', f'2.jpg  1 -1  1{row_end}']
    data = read(table(f'2\nBald Male Young{header_end}', *lines), 'list_attr.txt')
    assert data.class_names == ['Bald', 'Male', 'Young']
    assert shown(data) == {'1.jpg': ['Male'], '2.jpg': ['Bald', 'Young']}


def test_columns_of_words_beside_a_single_one_of_yes_or_no_are_asked_about(read):
    rows = [f'{k}.jpg,{["red", "blue"][k % 2]},{["a", "b", "c"][k % 3]},{k // 2 % 2}' for k in range(1, 9)]
    content = table('file,color,shape,is_good', *rows)
    assert kinds(read(content)) == ['column_role']
    assert kinds(read(content, ignore_columns=('color', 'shape'))) == []
    assert read(content, label_column='color').class_names == ['blue', 'red']


def test_words_beside_more_columns_of_yes_or_no_are_no_question(read):
    rows = [f'{k}.jpg,{["red", "blue"][k % 2]},{k % 2},{k // 2 % 2}' for k in range(1, 9)]
    assert kinds(read(table('file,color,round,big', *rows))) == []


def test_a_flag_in_a_row_an_image_is_not_silently_taken_for_the_value_of_the_class(read):
    rows = [f'{k}.jpg,{["nevus", "melanoma"][k % 2]},{k % 2}' for k in range(1, 9)]
    content = table('image,diagnosis,target', *rows)
    assert kinds(read(content)) == ['row_values']
    data = read(content, ignore_columns=('target',))
    assert kinds(data) == []
    assert shown(data)['2.jpg'] == ['nevus']


def test_numbers_of_classes_in_a_column_called_label_are_asked_about(read):
    rows = [f'{k}.jpg,{name},{number}' for k in range(1, 9) for number, name in enumerate(['cat', 'dog'])]
    assert kinds(read(table('image,name_of_class,label', *rows), label_column='name_of_class')) == ['row_values']


def test_values_that_differ_within_a_class_are_no_question(read):
    rows = [f'{k}.jpg,{name},{(k + number) % 2}' for k in range(1, 9) for number, name in enumerate(['cat', 'dog'])]
    data = read(table('image,label,present', *rows))
    assert kinds(data) == []
    assert shown(data)['1.jpg'] == ['cat']


def test_whether_labels_were_verified_says_nothing_of_the_image(read):
    entries = [f'{{"image": "{k}.jpg", "verified": false, "annotations": [{{"label": "cat"}}]}}' for k in (1, 2)]
    assert shown(read(table('', *entries), 'a.jsonl')) == {'1.jpg': ['cat'], '2.jpg': ['cat']}


def test_people_who_name_other_classes_for_an_image_are_asked_about(read):
    content = table('image,annotator,label', '1.jpg,ann,cat', '1.jpg,bob,cat', '2.jpg,ann,cat', '2.jpg,bob,dog')
    data = read(content)
    assert kinds(data) == ['annotators_disagree']
    assert "for 1 of them ('2.jpg')" in data.understanding.questions[0].text
    assert kinds(read(content, ignore_columns=('annotator',))) == []


def test_people_who_agree_and_those_who_share_the_work_are_no_question(read):
    rows = ['1.jpg,ann,cat', '1.jpg,ann,dog', '1.jpg,bob,dog', '1.jpg,bob,cat', '2.jpg,bob,dog', '2.jpg,bob,cat']
    assert kinds(read(table('image,worker_id,label', *rows))) == []
    assert kinds(read(table('image,worker_id,label', '1.jpg,ann,cat', '1.jpg,bob,none')))[0] == 'annotators_disagree'


@pytest.mark.parametrize('header', ['Image_Label', 'ImageId_ClassId'])
def test_ids_that_end_in_the_class_are_parted_where_masks_follow(read, header):
    rows = [
        f'{k}.jpg_{name},{"1 3 5 3" if k == number else ""}'
        for k in (1, 2)
        for number, name in ((1, 'Fish'), (2, 'Sugar'))
    ]
    assert shown(read(table(f'{header},EncodedPixels', *rows))) == {'1.jpg': ['Fish'], '2.jpg': ['Sugar']}


def test_masks_are_not_read_as_class_names(read):
    with pytest.raises(DataError, match="found masks in the column 'EncodedPixels', expected class names"):
        read(table('ImageId,EncodedPixels', '1.jpg,1 3 5 3', '2.jpg,'))


@pytest.mark.parametrize('key', ['value', 'present', 'selected', 'checked'])
@pytest.mark.parametrize(('yes', 'no'), [('true', 'false'), ('1', '0')])
def test_an_entry_of_a_list_that_is_marked_as_not_shown_is_negative(read, key, yes, no):
    def entry(name, flag):
        return f'{{"name": "{name}", "{key}": {flag}}}'

    lists = [f'[{entry("cat", yes)}, {entry("dog", no)}]', f'[{entry("dog", yes)}]']
    data = read(table('', *(f'{{"image": "{k}.jpg", "labels": {text}}}' for k, text in enumerate(lists, 1))), 'a.jsonl')
    labels = dict(zip(data.image_ids, data.labels.tolist(), strict=True))
    assert data.class_names == ['cat', 'dog']
    assert (labels['1.jpg'], labels['2.jpg'][1]) == ([1, 0], 1)


def test_labels_with_scores_are_asked_about(read):
    entry = '{"image": "1.jpg", "labels": [{"name": "cat", "score": %s}]}'
    assert kinds(read(entry % '0.31' + '\n', 'a.jsonl')) == ['scores']
    assert kinds(read(entry % '1' + '\n', 'a.jsonl')) == []
