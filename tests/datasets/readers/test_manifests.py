"""JSON lines of the labelling services."""

import json

import numpy as np
import pytest
from PIL import Image

from cssa_mm.datasets import TableDataset
from cssa_mm.errors import DataError


@pytest.fixture
def read(tmp_path):
    """read([line, ...], name='output.manifest', **options) -> the data set, beside four images."""
    (tmp_path / 'images').mkdir()
    for number in range(1, 5):
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / 'images' / f'{number}.jpg')

    def make(lines, name='output.manifest', **options) -> TableDataset:
        text = ''.join((line if isinstance(line, str) else json.dumps(line)) + '\n' for line in lines)
        (tmp_path / name).write_text(text)
        return TableDataset(**dict(data_root=str(tmp_path), ann_file=name, test_mode=True) | options)

    return make


def labels_of(data: TableDataset) -> dict[str, list[int]]:
    return dict(zip(data.image_ids, data.labels.tolist(), strict=True))


def sagemaker(number: int, value, job='job', kind='image-classification-multilabel', **about) -> dict:
    about = {'type': f'groundtruth/{kind}', 'human-annotated': 'yes', 'job-name': 'labeling-job/x', **about}
    line = {'source-ref': f's3://bucket/photos/{number}.jpg', f'{job}-metadata': about}
    return line if value is None else line | {job: value}


def class_map(*names: str) -> dict:
    return {'class-map': {str(number): name for number, name in enumerate(names)}}


EXPECTED = {'1.jpg': [1, 1], '2.jpg': [1, 0], '3.jpg': [0, 0], '4.jpg': [-1, -1]}
DOG, BOTH = class_map('dog'), class_map('dog', 'person')


def test_ground_truth_with_several_labels(read):
    lines = [
        sagemaker(1, [0, 1], **BOTH),
        sagemaker(2, [0], **DOG),
        sagemaker(3, [], **class_map()),
        sagemaker(4, [0], **DOG, **{'failure-reason': 'no worker'}),
    ]
    data = read(lines)
    assert (labels_of(data), data.class_names) == (EXPECTED, ['dog', 'person'])
    assert data.understanding.facts['failed'] == '1 lines, which are unlabelled'


def test_ground_truth_with_one_label(read):
    lines = [sagemaker(n, c, kind='image-classification', **{'class-name': 'ab'[c]}) for n, c in ((1, 0), (2, 1))]
    assert labels_of(read(lines)) == {'1.jpg': [1, 0], '2.jpg': [0, 1]}


def test_ground_truth_with_objects(read):
    boxes = [dict(class_id=number, left=0, top=0, width=1, height=1) for number in (1, 1, 0)]
    lines = [
        sagemaker(1, dict(annotations=boxes, image_size=[]), kind='object-detection', **BOTH),
        sagemaker(2, dict(annotations=boxes[2:], image_size=[]), kind='object-detection', **BOTH),
        sagemaker(3, dict(annotations=[], image_size=[]), kind='object-detection', **class_map()),
        {'source-ref': 's3://bucket/4.jpg'},
    ]
    assert labels_of(read(lines)) == EXPECTED


def test_jobs_of_one_class_each_are_taken_together(read):
    def line(number, sunrise, pool):
        kind = 'image-classification'
        return sagemaker(number, sunrise, 'x_sunrise', kind, **{'class-name': 'sunrise'}) | sagemaker(
            number, pool, 'x_pool', kind, **{'class-name': 'pool'}
        )

    data = read([line(1, 1, 1), line(2, 1, 0), line(3, 0, 0)])
    assert (labels_of(data), data.class_names) == (
        {'1.jpg': [1, 1], '2.jpg': [0, 1], '3.jpg': [0, 0]},
        ['pool', 'sunrise'],
    )


def test_one_of_several_jobs_is_chosen(read):
    lines = [sagemaker(1, [0], 'first', **DOG) | sagemaker(1, [0], 'second', **class_map('cat'))]
    with pytest.raises(DataError, match='labels of 2 jobs: first, second, .* set label_column=first'):
        read(lines)
    assert read(lines, label_column='second').class_names == ['cat']
    assert read(lines, label_column='first,second').class_names == ['cat', 'dog']
    with pytest.raises(DataError, match="job 'fist', expected one of first, second. Did you mean 'first'"):
        read(lines, label_column='fist')


def test_other_kinds_of_jobs_are_left(read):
    lines = [sagemaker(1, [0], **DOG) | sagemaker(1, 1, 'check', kind='label-verification')]
    assert read(lines).understanding.left == {'check': "labels of the type 'label-verification'"}
    with pytest.raises(DataError, match='found no labels of images or objects \\(check: labels of the type'):
        read([sagemaker(1, 1, 'check', kind='label-verification')])


def test_labels_of_a_machine_are_questioned(read):
    data = read([sagemaker(1, [0], **DOG), sagemaker(2, [0], **DOG, **{'human-annotated': 'no'})])
    assert [question.kind for question in data.understanding.questions] == ['machine_labels']


def test_vertex(read):
    def line(number, **more):
        return dict(imageGcsUri=f'gs://bucket/{number}.jpg', **more)

    dog, person = dict(displayName='dog'), dict(displayName='person', xMin=0.1)
    lines = [
        line(1, classificationAnnotations=[dog, person]),
        line(2, classificationAnnotation=dog),
        line(3, classificationAnnotations=[]),
        line(4),
    ]
    assert labels_of(read(lines, 'labels.jsonl')) == EXPECTED
    boxes = [line(1, boundingBoxAnnotations=[dog, person, person]), line(2, boundingBoxAnnotations=[dog])]
    assert labels_of(read(boxes, 'labels.jsonl')) == {'1.jpg': [1, 1], '2.jpg': [1, 0]}
    for number, each in enumerate(lines):
        each['dataItemResourceLabels'] = {'aiplatform.googleapis.com/ml_use': 'test' if number == 2 else 'training'}
    assert [question.kind for question in read(lines, 'labels.jsonl').understanding.questions] == ['parts']
    data = read(lines, 'labels.jsonl', subset='training')
    assert (set(data.image_ids), data.understanding.questions) == ({'1.jpg', '2.jpg', '4.jpg'}, [])
    with pytest.raises(DataError, match="no line of the part 'train', expected one of training, test"):
        read(lines, 'labels.jsonl', subset='train')


def test_azure(read):
    def line(number, **more):
        return dict(image_url=f'azureml://store/x/paths/{number}.jpg', **more)

    lines = [line(1, label=['dog', 'person']), line(2, label='dog'), line(3, label=[]), line(4, label=None)]
    assert labels_of(read(lines, 'train.jsonl')) == EXPECTED
    assert labels_of(read([line(1, label=[dict(label='dog', topX=0.1)])], 'train.jsonl')) == {'1.jpg': [1]}


@pytest.mark.parametrize(
    ('lines', 'message'),
    [
        ([sagemaker(1, [7], **DOG)], "line 1: found 'job' with \\[7\\], expected numbers that the class-map .*\\(0\\)"),
        ([sagemaker(1, [0], **DOG), '{"source-ref"'], 'line 2: found no valid JSON'),
        ([sagemaker(1, [0], **DOG), '[1]'], 'line 2: found a list, expected an object'),
        ([sagemaker(1, [0], **DOG), dict(other=1)], "line 2: found no 'source-ref', expected it in each line"),
        ([dict(image_url='1.jpg', label=[3])], 'line 1: found the labels \\[3\\], expected names'),
        ([sagemaker(9, [0], **DOG)], 'but no such image'),
        ([sagemaker(1, [0], **DOG), sagemaker(1, [], **DOG)], "line 2: found image id '1.jpg' again"),
    ],
)
def test_lines_of_another_form_are_refused(read, lines, message):
    with pytest.raises(DataError, match=message) as caught:
        read(lines)
    assert '\n' not in str(caught.value)
