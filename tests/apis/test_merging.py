"""Merging answers into the labels of a project: nothing is lost, nothing is overwritten unasked."""

import csv
import json

import pytest
from PIL import Image

from cssa_mm.apis.merging import merge
from cssa_mm.datasets.table import TableDataset
from cssa_mm.datasets.table_writer import write_tables
from cssa_mm.errors import ConfigError, DataError


@pytest.fixture
def project(tmp_path):
    """A folder with five photos, and labels of two of them."""
    (tmp_path / 'photos' / 'images').mkdir(parents=True)
    for number in range(5):
        Image.new('RGB', (8, 8)).save(tmp_path / 'photos' / 'images' / f'{number}.jpg')
    (tmp_path / 'photos' / 'labels.csv').write_text('image,labels\n0.jpg,dog;owl\n1.jpg,cat\n')
    return tmp_path / 'photos'


@pytest.fixture
def answers(tmp_path):
    """answers('image,dog,cat', '2.jpg,1,0', name='labels.csv') -> the path of such a file, in a folder of downloads."""

    def write(*lines, name='labels.csv'):
        (tmp_path / 'downloads').mkdir(exist_ok=True)
        path = tmp_path / 'downloads' / name
        path.write_text(''.join(f'{line}\n' for line in lines))
        return path

    return write


def known(project, name='labels.csv'):
    """Image -> the names of its classes, by our own reader; only labelled photos."""
    data = TableDataset(data_root=str(project), ann_file=name, include_unlisted=False)
    named = [[data.class_names[c] for c in (row == 1).nonzero()[0]] for row in data.labels]
    return {
        image: names for image, names, row in zip(data.image_ids, named, data.labels, strict=True) if (row >= 0).any()
    }


HEAD = 'image,cat,dog,owl'


def test_answers_are_added_and_the_table_as_it_was_is_kept(project, answers):
    before = (project / 'labels.csv').read_bytes()
    result = merge(answers=answers(HEAD, '2.jpg,1,1,0', '3.jpg,0,0,0'), into=project / 'labels.csv')
    assert (result.added, result.labelled, result.conflicts, result.is_written) == (2, 4, [], True)
    assert known(project) == {'0.jpg': ['dog', 'owl'], '1.jpg': ['cat'], '2.jpg': ['cat', 'dog'], '3.jpg': []}
    assert result.kept == project / 'labels.csv.1'
    assert result.kept.read_bytes() == before


def test_it_advises_to_train_anew_and_says_what_a_warm_start_costs(project, answers):
    first = merge(answers=answers(HEAD, '2.jpg,1,1,0'), into=project)
    assert first.text().splitlines()[-1] == f'Train anew with all labels: cssa train {project}'
    assert 'load_from' not in first.text()
    second = merge(answers=answers(HEAD, '3.jpg,0,1,0'), into=project, checkpoint='m.pth').text().splitlines()
    assert second[-2] == f'Train anew with all labels: cssa train {project}'
    assert second[-1].startswith('Or start from the earlier model; its prompts have seen labels that thresholds and')
    assert second[-1].endswith(f': cssa train {project} --cfg-options load_from=m.pth')


def test_the_same_file_merged_twice_changes_nothing_and_says_so(project, answers):
    path = answers(HEAD, '2.jpg,1,1,0')
    merge(answers=path, into=project)
    before = (project / 'labels.csv').read_bytes()
    again = merge(answers=path, into=project)
    assert not again.is_written
    assert again.text().endswith('nothing to change, all of these answers are there already')
    assert (project / 'labels.csv').read_bytes() == before
    assert not (project / 'labels.csv.2').exists()


def test_a_page_saved_twice_is_merged_once(project, answers):
    first = answers(HEAD, '2.jpg,1,1,0')
    second = answers(HEAD, '2.jpg,1,1,0', '3.jpg,0,1,0', name='labels (1).csv')
    assert merge(answers=[first, second], into=project).added == 2
    assert known(project)['3.jpg'] == ['dog']


def test_two_answers_of_one_photo_that_differ_are_a_conflict(project, answers):
    first = answers(HEAD, '2.jpg,1,1,0')
    second = answers(HEAD, '2.jpg,1,0,0', name='labels (1).csv')
    result = merge(answers=[first, second], into=project)
    assert result.is_refused
    assert [conflict.line() for conflict in result.conflicts] == ['2.jpg: dog was yes, is no in labels (1).csv']
    merge(answers=[first, second], into=project, prefer='new')
    assert known(project)['2.jpg'] == ['cat']


@pytest.mark.parametrize(('prefer', 'expected'), [('new', ['cat', 'dog']), ('old', ['dog', 'owl'])])
def test_a_conflict_is_listed_and_nothing_is_written_until_somebody_says_what_counts(
    project, answers, prefer, expected
):
    before = (project / 'labels.csv').read_bytes()
    path = answers(HEAD, '0.jpg,1,1,0', '2.jpg,0,0,1')
    refused = merge(answers=path, into=project)
    assert refused.is_refused
    assert {(c.image, c.class_name, c.old, c.new) for c in refused.conflicts} == {
        ('0.jpg', 'owl', 1, 0),
        ('0.jpg', 'cat', 0, 1),
    }
    assert 'conflict: 0.jpg: owl was yes, is no in labels.csv' in refused.text()
    assert (project / 'labels.csv').read_bytes() == before
    assert not (project / 'labels.csv.1').exists()
    merged = merge(answers=path, into=project, prefer=prefer)
    assert merged.overwritten == 2 * (prefer == 'new')
    assert known(project) == {'0.jpg': expected, '1.jpg': ['cat'], '2.jpg': ['owl']}


def test_a_new_table_begins_with_the_classes_of_the_answers(project, answers):
    (project / 'labels.csv').unlink()
    result = merge(answers=answers(HEAD, '2.jpg,1,0,0', '4.jpg,0,1,0'), into=project)
    assert result.kept is None
    assert result.labelled == 2
    assert (project / 'classes.txt').read_text().split() == ['cat', 'dog', 'owl']
    assert known(project) == {'2.jpg': ['cat'], '4.jpg': ['dog']}


def test_classes_that_the_page_did_not_ask_about_stay_unknown(project, answers):
    merge(answers=answers('image,cat,dog', '2.jpg,1,0'), into=project)
    data = TableDataset(data_root=str(project), ann_file='labels.csv', include_unlisted=False)
    row = dict(zip(data.class_names, data.labels[data.image_ids.index('2.jpg')].tolist(), strict=True))
    assert row == dict(cat=1, dog=0, owl=-1)
    completed = merge(answers=answers('image,owl', '2.jpg,1'), into=project)
    assert (completed.added, completed.completed) == (0, 1)
    assert known(project)['2.jpg'] == ['cat', 'owl']


def test_a_table_that_somebody_filled_in_is_merged_too(project, answers):
    assert merge(answers=answers('image,labels', '2.jpg,dog', '3.jpg,', '4.jpg,none'), into=project).added == 2
    assert known(project) == {'0.jpg': ['dog', 'owl'], '1.jpg': ['cat'], '2.jpg': ['dog'], '4.jpg': []}


def test_labels_of_another_form_go_on_in_a_new_table(project, answers):
    (project / 'labels.csv').unlink()
    tasks = [
        dict(
            data=dict(image='images/0.jpg'),
            annotations=[
                dict(result=[dict(from_name='l', to_name='i', type='choices', value=dict(choices=['dog', 'cat']))])
            ],
        ),
        dict(
            data=dict(image='images/1.jpg'),
            annotations=[dict(result=[dict(from_name='l', to_name='i', type='choices', value=dict(choices=['cat']))])],
        ),
    ]
    (project / 'export.json').write_text(json.dumps(tasks))
    result = merge(answers=answers('image,cat,dog', '2.jpg,0,1'), into=project)
    assert result.path == project / 'labels.csv'
    assert json.loads((project / 'export.json').read_text()) == tasks
    assert known(project) == {'0.jpg': ['cat', 'dog'], '1.jpg': ['cat'], '2.jpg': ['dog']}
    with pytest.raises(ConfigError, match=r'found .*labels.csv beside export.json, expected one of the two'):
        merge(answers=answers('image,cat,dog', '3.jpg,0,1'), into=project / 'export.json')


@pytest.mark.parametrize(
    'answer', ['image,cat,dog,owl\n2.jpg,1,1,0\n', 'image,cat\n2.jpg,1\n'], ids=['names', 'columns']
)
def test_columns_that_are_no_labels_are_kept(project, answers, answer):
    rows = ['image,labels,photographer,note', '0.jpg,dog;owl,me,"wet, dark"', '1.jpg,cat,you,', '3.jpg,,him,']
    (project / 'labels.csv').write_text('\n'.join(rows) + '\n')
    result = merge(answers=answers(*answer.splitlines()), into=project)
    assert result.notes == []
    with (project / 'labels.csv').open() as file:
        found = {row['image']: (row['photographer'], row['note']) for row in csv.DictReader(file)}
    assert found == {'0.jpg': ('me', 'wet, dark'), '1.jpg': ('you', ''), '3.jpg': ('him', ''), '2.jpg': ('', '')}
    assert known(project)['2.jpg'][0] == 'cat'
    assert merge(answers=answers(HEAD, '4.jpg,1,0,0'), into=project).notes == []
    assert 'me,"wet, dark"' in (project / 'labels.csv').read_text()


def test_a_column_that_differs_between_the_rows_of_a_photo_is_named(project, answers):
    rows = 'image,label,photographer\n0.jpg,dog,me\n0.jpg,owl,you\n1.jpg,cat,you\n'
    (project / 'labels.csv').write_text(rows)
    result = merge(answers=answers(HEAD, '2.jpg,1,1,0'), into=project)
    assert "the column 'photographer' is not kept as it is: a photo has several values; the first" in result.text()
    assert result.kept.read_text() == rows
    assert 'me' in (project / 'labels.csv').read_text()


def test_a_column_that_would_pass_for_labels_is_named(project, answers, monkeypatch):
    def only_alone(root, names, tables):
        if tables['labels.csv'].others:
            raise DataError('other labels')
        return write_tables(root, names, tables)

    monkeypatch.setattr('cssa_mm.apis.labelling.label_store.write_tables', only_alone)
    (project / 'labels.csv').write_text('image,labels,note\n0.jpg,dog;owl,wet\n1.jpg,cat,\n')
    result = merge(answers=answers(HEAD, '2.jpg,1,1,0'), into=project)
    assert "not kept, as labels could not be told from them: the columns 'note'" in result.text()
    assert known(project)['2.jpg'] == ['cat', 'dog']


def test_answers_for_test_photos_are_left_out_unless_asked_for(project, answers):
    (project / 'test.csv').write_text('image,labels\n3.jpg,dog\n4.jpg,cat\n')
    path = answers(HEAD, '2.jpg,1,1,0', '3.jpg,0,1,0', '4.jpg,0,1,0')
    result = merge(answers=path, into=project)
    assert result.held_out == {'3.jpg': 'test.csv', '4.jpg': 'test.csv'}
    (line,) = [line for line in result.text().splitlines() if line.startswith('left out')]
    assert line == (
        'left out: 2 photos that test.csv lists, whose labels training must not see: 3.jpg, 4.jpg; to merge them all '
        'the same: --test-photos'
    )
    assert set(known(project)) == {'0.jpg', '1.jpg', '2.jpg'}
    again = merge(answers=path, into=project)
    assert again.text().endswith('nothing to change, all other answers are there already')
    assert merge(answers=path, into=project, test_photos=True).added == 2
    assert known(project)['4.jpg'] == ['dog']


def test_a_test_table_that_cannot_be_read_does_not_stop_a_merge(project, answers):
    (project / 'test.csv').write_text('image,labels\n')
    (project / 'val.csv').write_text('image,labels\n3.jpg,dog,cat,owl\n')
    result = merge(answers=answers(HEAD, '2.jpg,1,1,0'), into=project)
    assert result.added == 1
    assert 'val.csv was not compared with the answers, as it cannot be read' in result.text()


def test_an_unwritable_folder_changes_nothing(project, answers, monkeypatch):
    def full(path, text):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('cssa_mm.apis.labelling.label_store.write_text', full)
    before = (project / 'labels.csv').read_bytes()
    with pytest.raises(ConfigError, match='No space left on device'):
        merge(answers=answers(HEAD, '2.jpg,1,1,0'), into=project)
    assert (project / 'labels.csv').read_bytes() == before


# -- one line each ---------------------------------------------------------------------------------------------


def test_photos_that_were_moved_or_deleted_are_named_and_the_others_merged(project, answers):
    (project / 'images' / '3.jpg').unlink()
    result = merge(answers=answers(HEAD, '2.jpg,1,1,0', '3.jpg,0,1,0'), into=project)
    assert result.missing == ['3.jpg']
    assert 'left out: 1 photos that are not there, moved or deleted: 3.jpg' in result.text()
    assert '2.jpg' in known(project)


def test_a_labelled_photo_that_was_deleted_is_named_and_nothing_is_changed(project, answers):
    (project / 'images' / '0.jpg').unlink()
    before = (project / 'labels.csv').read_bytes()
    with pytest.raises(DataError, match=r"line 2: found '0.jpg', but no such image .* or take it out of the file.$"):
        merge(answers=answers(HEAD, '2.jpg,1,1,0'), into=project)
    assert (project / 'labels.csv').read_bytes() == before


def test_a_photo_that_was_moved_into_a_folder_is_found_by_its_name(project, answers):
    (project / 'images' / 'garden').mkdir()
    (project / 'images' / '3.jpg').rename(project / 'images' / 'garden' / '3.jpg')
    result = merge(answers=answers(HEAD, '2.jpg,1,1,0', '3.jpg,0,1,0'), into=project)
    assert result.missing in ([], ['3.jpg'])
    assert ('garden/3.jpg' in known(project)) == (result.missing == [])


@pytest.mark.parametrize(
    ('lines', 'message'),
    [
        (
            (HEAD, 'a.jpg,1,0,0', 'b.jpg,1,0,0'),
            r"found none of its 2 photos in '.*images', such as 'a.jpg', expected answers",
        ),
        (('image,cat,dogs,owl', '2.jpg,1,0,0'), r"found the class 'dogs', expected .* Did you mean 'dog'\? Rename"),
        (('image,labels', '2.jpg,dgo', '3.jpg,cat'), r"found the class 'dgo', expected .* Did you mean 'dog'\?"),
        ((HEAD, '2.jpg,1,0,0', '2.jpg,0,0,0'), '2.jpg'),
    ],
)
def test_wrong_answers_are_one_line(project, answers, lines, message):
    with pytest.raises(DataError, match=message) as refused:
        merge(answers=answers(*lines), into=project)
    assert '\n' not in str(refused.value)
    assert not (project / 'labels.csv.1').exists()


def test_other_wrong_arguments_are_one_line(project, answers, tmp_path):
    path = answers(HEAD, '2.jpg,1,0,0')
    with pytest.raises(DataError, match='found nothing there, expected answers'):
        merge(answers=tmp_path / 'no.csv', into=project)
    with pytest.raises(ConfigError, match="prefer: found 'newer', expected new or old. Did you mean 'new'"):
        merge(answers=path, into=project, prefer='newer')
    with pytest.raises(ConfigError, match='which is the file to merge into'):
        merge(answers=project / 'labels.csv', into=project)
    with pytest.raises(ConfigError, match='found no folder'):
        merge(answers=path, into=tmp_path / 'nowhere' / 'labels.csv')
    with pytest.raises(ConfigError, match=r"found no file '.*export.json', expected a label file"):
        merge(answers=path, into=project / 'export.json')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(DataError, match='found no photo'):
        merge(answers=path, into=tmp_path / 'empty' / 'labels.csv')
