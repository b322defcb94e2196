import json

import numpy as np
import pytest
from PIL import Image

from cssa_mm.datasets import TableDataset
from cssa_mm.datasets.readers.source import LabelSource
from cssa_mm.datasets.readers.studio.label_studio import is_label_studio
from cssa_mm.errors import DataError

IMAGES = ['cat one.jpg', 'shop/2.jpg', '3.jpg', '4.jpg', '5.jpg', '6.jpg', '7.jpg']


def choices(*names: str, question: str = 'tags') -> dict:
    return dict(type='choices', from_name=question, to_name='image', value=dict(choices=list(names)))


def region(name: str, kind: str = 'rectanglelabels', question: str = 'tags') -> dict:
    value = {'x': 1, 'y': 2, 'width': 3, 'height': 4, kind: [name]}
    return dict(type=kind, from_name=question, to_name='image', value=value)


def taxonomy(*paths: str) -> dict:
    return dict(type='taxonomy', from_name='tags', to_name='image', value=dict(taxonomy=[p.split('/') for p in paths]))


def answered(*results: dict, **extra) -> dict:
    return dict(result=list(results), **extra)


def task(number: int, image: str, *annotations: dict, **extra) -> dict:
    return dict(id=number, data=dict(image=image), annotations=list(annotations), **extra)


TASKS = [
    task(1, '/data/upload/7/0a1b2c3d-cat%20one.jpg', dict(result=[choices('cat')])),
    task(2, '/data/local-files/?d=disk/photos/images/shop/2.jpg', dict(result=[choices('dog', 'cat')])),
    task(3, 's3://bucket/all/images/3.jpg', dict(result=[region('dog'), region('dog'), region('red bus')])),
    task(4, 'https://host.example/4.jpg?width=200', dict(result=[])),
    task(5, '/data/upload/7/5.jpg', predictions=[dict(result=[choices('dog')])]),
    task(
        6,
        '/data/upload/7/6.jpg',
        dict(result=[choices('dog')], was_cancelled=True, updated_at='2026-03-01'),
        dict(result=[choices('cat')], updated_at='2026-02-01'),
        dict(result=[choices('red bus')], skipped=True, updated_at='2026-01-01'),
    ),
    task(
        7,
        '/data/upload/7/7.jpg',
        dict(result=[choices('dog')], ground_truth=True, updated_at='2026-01-01'),
        dict(result=[choices('cat')], updated_at='2026-02-01'),
    ),
]


@pytest.fixture
def read(tmp_path):
    """read(tasks, **options) -> the data set of an export, beside seven images."""
    for name in IMAGES:
        path = tmp_path / 'images' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path)

    def make(tasks, **options) -> TableDataset:
        (tmp_path / 'export.json').write_text(json.dumps(tasks))
        options = dict(test_mode=True) | options
        return TableDataset(data_root=str(tmp_path), img_dir='images', ann_file='export.json', **options)

    make.root = tmp_path
    return make


def positives(data: TableDataset) -> dict[str, set[str]]:
    return {name: {data.class_names[c] for c in data.get_cat_ids(i)} for i, name in enumerate(data.image_ids)}


def test_choices_and_rectangles_are_the_labels_of_their_images(read):
    data = read(TASKS)
    assert data.class_names == ['cat', 'dog', 'red bus']
    assert positives(data) == {
        'cat one.jpg': {'cat'},
        'shop/2.jpg': {'cat', 'dog'},
        '3.jpg': {'dog', 'red bus'},
        '4.jpg': set(),
        '5.jpg': set(),
        '6.jpg': {'cat'},
        '7.jpg': {'dog'},
    }


def test_a_task_without_annotation_is_unlabelled_and_an_empty_annotation_says_none(read):
    data = read(TASKS, test_mode=False)
    unlabelled = [name for name, known in zip(data.image_ids, data.is_labelled, strict=True) if not known]
    assert unlabelled == ['5.jpg']
    assert data.labels[data.image_ids.index('4.jpg')].tolist() == [0, 0, 0]


def test_a_choice_can_say_none(read):
    data = read([task(1, '3.jpg', dict(result=[choices('None')])), task(2, '4.jpg', dict(result=[choices('cat')]))])
    assert (data.class_names, data.labels.tolist()) == (['cat'], [[0], [1]])


def test_a_relation_between_regions_is_no_label(read):
    relation = dict(type='relation', from_id='a', to_id='b', direction='right')
    rating = dict(type='rating', value=dict(rating=3))
    data = read([task(1, '3.jpg', dict(result=[region('dog'), relation, rating]))])
    assert positives(data) == {'3.jpg': {'dog'}}


def test_a_missing_image_labels_no_other_of_its_name(read):
    """`shopB/3.jpg` is not there; `3.jpg` is another photo."""
    tasks = [task(1, '/data/local-files/?d=disk/shop/2.jpg', dict(result=[choices('dog')]))]
    assert 'shop/2.jpg' in read(tasks).image_ids
    with pytest.raises(DataError) as caught:
        read([*tasks, task(2, 'shopB/3.jpg', dict(result=[choices('cat')]))])
    assert "task 2: found 'shopB/3.jpg', but no such image in" in str(caught.value)
    assert "It is not '3.jpg', which lies in no folder of that path." in str(caught.value)
    assert '\n' not in str(caught.value)


def labels_of(data: TableDataset) -> dict[str, list[int]]:
    return dict(zip(data.image_ids, data.labels.tolist(), strict=True))


@pytest.mark.parametrize(
    'kind', ['rectanglelabels', 'polygonlabels', 'brushlabels', 'keypointlabels', 'ellipselabels', 'labels']
)
def test_labels_of_regions_are_labels_of_the_image(read, kind):
    data = read([task(1, '3.jpg', answered(region('dog', kind), region('cat', kind))), task(2, '4.jpg', answered())])
    assert labels_of(data) == {'3.jpg': [1, 1], '4.jpg': [0, 0]}


MANY = [
    task(1, '3.jpg', answered(choices('Female', question='gender'), choices('Gele', 'Purse', question='accessories'))),
    task(2, '4.jpg', answered(choices('Female', question='gender'), region('Gele', 'keypointlabels', 'points'))),
    task(3, '5.jpg', answered(choices('Male', question='gender'), choices('Purse', question='accessories'))),
    task(4, '6.jpg'),
]


def test_several_questions_are_named_and_one_is_chosen(read):
    with pytest.raises(DataError) as caught:
        read(MANY)
    assert str(caught.value).endswith(
        'export.json: found labels of 3 questions: gender (2 labels), accessories (2 labels), points (1 labels), '
        'expected to be told which; set label_column=accessories, or several of them with commas between them.'
    )
    data = read(MANY, label_column='accessories', test_mode=False)
    assert data.class_names == ['Gele', 'Purse']
    assert {name: labels_of(data)[name] for name in ('3.jpg', '4.jpg', '5.jpg', '6.jpg')} == {
        '3.jpg': [1, 1], '4.jpg': [0, 0], '5.jpg': [0, 1], '6.jpg': [-1, -1],
    }  # fmt: skip
    told = data.understanding
    assert (told.taken, told.left) == (['accessories'], {'gender': 'another question', 'points': 'another question'})
    assert told.facts['without an answer'] == '1 annotations that answer other questions alone: none of the classes'
    assert not told.questions
    assert read(MANY, label_column='accessories, points').class_names == ['Gele', 'Purse']
    with pytest.raises(DataError, match="no label of a question 'acessories'.*Did you mean 'accessories'"):
        read(MANY, label_column='acessories')


def test_an_answer_that_is_left_out_is_questioned_where_each_other_annotation_has_one(read):
    tasks = [MANY[0], MANY[2], task(5, '7.jpg', answered(choices('Purse', question='accessories')))]
    data = read(tasks, label_column='gender')
    assert labels_of(data)['7.jpg'] == [0, 0]
    assert [question.kind for question in data.understanding.questions] == ['unanswered']
    assert 'blank=unknown' in data.understanding.questions[0].line()
    assert not read(tasks, label_column='gender', blank='no').understanding.questions
    data = read(tasks, label_column='gender', blank='unknown')
    assert labels_of(data)['7.jpg'] == [-1, -1]
    assert not data.understanding.questions


def test_texts_ratings_and_relations_are_left_with_the_reason(read):
    text = dict(type='textarea', from_name='caption', to_name='image', value=dict(text=['a dog']))
    data = read([task(1, '3.jpg', answered(choices('dog'), text)), task(2, '4.jpg', answered(text))])
    assert labels_of(data) == {'3.jpg': [1], '4.jpg': [0]}
    assert data.understanding.left == {'caption': "answers of the type 'textarea' are no labels"}


def test_a_type_that_is_not_known_is_an_error(read):
    strange = dict(type='videomarks', from_name='tags', value=dict(videomarks=['dog']))
    with pytest.raises(DataError, match="task 1: found a result of the type 'videomarks', which is not known"):
        read([task(1, '3.jpg', answered(strange)), task(2, '4.jpg', answered(choices('dog')))])


def test_annotators_who_disagree_leave_a_label_unknown(read):
    both = [answered(choices('cat', 'dog'), completed_by=1), answered(choices('cat'), completed_by=dict(id=2))]
    data = read([task(1, '3.jpg', *both), task(2, '4.jpg', answered(choices('bus')))])
    assert (data.class_names, labels_of(data)['3.jpg']) == (['bus', 'cat', 'dog'], [0, 1, -1])
    assert data.understanding.facts['several annotators'] == (
        '1 images; 1 labels on which they do not agree are unknown: dog (1)'
    )


def test_of_one_annotator_the_newest_and_of_all_the_ground_truth_counts(read):
    tasks = [
        task(
            1,
            '3.jpg',
            answered(choices('cat'), completed_by=1, updated_at='2026-01-02'),
            answered(choices('dog'), completed_by=1, updated_at='2026-01-01'),
        ),
        task(2, '4.jpg', answered(choices('dog'), ground_truth=True), answered(choices('cat'), updated_at='2027')),
        # Two tasks of one image are two annotations of it.
        task(3, '5.jpg', answered(choices('dog'), completed_by=1)),
        task(4, '5.jpg', answered(choices('cat'), completed_by=2)),
        task(5, '5.jpg'),
    ]
    data = read(tasks)
    assert labels_of(data) == {'3.jpg': [1, 0], '4.jpg': [0, 1], '5.jpg': [-1, -1]}
    assert data.understanding.facts['left out'].startswith('2 annotations')


def test_predictions_and_drafts_are_never_labels(read):
    extra = dict(predictions=[answered(choices('bus'))], drafts=[answered(choices('cow'))])
    data = read([task(1, '3.jpg', answered(choices('dog')), **extra), task(2, '4.jpg', **extra)], test_mode=False)
    assert data.class_names == ['dog']
    assert labels_of(data)['4.jpg'] == [-1]
    assert 'predictions' in data.understanding.facts
    tasks = [dict(data=dict(image='3.jpg'), predictions=[answered(choices('bus'))])]
    with pytest.raises(DataError, match='no label in any finished annotation.*predictions and drafts are no labels'):
        read(tasks)


def test_skipped_tasks_are_unlabelled(read):
    tasks = [task(1, '3.jpg', answered(choices('dog'))), task(2, '4.jpg', answered(choices('cat'), was_cancelled=True))]
    data = read(tasks, test_mode=False)
    assert data.class_names == ['dog']
    assert labels_of(data)['4.jpg'] == [-1]
    assert data.understanding.facts['tasks'] == (
        '2 images: 1 with a finished annotation, 1 skipped and 0 without one, which are unlabelled'
    )


def test_the_old_word_for_annotations_is_read(read):
    data = read([dict(id=1, completions=[answered(choices('cup'))], data=dict(image='https://x.example/images/3.jpg'))])
    assert labels_of(data) == {'3.jpg': [1]}
    single = dict(id=1, completions=[answered(choices('cup'))], data=dict(image='3.jpg'))
    assert labels_of(read(single)) == {'3.jpg': [1]}


def test_the_end_of_a_taxonomy_s_path_is_the_label(read):
    tasks = [
        task(1, '3.jpg', answered(taxonomy('Animal/Dog', 'Thing/Cup'))),
        task(2, '4.jpg', answered(taxonomy('Animal/Jaguar'))),
        task(3, '5.jpg', answered(taxonomy('Car/Jaguar'))),
        task(4, '6.jpg', answered(taxonomy('Animal'))),
        task(5, '7.jpg', answered(taxonomy('Animal', 'Animal/Dog'))),
    ]
    data = read(tasks)
    assert data.class_names == ['Animal', 'Animal / Jaguar', 'Car / Jaguar', 'Cup', 'Dog']
    assert labels_of(data) == {
        '3.jpg': [1, 0, 0, 1, 1],
        '4.jpg': [1, 1, 0, 0, 0],
        '5.jpg': [0, 0, 1, 0, 0],
        '6.jpg': [1, -1, 0, 0, -1],
        '7.jpg': [1, 0, 0, 0, 1],
    }
    assert 'taxonomy' in data.understanding.facts


def test_the_word_for_unlabelled_is_one_of_a_choice_too(read):
    tasks = [task(1, '3.jpg', answered(choices('dog'))), task(2, '4.jpg', answered(choices('unsure')))]
    assert labels_of(read(tasks, unknown_word='unsure')) == {'3.jpg': [1], '4.jpg': [-1]}


def test_the_image_is_the_field_that_holds_paths(read):
    def export(**data):
        return [dict(id=7, data=data, annotations=[answered(choices('cat'))])]

    for data in (dict(img='3.jpg', note='x'), dict(image='3.jpg', path='9.jpg'), dict(url='https://h/3.jpg?w=1')):
        assert labels_of(read(export(**data))) == {'3.jpg': [1]}
    inline = 'data:image/png;base64,iVBO'
    assert labels_of(read(export(image=inline, path='3.jpg'))) == {'3.jpg': [1]}
    for data, message in (
        (dict(left='3.jpg', right='4.jpg'), "the fields 'left', 'right', of which 2 hold texts.*Set image_column"),
        (dict(image=inline), r"the images themselves \(base64\) in 'image'.*image_column=path"),
        (dict(number=3), "found the fields 'number', none of which"),
    ):
        with pytest.raises(DataError, match=message):
            read(export(**data))
    with pytest.raises(DataError, match="task 7: found the fields 'img', expected 'imgg'.*Did you mean 'img'"):
        read(export(img='3.jpg'), image_column='imgg')
    assert labels_of(read(export(left='3.jpg', right='4.jpg'), image_column='right')) == {'4.jpg': [1]}


@pytest.mark.parametrize(
    ('tasks', 'message'),
    [
        ([dict(id=7, image='3.jpg', choice='cat')], "task 7: found no 'data', expected a task of a Label Studio"),
        ([task(7, '9.jpg', answered(choices('cat')))], "task 7: found '9.jpg', but no such image"),
        (
            [task(7, '3.jpg', answered(choices('cat'))), task(8, '/x/images/3.jpg', answered())],
            "task 8: found image id '3.jpg' again, with other labels than in .*task 7",
        ),
        ([task(7, '3.jpg', answered(dict(type='choices', value={})))], "task 7: found a result of type 'choices'"),
        ([task(7, '3.jpg', dict(id=1))], "task 7: found an annotation without its 'result'"),
        ([dict(task(7, '3.jpg'), annotations=3)], "task 7: found no list of objects in 'annotations'"),
        (
            [task(7, '3.jpg', answered(choices('a'), dict(choices('b'), to_name='other')))],
            "task 7: found labels of the question 'tags' on 2 objects \\(image, other\\)",
        ),
        ([], 'found 0 tasks and no label in any'),
    ],
)
def test_an_export_of_another_form_is_refused_in_one_line(read, tasks, message):
    with pytest.raises(DataError, match=message) as caught:
        read(tasks, format='label_studio')
    assert '\n' not in str(caught.value)


def test_an_object_given_as_an_export_is_refused(read):
    with pytest.raises(DataError, match='found a dict at the top, expected the list of tasks'):
        read(dict(data_list=[]), format='label_studio')


@pytest.mark.parametrize(
    'content', [[dict(image='3.jpg', label=['cat'])], dict(images=[], annotations=[], data=[]), [], [1]]
)
def test_other_json_is_not_taken_for_an_export(read, content):
    source = LabelSource(read(TASKS), str(read.root / 'export.json'))
    assert is_label_studio(source)
    (read.root / 'other.json').write_text(json.dumps(content))
    assert not is_label_studio(LabelSource(read(TASKS), str(read.root / 'other.json')))
