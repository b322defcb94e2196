"""Multi-label metrics against scikit-learn, class by class."""

import logging
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score

import cssa_mm  # noqa: F401
from cssa_mm.errors import DataError
from cssa_mm.evaluation import (
    CSSAMetric,
    average_precision_per_class,
    cf1_of1,
    mean_average_precision,
)

pytestmark = pytest.mark.smoke


def random_case(seed, num_images=60, num_classes=9, levels=None):
    """Scores (with ties if there are ``levels``) and labels; class 3 never occurs, class 5 always."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((num_images, num_classes)) < rng.random(num_classes) * 0.6).astype(np.int8)
    labels[:, 3], labels[:, 5] = 0, 1
    labels[0, [c for c in range(num_classes) if c != 3]] = 1
    scores = rng.random((num_images, num_classes)) * 0.6 + 0.3 * labels
    if levels:
        scores = np.round(scores * levels) / levels
    return scores.astype(np.float32), labels


def f1(precision, recall):
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@pytest.mark.parametrize('levels', [None, 4])
@pytest.mark.parametrize('seed', range(5))
def test_average_precision_equals_scikit_learn_and_an_absent_class_is_not_counted_as_zero(seed, levels):
    scores, labels = random_case(seed, levels=levels)
    present = [c for c in range(labels.shape[1]) if c not in (3, 5)]
    found = average_precision_per_class(scores, labels)
    assert math.isnan(found[3])
    assert math.isnan(found[5])
    for c in present:
        assert found[c] == average_precision_score(labels[:, c], scores[:, c])
    expected = average_precision_score(labels[:, present], scores[:, present], average='macro')
    assert mean_average_precision(scores, labels) == pytest.approx(expected, rel=1e-12)


def test_metrics_do_not_depend_on_the_order_of_the_images_under_ties():
    scores, labels = random_case(0, levels=3)
    assert len(np.unique(scores)) < 6
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(scores))
        np.testing.assert_array_equal(
            average_precision_per_class(scores[order], labels[order]),
            average_precision_per_class(scores, labels),
        )
        assert cf1_of1(scores[order], labels[order]) == cf1_of1(scores, labels)


@pytest.mark.parametrize('threshold', [0.5, 0.25, 'per class'])
@pytest.mark.parametrize('seed', range(5))
def test_cf1_and_of1_equal_scikit_learn(seed, threshold):
    scores, labels = random_case(seed, levels=8)
    if threshold == 'per class':
        threshold = np.random.default_rng(seed).random(labels.shape[1])
        threshold[1] = 2.0  # never predicted: precision 0
    predicted = (scores >= threshold).astype(int)
    present = [c for c in range(labels.shape[1]) if c != 3]
    options = {'average': 'macro', 'zero_division': 0}
    class_precision = precision_score(labels[:, present], predicted[:, present], **options)
    class_recall = recall_score(labels[:, present], predicted[:, present], **options)
    cf1, of1 = cf1_of1(scores, labels, threshold)
    assert cf1 == pytest.approx(f1(class_precision, class_recall), rel=1e-12)
    assert of1 == pytest.approx(f1_score(labels, predicted, average='micro'), rel=1e-12)
    if np.ndim(threshold) == 0:
        assert cf1_of1(predicted, labels) == (cf1, of1)
        assert cf1 != pytest.approx(f1_score(labels, predicted, average='macro', zero_division=0))


def test_a_score_at_the_threshold_predicts_the_class():
    assert cf1_of1(np.array([[0.5], [0.4]]), np.array([[1], [0]])) == (1.0, 1.0)


def test_predicting_nothing_right_is_zero_and_no_positives_at_all_is_nan():
    labels = np.array([[1, 0], [1, 0]])
    assert cf1_of1(np.zeros((2, 2)), labels) == (0.0, 0.0)
    assert all(math.isnan(v) for v in cf1_of1(np.ones((2, 2)), np.zeros((2, 2))))
    assert math.isnan(mean_average_precision(np.ones((2, 2)), np.zeros((2, 2))))


def test_unknown_cells_are_left_out():
    scores, labels = random_case(1)
    labels = np.where(np.random.default_rng(2).random(labels.shape) < 0.3, -1, labels)
    found = average_precision_per_class(scores, labels)
    for c in (0, 1, 2, 6):
        known = labels[:, c] != -1
        assert found[c] == average_precision_score(labels[known, c], scores[known, c])
    wild = np.where(labels == -1, 1 - scores, scores)
    assert cf1_of1(wild, labels) == cf1_of1(scores, labels)
    known = labels != -1
    expected = f1_score(labels[known], scores[known] >= 0.5)
    assert cf1_of1(scores, labels)[1] == pytest.approx(expected, rel=1e-12)


def test_scores_and_labels_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match='expected both'):
        mean_average_precision(np.zeros((3, 2)), np.zeros((3, 4)))
    with pytest.raises(DataError, match='1 of 4 scores are NaN'):
        cf1_of1(np.array([[0, 1], [np.nan, 0]]), np.ones((2, 2)))
    with pytest.raises(DataError, match='other values'):
        cf1_of1(np.zeros((1, 1)), np.full((1, 1), 0.5))
    with pytest.raises(DataError, match='thresholds of shape'):
        cf1_of1(np.zeros((2, 2)), np.ones((2, 2)), [0.5, 0.5, 0.5])


def samples(scores, labels, student=None):
    found = []
    for i in range(len(scores)):
        found.append(
            {
                'image_id': f'{i:03d}',
                'pred_score': torch.tensor(scores[i]),
                'gt_score': torch.tensor(labels[i]),
            }
        )
        if student is not None:
            found[-1]['student_score'] = torch.tensor(student[i])
    return found


def evaluate(data_samples, size, classes=None, **options):
    from mmpretrain.registry import METRICS

    metric = METRICS.build({'type': 'CSSAMetric', **options})
    assert isinstance(metric, CSSAMetric)
    if classes:
        metric.dataset_meta = {'classes': classes}
    for start in range(0, len(data_samples), 7):
        metric.process(None, data_samples[start : start + 7])
    return metric.evaluate(size)


def test_the_metric_reports_ema_and_student_in_per_cent_and_logs_each_class(caplog):
    scores, labels = random_case(0)
    student, _ = random_case(1)
    names = [f'thing{c}' for c in range(9)]
    from mmengine.logging import MMLogger

    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.INFO):
            found = evaluate(samples(scores, labels, student), 60, names, save_per_class=True, threshold=0.4)
    finally:
        logger.removeHandler(caplog.handler)
    for row, field in (('ema', scores), ('student', student)):
        cf1, of1 = cf1_of1(field, labels, 0.4)
        expected = {'mAP': mean_average_precision(field, labels), 'CF1': cf1, 'OF1': of1}
        for key, value in expected.items():
            assert found[f'{row}/{key}'] == pytest.approx(100 * value, rel=1e-12)
        precision = average_precision_per_class(field, labels)
        for c, name in enumerate(names):
            if c in (3, 5):
                assert f'{row}/AP/{name}' not in found
            else:
                assert found[f'{row}/AP/{name}'] == pytest.approx(100 * precision[c])
    rows = [line.split() for line in caplog.text.splitlines()]
    expected_ap = [f'{100 * average_precision_per_class(s, labels)[7]:.2f}' for s in (scores, student)]
    assert ['thing7', str(labels[:, 7].sum()), *expected_ap] in rows
    assert ['thing3', '0', '-', '-'] in rows


def test_it_evaluates_mmpretrain_data_samples_through_the_evaluator():
    from mmengine.evaluator import Evaluator
    from mmpretrain.registry import METRICS
    from mmpretrain.structures import DataSample

    scores, labels = random_case(6)
    batch = []
    for i in range(60):
        sample = DataSample(metainfo={'image_id': f'{i:03d}'})
        sample.set_gt_score(torch.tensor(labels[i])).set_pred_score(torch.tensor(scores[i]))
        sample.set_field(torch.tensor(scores[i] / 2), 'student_score')
        batch.append(sample)
    evaluator = Evaluator(METRICS.build({'type': 'CSSAMetric'}))
    evaluator.dataset_meta = {'classes': [f'thing{c}' for c in range(9)]}
    evaluator.process(batch)
    found = evaluator.evaluate(60)
    assert found['ema/mAP'] == pytest.approx(100 * mean_average_precision(scores, labels))
    assert found['student/mAP'] == found['ema/mAP']
    assert found['student/OF1'] == pytest.approx(100 * cf1_of1(scores / 2, labels)[1])


def test_padding_duplicates_of_a_distributed_sampler_count_once():
    scores, labels = random_case(2)
    data = samples(scores, labels)
    expected = evaluate(data, 60)
    assert evaluate(data + data[:4], 60) == expected  # truncated by the data set's size
    assert evaluate(data + data[:4], 64) == expected  # removed by image id
    assert evaluate(data[:30] + data[:4] + data[30:], 64) == expected


def test_a_row_without_any_field_is_left_out_but_a_field_missing_in_some_samples_is_an_error():
    scores, labels = random_case(3)
    assert set(evaluate(samples(scores, labels), 60)) == {'ema/mAP', 'ema/CF1', 'ema/OF1'}
    assert set(evaluate(samples(scores, labels), 60, prefix='test', score_fields={'only': 'pred_score'})) == {
        'test/only/mAP', 'test/only/CF1', 'test/only/OF1'
    }  # fmt: skip
    data = samples(scores, labels, scores)
    del data[5]['student_score']
    with pytest.raises(DataError, match="'student_score' in 59 of 60 samples"):
        evaluate(data, 60)
    with pytest.raises(DataError, match='found none of the fields'):
        evaluate(samples(scores, labels), 60, score_fields={'ema': 'score'})


def test_samples_without_an_id_or_labels_and_wrong_class_lists_are_refused():
    scores, labels = random_case(4)
    for field in ('image_id', 'gt_score'):
        data = samples(scores, labels)
        del data[0][field]
        with pytest.raises(DataError, match=field):
            evaluate(data, 60)
    with pytest.raises(DataError, match='2 class names in the data set, but 9 labels'):
        evaluate(samples(scores, labels), 60, ['cat', 'dog'])


def test_bfloat16_scores_and_float_labels_are_taken():
    scores, labels = random_case(5)
    data = samples(scores, labels)
    for sample in data:
        sample['pred_score'] = sample['pred_score'].bfloat16()
        sample['gt_score'] = sample['gt_score'].float()
    rounded = torch.tensor(scores).bfloat16().float().numpy()
    assert evaluate(data, 60)['ema/mAP'] == pytest.approx(100 * mean_average_precision(rounded, labels))


def test_a_test_set_without_positives_has_no_figure():
    with pytest.raises(DataError, match='found no class with a positive among the 2 test images, so that no figure'):
        evaluate(samples(np.array([[0.4, 0.5], [0.1, 0.9]]), np.array([[0, -1], [0, 0]])), 2)


def test_without_any_negative_an_map_is_left_out():
    scores = np.array([[0.4, 0.5], [0.1, 0.9]])
    found = evaluate(samples(scores, np.array([[1, -1], [1, 1]])), 2, save_per_class=True)
    assert sorted(found) == ['ema/CF1', 'ema/OF1']
    assert 'ema/mAP' in evaluate(samples(scores, np.array([[1, -1], [0, 1]])), 2)


def with_fields(scores, labels, **fields):
    """One sample for each image; each field has a row for each."""
    rows = [dict(image_id=str(i), gt_score=labels[i], pred_score=scores[i]) for i in range(len(labels))]
    return [row | {name: values[i] for name, values in fields.items()} for i, row in enumerate(rows)]


def test_cf1_and_of1_are_those_of_the_labels_that_the_model_gave():
    scores, labels = random_case(2)
    given = np.random.default_rng(5).random(labels.shape) < 0.4  # nothing to do with the scores
    samples_ = with_fields(scores, labels, pred_label=[np.flatnonzero(row) for row in given], student_score=1 - scores)
    found = evaluate(samples_, 60)
    expected = [100 * value for value in cf1_of1(given, labels)]
    assert [found['ema/CF1'], found['ema/OF1']] == pytest.approx(expected)
    assert found['student/CF1'] == pytest.approx(100 * cf1_of1(1 - scores, labels, 0.5)[0])
    fixed = evaluate(samples_, 60, threshold=0.3)  # a threshold of the config takes their place
    assert fixed['ema/CF1'] == pytest.approx(100 * cf1_of1(scores, labels, 0.3)[0])


def test_labels_of_the_model_count_for_its_own_scores_in_any_order_of_rows():
    scores, labels = random_case(2)
    fields = dict(pred_label=[np.flatnonzero(row) for row in scores > 0.2], student_score=1 - scores, raw_score=scores)
    rows = [('ema', 'pred_score'), ('student', 'student_score')]
    found, turned = (
        evaluate(with_fields(scores, labels, **fields), 60, score_fields=dict(order)) for order in (rows, rows[::-1])
    )
    assert found == turned


def test_calibration_is_reported_before_and_after():
    labels = (np.random.default_rng(0).random((400, 3)) < 0.3).astype(np.int8)
    labels[:5, 0] = -1
    calibrated, raw = np.full(labels.shape, 0.3, np.float32), np.full(labels.shape, 0.7, np.float32)
    found = evaluate(with_fields(calibrated, labels, raw_score=raw), 400)
    share = labels[labels >= 0].mean()
    assert found['ema/ECE'] == pytest.approx(100 * abs(0.3 - share), abs=1e-4)
    assert found['ema/raw_ECE'] == pytest.approx(100 * abs(0.7 - share), abs=1e-4)
    known = labels >= 0
    assert found['ema/raw_Brier'] == pytest.approx(100 * ((0.7 - labels[known]) ** 2).mean(), abs=1e-4)
    assert found['ema/Brier'] < found['ema/raw_Brier']
    same = evaluate(with_fields(raw, labels, raw_score=raw), 400)
    assert 'ema/raw_ECE' not in same
    assert same['ema/ECE'] == found['ema/raw_ECE']


def test_classes_that_say_nothing_are_named(caplog):
    from mmengine.logging import MMLogger

    scores, labels = random_case(0)
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        evaluate(samples(scores, labels, scores), 60, [f'thing{c}' for c in range(9)])
    finally:
        logger.removeHandler(caplog.handler)
    assert '1 of 9 classes have no positive among the 60 images and count for nothing in mAP: thing3' in caplog.text
    assert '1 of 9 classes have no negative among the 60 images and count for nothing in mAP: thing5' in caplog.text
