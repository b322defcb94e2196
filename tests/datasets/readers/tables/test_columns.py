"""Which column of a table is what."""

import pytest

from tests.datasets.readers.conftest import kinds, said

CLASSES = 'a.jpg,1,0\nb.jpg,0,1\n'


@pytest.mark.parametrize(
    'name',
    ['image', 'filename', 'image_id', 'Image Index', 'ImageID', 'fname', 'path', 'file_name', 'Path', 'img', 'foto'],
)
def test_the_image_column_is_found_by_its_name_or_content(rows_of, name):
    assert rows_of(f'{name},cat,dog\n{CLASSES}') == {'a.jpg': '+cat -dog', 'b.jpg': '-cat +dog'}


@pytest.mark.parametrize('name', ['image', 'id', 'Id', 'id_code', 'ImageId'])
def test_ids_without_extension_are_images_by_the_name_of_their_column(rows_of, name):
    assert list(rows_of(f'{name},labels\n000a4bcb,cat\n000b4bcc,dog\n')) == ['000a4bcb', '000b4bcc']


def test_of_several_columns_with_images_the_one_that_is_called_so_is_taken(rows_of, refusal_of):
    assert list(rows_of('mask,image,labels\nm.png,a.jpg,cat\n')) == ['a.jpg']
    content = 'before,after,labels\na.jpg,b.jpg,cat\n'
    assert "found images in several columns, 'before' (a.jpg), 'after' (b.jpg)" in refusal_of(content)
    assert list(rows_of(content, image_column='after')) == ['b.jpg']


def test_names_of_columns_are_compared_without_blanks_and_case(rows_of, refusal_of):
    content = 'Image Index,Finding Labels\na.png,Mass|Edema\n'
    assert rows_of(content, image_column='ImageIndex', label_column='finding_labels') == {'a.png': '+Edema +Mass'}
    message = refusal_of(content, image_column='image')
    assert "found the columns 'Image Index', 'Finding Labels', expected one called 'image'" in message


@pytest.mark.parametrize(
    'name',
    ['labels', 'label', 'tags', 'Target', 'class', 'category', 'Finding Labels', 'genres', 'attribute_ids', 'etikett'],
)
def test_the_label_column_is_found_by_its_name_or_as_the_only_text(rows_of, name):
    rows = rows_of(f'image,width,{name},score_of_quality\na.jpg,640,cat;dog,7\nb.jpg,480,dog,9\n')
    assert rows == {'a.jpg': '+cat +dog', 'b.jpg': '-cat +dog'}


@pytest.mark.parametrize(
    ('column', 'cells'),
    [
        ('Unnamed: 0', '01'), ('', '01'), ('index', '23'), ('id', '12'), ('fold', '34'), ('kfold', '31'),
        ('width', ['640', '480']), ('url', ['http://x/a', 'http://x/b']), ('source', ['web', 'own']),
        ('date', ['2025-01-02', '2025-01-03']), ('text', ['a cat sits', 'a dog runs']),
        ('photographer', ['Ann', 'Bob']),
        ('Age', ['68', '1']), ('Sex', ['M', 'F']), ('AP/PA', ['AP', 'PA']), ('is_valid', ['False', 'False']),
    ],
)  # fmt: skip
@pytest.mark.parametrize('form', ['labels', 'columns'])
def test_columns_that_are_no_class_are_left_with_a_reason(table_of, form, column, cells):
    header, rows = ('labels', ['cat', 'dog']) if form == 'labels' else ('cat,dog', ['1,0', '0,1'])
    lines = [f'{column},image,{header}', f'{cells[0]},a.jpg,{rows[0]}', f'{cells[1]},b.jpg,{rows[1]}']
    table = table_of('\n'.join(lines))
    assert said(table) == {'a.jpg': '+cat -dog', 'b.jpg': '-cat +dog'}
    assert list(table.understanding.left) == [column or '(without a name)']
    assert kinds(table) == []


@pytest.mark.parametrize('name', ['split', 'fold', 'index'])
def test_a_class_that_is_called_like_no_class_is_left_and_asked_about(table_of, name):
    content = f'image,cat,dog,{name}\na.jpg,1,0,1\nb.jpg,0,1,0\nc.jpg,0,1,0\n'
    table = table_of(content)
    assert (table.class_names, kinds(table)) == (['cat', 'dog'], ['column_role'])
    assert kinds(table_of(content, ignore_columns=(name,))) == []
    assert said(table_of(content, class_names=('cat', name)))['a.jpg'] == f'+cat +{name}'


@pytest.mark.parametrize('name', ['verified', 'difficult', 'label', 'valid'])
def test_a_column_of_yes_and_no_that_may_be_no_class_is_asked_about(table_of, name):
    content = f'image,cat,dog,{name}\na.jpg,1,0,1\nb.jpg,0,1,0\n'
    table = table_of(content)
    assert kinds(table) == ['column_role']
    assert f"ignore_columns='{name}'" in table.understanding.questions[0].fix
    assert kinds(table_of(content, ignore_columns=(name,))) == []
    assert table_of(content, class_names=('cat', 'dog')).class_names == ['cat', 'dog']


def test_classes_may_have_names_that_other_columns_have(table_of):
    names = ['area', 'note', 'text', 'time', 'title']
    table = table_of(f'image,{",".join(names)}\na.jpg,1,0,0,1,0\nb.jpg,0,1,1,0,1\n')
    assert (table.class_names, kinds(table)) == (names, [])


def test_a_wrong_cell_makes_no_other_column_of_a_class(refusal_of):
    message = refusal_of('image,cat,dog\na.jpg,1,0\nb.jpg,0,1\nc.jpg,2,0\n')
    assert message.startswith("labels.csv, line 4: found '2' in the column 'cat', expected 1, 0, or blank")


def test_scores_beside_classes_are_left_and_asked_about(table_of):
    table = table_of('image,cat,dog\na.jpg,0.95,1\nb.jpg,0.1,0\n')
    assert (table.class_names, kinds(table)) == (['dog'], ['column_role'])


def test_columns_that_nobody_has_filled_in_are_asked_about(table_of):
    assert kinds(table_of('image,cat,dog\na.jpg,1,\nb.jpg,0,\n')) == ['column_role']


def test_text_about_an_image_is_no_label(rows_of):
    content = 'image,photographer,source,thing\na.jpg,Ann,web,cat\nb.jpg,Bob,own,dog\n'
    assert rows_of(content) == {'a.jpg': '+cat -dog', 'b.jpg': '-cat +dog'}


def test_ignored_columns_are_left_and_must_be_there(table_of, refusal_of):
    content = f'image,cat,dog\n{CLASSES}'
    table = table_of(content, ignore_columns=('dog',))
    assert (table.class_names, table.understanding.left) == (['cat'], {'dog': 'ignore_columns names it'})
    assert "expected one called 'dgo'. Did you mean 'dog'?" in refusal_of(content, ignore_columns=('dgo',))


def test_several_columns_of_names_are_refused_unless_they_are_one_in_several(rows_of, refusal_of):
    assert rows_of('image,tag1,tag2\na.jpg,cat,dog\nb.jpg,cow,\n')['a.jpg'] == '+cat -cow +dog'
    content = 'image,colour,shape\na.jpg,red,round\nb.jpg,blue,square\n'
    assert "several that may hold labels, 'colour' (red), 'shape' (round)" in refusal_of(content)
    assert rows_of(content, label_column='shape')['a.jpg'] == '+round -square'


def test_labels_beside_columns_of_classes_must_say_the_same(table_of):
    content = "image,genre,Action,Comedy\na.jpg,\"['Action']\",1,0\nb.jpg,\"['Comedy', 'Action']\",1,{}\n"
    same = table_of(content.format(1))
    assert kinds(same) == []
    assert same.understanding.facts['also'] == "2 columns of yes or no say the same as 'genre'"
    other = table_of(content.format(0))
    assert kinds(other) == ['two_label_forms']
    assert 'contradict it in 1 rows' in other.understanding.questions[0].text
    assert kinds(table_of(content.format(0), label_column='genre')) == []
    assert said(table_of(content.format(0), ignore_columns=('genre',)))['b.jpg'] == '+Action -Comedy'


def test_one_column_label_of_1_and_0_is_refused_with_both_readings(rows_of, refusal_of):
    content = 'image,label\na.jpg,0\nb.jpg,1\n'
    message = refusal_of(content)
    assert "label_column='label'" in message
    assert "class_names=['label']" in message
    assert rows_of(content, label_column='label') == {'a.jpg': '+0 -1', 'b.jpg': '-0 +1'}
    assert rows_of(content, class_names=('label',)) == {'a.jpg': '-label', 'b.jpg': '+label'}
    assert rows_of(content, class_names=('cat', 'dog')) == {'a.jpg': '+cat -dog', 'b.jpg': '-cat +dog'}


def test_a_class_that_has_no_column_is_named_with_the_nearest_one(refusal_of):
    message = refusal_of(f'image,cat,dgo\n{CLASSES}', class_names=('cat', 'dog'))
    assert "found no class 'dog' among its 2 categories" in message
    assert "Did you mean 'dgo'?" in message


def test_doubled_columns_are_refused(refusal_of):
    assert "found the column 'cat' twice" in refusal_of('image,cat,cat\na.jpg,1,0\nb.jpg,0,1\n')


@pytest.mark.parametrize(
    ('content', 'part'),
    [
        ('', 'found no line with text'),
        ('\n \n', 'found no line with text'),
        ('image\na.jpg\n', "found no column but 'image'"),
        ('image,age\na.jpg,30\nb.jpg,40\n', "found numbers in 'age' (30)"),
        ('image,labels\n,cat\n', "line 2: found no image name in the column 'image'"),
        ('image,cat,dog\na.jpg,1,0\n,0,1\n', 'line 3: found no image name'),
    ],
)
def test_what_is_no_label_table_is_refused(refusal_of, content, part):
    assert part in refusal_of(content)
