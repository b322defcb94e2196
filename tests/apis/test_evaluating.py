"""Predictions against the truth. Oracles: scikit-learn, and figures counted in plain Python."""

import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss

from cssa_mm.apis.chosen_labels import LabelChoice
from cssa_mm.apis.evaluating import evaluate
from cssa_mm.apis.predicting.rows import PredictedImage
from cssa_mm.apis.predicting.writers.label_table import write_classes, write_predictions
from cssa_mm.apis.predicting.writers.model_file import write_model
from cssa_mm.apis.predicting.writers.score_table import write_scores, write_scores_csv
from cssa_mm.errors import ConfigError, DataError
from cssa_mm.models.thresholds import ClassThresholds

NAMES = ['dog', 'traffic light', 'chair, red']
THRESHOLDS = ClassThresholds((0.3, 0.5, 0.7), 'f1', (9, 9, 9), ('own',) * 3)
COUNT = 60


def facts_of(names=NAMES, **more):
    return (
        dict(class_names=list(names), zero_shot_names=[], thresholds=THRESHOLDS.to_dict(), tower=dict(model_name='x'))
        | more
    )


@pytest.fixture(scope='module')
def drawn():
    """Scores (60, 3) and truth (60, 3), with images of no label among them."""
    draw = np.random.default_rng(1)
    truth = draw.uniform(size=(COUNT, 3)) < (0.5, 0.3, 0.2)
    scores = np.clip(0.4 * truth + draw.uniform(0, 0.6, truth.shape), 0, 1).astype(np.float32)
    assert not truth.all(axis=1).all()
    assert (~truth).all(axis=1).any()
    return scores, truth


@pytest.fixture
def written(tmp_path, drawn):
    """The folder that predicting writes."""
    return write(tmp_path / 'out', drawn[0], facts_of(), LabelChoice(THRESHOLDS))


def write(folder, scores, facts, choice, names=None):
    class_names = facts['class_names']
    reached = choice.reached(scores)
    rows = [
        PredictedImage(
            name, f'/p/{name}', tuple(np.array(class_names, object)[reached[row]]), scores[row], scores[row] ** 2
        )
        for row, name in enumerate(names or images())
    ]
    folder.mkdir()
    write_scores(rows, facts, folder / 'scores.parquet')
    write_scores(rows, facts, folder / 'raw_scores.parquet', is_raw=True)
    write_predictions(rows, facts, folder / 'predictions.csv')
    write_classes(facts, folder / 'classes.txt')
    write_model(rows, facts, folder / 'model.json', choice=choice)
    return folder


def images():
    return [f'sub/{row:02}.jpg' for row in range(COUNT)]


def write_truth(path, truth, names=NAMES, files=None):
    path.parent.mkdir(exist_ok=True, parents=True)
    lines = [
        f'{file},"{";".join(name for name, shown in zip(names, row, strict=True) if shown) or "none"}"'
        for file, row in zip(files or images(), truth, strict=True)
    ]
    path.write_text('\n'.join(['image,labels', *lines]), 'utf-8')
    path.with_name('classes.txt').write_text('\n'.join(names))
    return path


def counted(labels, truth):
    """CF1 and OF1 in per cent, from counts."""
    right, said, true = (
        [sum(bool(cell) for cell in column) for column in matrix.T] for matrix in (labels & truth, labels, truth)
    )
    precision = np.mean([r / max(s, 1) for r, s in zip(right, said, strict=True)])
    recall = np.mean([r / t for r, t in zip(right, true, strict=True)])
    overall = 2 * sum(right) / (sum(said) + sum(true))
    return 200 * precision * recall / (precision + recall), 100 * overall


def test_scores_against_the_truth(written, drawn, tmp_path):
    scores, truth = drawn
    found = evaluate(predictions=written, truth=write_truth(tmp_path / 'true' / 'labels.csv', truth))
    labels = scores >= np.array(THRESHOLDS.values)
    cf1, of1 = counted(labels, truth)
    ap = [100 * average_precision_score(*columns) for columns in zip(truth.T, scores.T, strict=True)]
    assert found.metrics['mAP'] == pytest.approx(np.mean(ap))
    assert (found.metrics['CF1'], found.metrics['OF1']) == pytest.approx((cf1, of1))
    assert found.metrics['Brier'] == pytest.approx(100 * brier_score_loss(truth.ravel(), scores.ravel()))
    assert [each['AP'] for each in found.classes] == pytest.approx(ap)
    assert [each['threshold'] for each in found.classes] == [0.3, 0.5, 0.7]
    assert found.images == COUNT
    assert found.lines == []
    for each, said, true in zip(found.classes, labels.T, truth.T, strict=True):
        assert each['positives'] == true.sum()
        assert each['precision'] == pytest.approx(100 * (said & true).sum() / said.sum())
        assert each['recall'] == pytest.approx(100 * (said & true).sum() / true.sum())
        assert each['F1'] == pytest.approx(200 * (said & true).sum() / (said.sum() + true.sum()))


@pytest.mark.parametrize('name', ['scores.parquet', 'predictions.csv', 'scores.csv'])
def test_each_file_gives_the_same_figures(written, drawn, tmp_path, name):
    scores, truth = drawn
    path = write_truth(tmp_path / 'true' / 'labels.csv', truth)
    whole = evaluate(predictions=written, truth=path).metrics
    if name == 'scores.csv':
        rows = [PredictedImage(image, '', (), row, row) for image, row in zip(images(), scores, strict=True)]
        write_scores_csv(rows, facts_of(), written / name)
    found = evaluate(predictions=written / name, truth=path).metrics
    assert found == pytest.approx({key: value for key, value in whole.items() if key in found})
    assert set(whole) - set(found) == ({'mAP', 'ECE', 'Brier'} if name == 'predictions.csv' else set())


def test_a_parquet_alone_brings_its_thresholds(written, drawn, tmp_path):
    path = write_truth(tmp_path / 'true' / 'labels.csv', drawn[1])
    whole = evaluate(predictions=written, truth=path).metrics
    (written / 'scores.parquet').rename(tmp_path / 'alone.parquet')
    assert evaluate(predictions=tmp_path / 'alone.parquet', truth=path).metrics == whole


def test_a_table_of_scores_of_any_program(drawn, tmp_path):
    scores, truth = drawn
    columns = dict(zip(NAMES[::-1], scores.T[::-1], strict=True))
    pq.write_table(pa.table(columns | dict(file=images())), tmp_path / 'foreign.parquet')
    found = evaluate(
        predictions=tmp_path / 'foreign.parquet', truth=write_truth(tmp_path / 'true' / 'labels.csv', truth)
    )
    assert '.5 for every class' in found.choice
    assert (found.metrics['CF1'], found.metrics['OF1']) == pytest.approx(counted(scores >= 0.5, truth))


def test_top_k_is_taken_over_from_model_json(drawn, tmp_path):
    scores, truth = drawn
    folder = write(tmp_path / 'out', scores, facts_of(), LabelChoice(THRESHOLDS, top=1))
    found = evaluate(predictions=folder, truth=write_truth(tmp_path / 'true' / 'labels.csv', truth))
    best = np.arange(3) == scores.argmax(1)[:, None]
    assert (found.metrics['CF1'], found.metrics['OF1']) == pytest.approx(counted(best, truth))
    assert 'the 1 best' in found.text()
    assert math.isnan(found.classes[0]['threshold'])


def test_raw_scores_have_no_thresholds(written, drawn, tmp_path):
    found = evaluate(
        predictions=written / 'raw_scores.parquet', truth=write_truth(tmp_path / 'true' / 'labels.csv', drawn[1])
    )
    assert set(found.metrics) == {'mAP', 'ECE', 'Brier'}
    assert 'before calibration' in found.text()


def test_images_and_classes_are_matched_by_name(written, drawn, tmp_path):
    """The truth is of another order, has paths of another machine, fewer and more images and classes."""
    scores, truth = drawn
    names = ['Traffic_Light', 'dog', 'zebra']
    files = [f'/home/me/photos/{image}' for image in images()[10:][::-1]] + ['/home/me/photos/sub/other.jpg']
    rows = np.stack([truth[10:][::-1, 1], truth[10:][::-1, 0], truth[10:][::-1, 2]], axis=1)
    path = write_truth(tmp_path / 'true' / 'labels.csv', [*rows, [1, 1, 1]], names, files)
    found = evaluate(predictions=written, truth=path)
    assert found.images == COUNT - 10
    assert [each['name'] for each in found.classes] == NAMES[:2]
    ap = [100 * average_precision_score(truth[10:, c], scores[10:, c]) for c in range(2)]
    assert [each['AP'] for each in found.classes] == pytest.approx(ap)
    assert found.lines == [
        '10 predicted images have no true labels and count for nothing: sub/00.jpg, sub/01.jpg, sub/02.jpg, '
        'sub/03.jpg, sub/04.jpg, ...',
        '1 images of the truth are not predicted: /home/me/photos/sub/other.jpg',
        '1 predicted classes are not named by the truth and count for nothing: chair, red; if its images show none of '
        'them, put the classes.txt of the predictions beside it',
        '1 classes of the truth are not predicted and count for nothing: zebra',
    ]


def test_a_name_that_fits_several_images_is_refused(drawn, tmp_path):
    scores, truth = drawn
    folder = write(tmp_path / 'out', scores[:2], facts_of(), LabelChoice(THRESHOLDS), ['a/1.jpg', 'b/1.jpg'])
    path = write_truth(tmp_path / 'true' / 'labels.csv', truth[:1], NAMES, ['1.jpg'])
    with pytest.raises(DataError, match=r"found '1.jpg', which fits 2 images of .*a/1.jpg"):
        evaluate(predictions=folder, truth=path)
    write(tmp_path / 'flat', scores[:1], facts_of(), LabelChoice(THRESHOLDS), ['1.jpg'])
    path = write_truth(tmp_path / 'true' / 'labels.csv', truth[:2], NAMES, ['/x/a/1.jpg', '/x/b/1.jpg'])
    with pytest.raises(DataError, match="which leads to the image '1.jpg' as"):
        evaluate(predictions=tmp_path / 'flat', truth=path)


def test_unknown_labels_are_left_out(written, drawn, tmp_path):
    scores, truth = drawn[0], drawn[1].copy()
    cells = [['1' if cell else '0' for cell in row] for row in truth.tolist()]
    for row in range(0, COUNT, 3):
        cells[row][0] = '?'
    lines = [','.join([image, *row]) for image, row in zip(images(), cells, strict=True)]
    (tmp_path / 'true.csv').write_text('\n'.join(['image,dog,traffic light,"chair, red"', *lines]))
    found = evaluate(predictions=written, truth=tmp_path / 'true.csv')
    known = np.arange(COUNT) % 3 > 0
    assert found.classes[0]['AP'] == pytest.approx(100 * average_precision_score(truth[known, 0], scores[known, 0]))
    assert found.classes[0]['positives'] == truth[known, 0].sum()
    labels = scores >= np.array(THRESHOLDS.values)
    labels[~known, 0] = truth[~known, 0] = False  # neither right, nor predicted, nor true
    assert (found.metrics['CF1'], found.metrics['OF1']) == pytest.approx(counted(labels, truth))


def test_what_the_predictions_leave_open_counts_for_nothing(tmp_path):
    (tmp_path / 'a.csv').write_text('image,dog,cat\n1.jpg,1,0\n2.jpg,?,1\n3.jpg,0,1\n4.jpg,?,?\n')
    (tmp_path / 'b.csv').write_text('image,dog,cat\n1.jpg,1,0\n2.jpg,1,1\n3.jpg,0,0\n4.jpg,1,1\n')
    found = evaluate(predictions=tmp_path / 'a.csv', truth=tmp_path / 'b.csv')
    assert [(each['name'], each['recall'], each['precision']) for each in found.classes] == [
        ('cat', 100, 50),
        ('dog', 100, 100),
    ]
    assert found.images == 3
    assert found.lines[0] == '1 images of the truth are not predicted: 4.jpg'


@pytest.mark.parametrize('value', [True, False])
def test_a_class_without_positives_or_negatives_is_named(written, drawn, tmp_path, value):
    truth = drawn[1].copy()
    truth[:, 1] = value
    found = evaluate(predictions=written, truth=write_truth(tmp_path / 'true' / 'labels.csv', truth))
    kind = 'negative' if value else 'positive'
    assert found.lines == [
        f'1 of 3 classes have no {kind} among the {COUNT} images and count for nothing in mAP: traffic light'
    ]
    assert math.isnan(found.classes[1]['AP'])
    assert math.isfinite(found.metrics['mAP'])
    (row,) = (line for line in found.text().splitlines() if line.startswith('traffic light'))
    assert 'nan' not in found.text()
    assert row.split()[4] == '-'


@pytest.mark.parametrize('value', [True, False])
def test_where_no_class_has_both_map_is_left_out(written, tmp_path, value):
    truth = np.full((COUNT, 3), value)
    path = write_truth(tmp_path / 'true' / 'labels.csv', truth)
    out = tmp_path / 'metrics.json'
    found = evaluate(predictions=written, truth=path, out=out)
    assert 'mAP -' in found.text()
    assert found.lines[0].startswith(f'No class has a {"negative" if value else "positive"} among')
    content = json.loads(out.read_text('utf-8'))
    assert content['metrics']['mAP'] is None
    assert content == found.to_dict()


def test_a_folder_as_truth_is_read_as_training_reads_it(written, drawn, tmp_path):
    write_truth(tmp_path / 'true' / 'labels.csv', ~drawn[1])
    path = write_truth(tmp_path / 'true' / 'test.csv', drawn[1])
    found = evaluate(predictions=written, truth=tmp_path / 'true')
    assert found.truth == str(path)
    assert found.metrics == evaluate(predictions=written, truth=path).metrics


def test_two_tables_of_labels(drawn, tmp_path):
    path = write_truth(tmp_path / 'true' / 'labels.csv', drawn[1])
    assert evaluate(predictions=path, truth=path).metrics == dict(CF1=100, OF1=100)


def test_zero_shot_classes_are_marked(drawn, tmp_path):
    facts = facts_of(zero_shot_names=['dog'])
    folder = write(tmp_path / 'out', drawn[0], facts, LabelChoice(THRESHOLDS))
    found = evaluate(predictions=folder, truth=write_truth(tmp_path / 'true' / 'labels.csv', drawn[1]))
    assert [each['is_zero_shot'] for each in found.classes] == [True, False, False]
    assert 'dog (zero-shot)' in found.text()


# -- bad input ---------------------------------------------------------------------------------------------------


def refused(match, **arguments):
    with pytest.raises(DataError, match=match) as error:
        evaluate(**arguments)
    assert '\n' not in str(error.value)


def test_scores_of_another_model_are_refused(written, drawn, tmp_path):
    path = write_truth(tmp_path / 'true' / 'labels.csv', drawn[1])
    other = write(tmp_path / 'other', drawn[0], facts_of(tower=dict(model_name='y')), LabelChoice(THRESHOLDS))
    (other / 'scores.parquet').replace(written / 'scores.parquet')
    refused(
        r"scores of another model than that of model.json beside it \(their 'tower' differ",
        predictions=written,
        truth=path,
    )
    (written / 'scores.parquet').unlink()
    (written / 'scores.csv').write_text('image,cat\nsub/01.jpg,0.25\n')
    refused("found the class 'cat'", predictions=written, truth=path)


def test_what_cannot_be_compared_is_one_line(written, drawn, tmp_path):
    path = write_truth(tmp_path / 'true' / 'labels.csv', drawn[1])
    refused('none of scores.parquet', predictions=tmp_path, truth=path)
    refused('found no such file', predictions=tmp_path / 'gone', truth=path)
    refused('found nothing there', predictions=written, truth=tmp_path / 'gone')
    others = write_truth(tmp_path / 'others' / 'labels.csv', drawn[1], NAMES, [f'x/{row}.png' for row in range(COUNT)])
    refused('found labels of none of the 60 predicted images', predictions=written, truth=others)
    others = write_truth(tmp_path / 'more' / 'labels.csv', drawn[1], ['a', 'b', 'c'])
    refused("found none of the 3 predicted classes, such as 'dog'", predictions=written, truth=others)
    (tmp_path / 'broken.parquet').write_bytes(b'PAR1 no')
    refused('found no readable Parquet', predictions=tmp_path / 'broken.parquet', truth=path)
    (written / 'model.json').write_text('[]')
    refused('found no description of a model', predictions=written, truth=path)


@pytest.mark.parametrize('value', [1.5, -0.1, math.nan])
def test_scores_that_are_none_are_refused(drawn, tmp_path, value):
    scores = drawn[0].copy()
    scores[3, 1] = value
    pq.write_table(pa.table(dict(image=images()) | dict(zip(NAMES, scores.T, strict=True))), tmp_path / 'x.parquet')
    path = write_truth(tmp_path / 'true' / 'labels.csv', drawn[1])
    refused('found 1 scores that are no number from 0 to 1', predictions=tmp_path / 'x.parquet', truth=path)


def test_an_image_twice_is_refused(drawn, tmp_path):
    names = [*images()[1:], images()[1]]
    folder = write(tmp_path / 'out', drawn[0], facts_of(), LabelChoice(THRESHOLDS), names)
    path = write_truth(tmp_path / 'true' / 'labels.csv', drawn[1])
    refused('found 1 images twice', predictions=folder, truth=path)


def test_an_output_that_cannot_be_written_is_one_line(written, drawn, tmp_path):
    (tmp_path / 'file').touch()
    path = write_truth(tmp_path / 'true' / 'labels.csv', drawn[1])
    with pytest.raises(ConfigError, match='found no way to write'):
        evaluate(predictions=written, truth=path, out=tmp_path / 'file' / 'metrics.json')
