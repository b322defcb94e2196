"""Metrics of mmpretrain on our samples against scikit-learn, with unknown cells too; what does not fit is refused."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmpretrain.registry import DATASETS, METRICS
from sklearn.metrics import average_precision_score, precision_recall_fscore_support

from cssa_mm.engine.config.metrics import check_labels, check_metrics, check_parts
from cssa_mm.engine.runner import CSSARunner
from cssa_mm.errors import ConfigError

CONFIGS = [
    dict(type='CSSAMetric', threshold=0.5),
    dict(type='MultiLabelMetric', thr=0.5),
    dict(type='MultiLabelMetric', topk=2, average='micro'),
    dict(type='MultiLabelMetric', thr=0.3, average=None, prefix='each'),
    dict(type='AveragePrecision'),
]


class KeepSamples(BaseMetric):
    """What the model handed to the metrics."""

    default_prefix = ''

    def __init__(self):
        super().__init__()
        self.kept = []

    def process(self, data_batch, data_samples):
        self.kept += data_samples

    def compute_metrics(self, results):
        return {}


def by_sklearn(scores, truth):
    """Every figure over the known cells of scores and truth (M, C)."""
    known = truth >= 0
    figures = {}

    def per_class(predicted, average):
        if average == 'micro':
            p, r, f, _ = precision_recall_fscore_support(truth[known], predicted[known], average='binary')
            return 100 * np.array([p, r, f])
        rows = [
            precision_recall_fscore_support(t[k], p[k], average='binary', zero_division=0)[:3]
            for t, p, k in zip(truth.T, predicted.T, known.T, strict=True)
        ]
        return 100 * np.array(rows).T

    top = np.zeros_like(truth)
    np.put_along_axis(top, np.argsort(-scores, 1)[:, :2], 1, 1)
    names = ('precision', 'recall', 'f1-score')
    figures |= {f'multi-label/{n}': v.mean() for n, v in zip(names, per_class(scores >= 0.5, 'macro'), strict=True)}
    figures |= {f'multi-label/{n}_top2_micro': v for n, v in zip(names, per_class(top, 'micro'), strict=True)}
    figures |= {
        f'each/{n}_thr-0.30_classwise': list(v) for n, v in zip(names, per_class(scores >= 0.3, None), strict=True)
    }
    precise = [average_precision_score(t[k], s[k]) for t, s, k in zip(truth.T, scores.T, known.T, strict=True)]
    return figures | {'multi-label/mAP': 100 * np.mean(precise)}


@pytest.mark.parametrize('hidden', [0, 17], ids=['all known', 'some unknown'])
@pytest.mark.smoke
def test_their_figures_beside_ours_are_those_of_scikit_learn(tiny_config, hidden):
    runner = CSSARunner.from_cfg(tiny_config(test_evaluator=CONFIGS))
    loop = runner.test_loop
    keep = KeepSamples()
    loop.evaluator.metrics.append(keep)
    dataset = loop.dataloader.dataset
    dataset.labels.reshape(-1)[np.random.RandomState(1).permutation(dataset.labels.size)[:hidden]] = -1
    with torch.no_grad():
        runner.model.head.bias += 2.0 * torch.linspace(-1, 1, 6)  # some classes above .5, some below
    found = runner.test()
    scores = torch.stack([sample['pred_score'] for sample in keep.kept]).numpy()
    truth = torch.stack([sample['gt_score'] for sample in keep.kept]).numpy().astype(int)
    assert int((truth < 0).sum()) == hidden
    assert 0 < (scores >= 0.5).mean() < 1
    for name, expected in by_sklearn(scores, truth).items():
        assert found[name] == pytest.approx(expected, rel=1e-5), name
    assert found['ema/mAP'] == pytest.approx(found['multi-label/mAP'], rel=1e-5)


def test_one_metric_of_theirs_alone_is_enough(tiny_config):
    runner = CSSARunner.from_cfg(tiny_config(test_evaluator=dict(type='MultiLabelMetric', thr=0.5, _delete_=True)))
    assert set(runner.test()) == {f'multi-label/{name}' for name in ('precision', 'recall', 'f1-score')}


@pytest.mark.parametrize(
    ('evaluator', 'message'),
    [
        (dict(type='Accuracy', topk=(1, 5)), 'val_evaluator: found Accuracy, which does not read several labels'),
        (
            [dict(type='CSSAMetric'), dict(type='SingleLabelMetric')],
            r'val_evaluator\[1\]: found SingleLabelMetric, which',
        ),
        (
            dict(metrics=[dict(type='ConfusionMatrix')]),
            r'val_evaluator.metrics\[0\]: found ConfusionMatrix, which does',
        ),
        (dict(type='RetrievalRecall', topk=1), 'found RetrievalRecall, which does not read several labels'),
        (dict(type='MultiTasksMetric', task_metrics={}), 'found MultiTasksMetric, which'),
        (dict(type='VOCMultiLabelMetric'), "found VOCMultiLabelMetric, which reads VOC's .* expected MultiLabelMetric"),
        (dict(type='VOCAveragePrecision'), 'found VOCAveragePrecision, .* expected AveragePrecision'),
        (dict(type='MultiLabelMetric', threshold=None), r'val_evaluator.threshold: .* dict\(_delete_=True'),
        (dict(thr=0.5), 'found a metric without type'),
        ('MultiLabelMetric', "found 'MultiLabelMetric', expected a metric such as"),
    ],
)
def test_what_does_not_read_several_labels_is_refused_by_name(evaluator, message):
    with pytest.raises(ConfigError, match=message) as error:
        check_metrics(Config(dict(val_evaluator=evaluator)))
    assert '\n' not in str(error.value)


def test_half_a_training_or_validation_is_refused():
    whole = dict(train_cfg=dict(), train_dataloader=dict(), optim_wrapper=dict())
    check_parts(Config(whole))
    for key in whole:
        with pytest.raises(ConfigError, match=f'^{key}: found None beside .*, expected all three'):
            check_parts(Config(whole | {key: None}))
    part = dict(val_dataloader=dict(batch_size=1), val_cfg=dict(), val_evaluator=None)
    with pytest.raises(ConfigError, match='val_evaluator: found None beside val_dataloader and val_cfg, .*--no-valid'):
        check_parts(Config(part))
    check_parts(Config(part | dict(val_evaluator=[])))
    check_parts(Config(dict.fromkeys(part)))


class CountsPositives(BaseMetric):
    """A metric of a user that takes everything but a positive for a negative."""

    default_prefix = 'mine'

    def process(self, data_batch, data_samples):
        self.results += [float(sample['pred_score'][sample['gt_label']].sum()) for sample in data_samples]

    def compute_metrics(self, results):
        return dict(share=float(np.mean(results)))


class KnowsUnknown(CountsPositives):
    def process(self, data_batch, data_samples):
        self.results += [float(sample['pred_score'][sample['gt_score'] >= 0].sum()) for sample in data_samples]


@pytest.fixture
def said(tiny_config, monkeypatch):
    """said(change, *metrics) -> the lines about them on the test labels, as `change` leaves those."""
    lines = []
    monkeypatch.setattr('cssa_mm.engine.config.metrics.print_log', lambda line, *_: lines.append(line))

    def say(change, *metrics):
        dataset = DATASETS.build(tiny_config().test_dataloader.dataset)
        change(dataset.labels)
        built = [METRICS.build(metric) if isinstance(metric, dict) else metric for metric in metrics]
        check_labels(built, dataset, 'test_evaluator')
        return lines

    return say


def hide_a_class(labels):
    labels[:, 2] = -1


def never_a_dog(labels):
    labels[:, 0] = 0


def hide_a_cell(labels):
    labels[3, 1] = -1


def nothing(labels):
    pass


def test_a_class_that_would_end_their_average_precision_is_refused_before(said):
    with pytest.raises(ConfigError, match=r'AveragePrecision, .* 1 of 6 have none here \(traffic light\)'):
        said(hide_a_class, *CONFIGS)


def test_classes_that_count_as_0_are_named(said):
    assert said(never_a_dog, dict(type='CSSAMetric'), dict(type='AveragePrecision', average=None)) == []
    (line,) = [line for line in said(never_a_dog, *CONFIGS) if 'count' in line]
    assert line.startswith('test_evaluator: the means of AveragePrecision and MultiLabelMetric count 1 of 6 classes')
    assert '(dog)' in line


def test_a_metric_that_takes_unknown_for_negative_is_named(said):
    (line,) = said(hide_a_cell, CountsPositives(), KnowsUnknown(), dict(type='CSSAMetric'))
    assert line.startswith('test_evaluator: CountsPositives counts unknown labels (gt_score -1) as negatives')


def test_on_known_labels_nothing_is_said(said):
    assert said(nothing, CountsPositives(), *CONFIGS[:2]) == []
