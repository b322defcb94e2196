"""Names of results before training, against those that a validation gives; who looks for others is refused."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.evaluator import BaseMetric, DumpResults, Evaluator
from mmengine.hooks import CheckpointHook, EarlyStoppingHook
from mmengine.optim import ReduceOnPlateauLR
from mmengine.runner.utils import calc_dynamic_intervals
from mmpretrain.registry import DATASETS, METRICS

from cssa_mm.engine import monitored
from cssa_mm.engine.calibration_hook import CalibrationHook
from cssa_mm.engine.monitored import check_monitored, direction, expected_results
from cssa_mm.errors import ConfigError

OURS = dict(type='CSSAMetric')
THEIRS = [dict(type='MultiLabelMetric', thr=0.5), dict(type='AveragePrecision')]
NAMES = [f'ema/{name}' for name in ('mAP', 'CF1', 'OF1', 'ECE', 'Brier')]
NAMES += [f'student/{name}' for name in ('mAP', 'CF1', 'OF1')]


class UsersMetric(BaseMetric):
    default_prefix = 'mine'

    def process(self, data_batch, data_samples):
        self.results += [float(sample['pred_score'][0]) for sample in data_samples]

    def compute_metrics(self, results):
        return dict(mean=np.mean(results), worst=torch.tensor(min(results)).numpy())


class NeedsABatch(UsersMetric):
    def process(self, data_batch, data_samples):
        self.results.append(data_batch['inputs'])


@pytest.fixture
def make_run(tiny_config):
    """make_run(metrics, hooks=(), schedulers=()) -> what is looked at of a runner."""

    def make(metrics, hooks=(), schedulers=(), **changes):
        config = tiny_config()
        built = [METRICS.build(dict(metric)) if isinstance(metric, dict) else metric for metric in metrics]
        run = dict(
            cfg=config,
            hooks=list(hooks),
            param_schedulers=list(schedulers),
            val_dataloader=SimpleNamespace(dataset=DATASETS.build(config.val_dataloader.dataset)),
            val_loop=SimpleNamespace(evaluator=Evaluator(built)),
            train_loop=loop(),
            max_epochs=3,
        )
        return SimpleNamespace(**run | changes)

    return make


def loop(interval=1, dynamic_intervals=None):
    milestones, intervals = calc_dynamic_intervals(interval, dynamic_intervals)
    return SimpleNamespace(val_begin=1, dynamic_milestones=milestones, dynamic_intervals=intervals)


def plateau(**options):
    return ReduceOnPlateauLR(torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], 0.1), **options)


@pytest.fixture
def lines_of(monkeypatch):
    """lines_of(run) -> the lines that are logged about it."""

    def lines(run):
        said = []
        monkeypatch.setattr(monitored, 'print_log', lambda line, *_: said.append(line))
        check_monitored(run)
        return said

    return lines


@pytest.mark.smoke
def test_the_names_are_those_that_a_validation_gives(make_run, tmp_path):
    dumped = tmp_path / 'a.pkl'
    run = make_run([OURS, *THEIRS, UsersMetric(), DumpResults(str(dumped))])
    expected = [*NAMES, *(f'multi-label/{name}' for name in ('precision', 'recall', 'f1-score', 'mAP'))]
    assert list(expected_results(run)) == [*expected, 'mine/mean', 'mine/worst']
    assert not dumped.exists()
    assert all(metric.results == [] for metric in run.val_loop.evaluator.metrics)


def test_a_trial_moves_no_random_number_and_logs_nothing(make_run, caplog):
    run = make_run([OURS])
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    expected_results(run)
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()
    assert caplog.records == []


def test_an_average_precision_that_the_labels_do_not_allow_is_no_name(make_run):
    run = make_run([OURS])
    labels = run.val_dataloader.dataset.labels
    labels[labels == 0] = -1
    assert list(expected_results(run)) == [name for name in NAMES if 'mAP' not in name]


def test_the_names_of_classes_are_those_that_have_a_positive_and_a_negative(make_run):
    run = make_run([dict(type='CSSAMetric', save_per_class=True)])
    run.val_loop.evaluator.dataset_meta = run.val_dataloader.dataset.metainfo  # as the loop does
    labels = run.val_dataloader.dataset.labels
    labels[:] = 1
    labels[7, 2] = 0
    labels[:, 4] = [0, -1] * 6
    precise = [name for name in expected_results(run) if name.startswith('ema/AP/')]
    assert precise == ['ema/AP/traffic light']


def test_where_a_metric_cannot_be_tried_nothing_is_refused(make_run):
    run = make_run([OURS, NeedsABatch()], [CheckpointHook(save_best='anything', rule='less')])
    assert expected_results(run) is None
    check_monitored(run)


@pytest.mark.parametrize(
    ('hooks', 'schedulers', 'message'),
    [
        ([CheckpointHook(save_best='mAP')], [], r"save_best: found 'mAP', .* expected one of ema/mAP, .*Did you mean"),
        ([CheckpointHook(save_best='accuracy/top1')], [], "save_best: found 'accuracy/top1'"),
        ([CheckpointHook(save_best=['ema/mAP', 'emma/mAP'])], [], "'emma/mAP', .* Did you mean 'ema/mAP'"),
        ([CheckpointHook(save_best='ema/mAP', rule='less')], [], "'ema/mAP' with rule='less', expected rule='greater'"),
        ([EarlyStoppingHook('mAP')], [], "EarlyStoppingHook.monitor: found 'mAP'"),
        ([EarlyStoppingHook('ema/ECE', 'greater')], [], "expected rule='less'"),
        ([], [plateau()], "param_scheduler: ReduceOnPlateauLR.monitor: found 'loss'"),
        ([], [plateau(monitor='ema/mAP')], "'ema/mAP' with rule='less', expected rule='greater'"),
    ],
)
def test_a_name_or_rule_that_means_nothing_is_refused_in_one_line(make_run, hooks, schedulers, message):
    with pytest.raises(ConfigError, match=message) as error:
        check_monitored(make_run([OURS, *THEIRS], hooks, schedulers))
    assert '\n' not in str(error.value)


def test_a_list_of_values_has_no_best(make_run):
    run = make_run(
        [dict(type='AveragePrecision', average=None)],
        [CheckpointHook(save_best='multi-label/AP_classwise', rule='greater')],
    )
    with pytest.raises(ConfigError, match='found a list, one value for each class'):
        check_monitored(run)


def test_two_results_of_one_name_are_refused(make_run):
    with pytest.raises(ConfigError, match=r"two metrics that give 'multi-label/precision', .* set prefix="):
        check_monitored(make_run([THEIRS[0], THEIRS[0]], [CheckpointHook(save_best='auto')]))


def test_auto_is_the_first_result_with_its_rule(make_run):
    hook = CheckpointHook(save_best='auto')
    check_monitored(make_run([dict(type='MultiLabelMetric', thr=0.5, items=['recall'])], [hook]))
    hook._init_rule(hook.rules, ['multi-label/recall'])  # as mmengine does after the first validation
    assert hook.rules == ['greater']


def test_a_best_checkpoint_is_described_where_it_may_not_be_the_last(make_run, lines_of):
    hooks = [CheckpointHook(save_best=['ema/mAP', 'ema/CF1'], rule='greater'), CalibrationHook()]
    (line,) = lines_of(make_run([OURS], hooks))
    assert line.startswith('save_best: the epoch is chosen on the images of val_dataloader, which are those of test')
    assert line.endswith(
        'has .5 for every class on raw scores, so that ema/CF1 of the last epoch compares with no other'
    )
    (line,) = lines_of(make_run([OURS], hooks, train_loop=loop(interval=9)))
    assert 'raw scores' not in line
    (line,) = lines_of(make_run([OURS], hooks, train_loop=loop(interval=9, dynamic_intervals=[(2, 1)])))
    assert 'raw scores' in line


@pytest.mark.parametrize('change', [dict(val_loop=None), dict(train_loop=SimpleNamespace(val_begin=4))])
def test_without_a_validation_one_line_says_that_nothing_happens(make_run, lines_of, change):
    run = make_run([OURS], [CheckpointHook(save_best='ema/mAP')], **change)
    (line,) = lines_of(run)
    assert line.startswith("default_hooks.checkpoint.save_best='ema/mAP': no epoch of this training is validated")


@pytest.mark.parametrize(
    ('name', 'rule'),
    [
        ('ema/mAP', 'greater'),
        ('student/CF1', 'greater'),
        ('ema/AP/blossom', 'greater'),  # mmengine reads 'loss'
        ('multi-label/f1-score_top3', 'greater'),
        ('multi-label/recall_thr-0.30', 'greater'),
        ('accuracy/top1', 'greater'),
        ('ema/ECE', 'less'),
        ('ema/raw_Brier', 'less'),
        ('loss', 'less'),
        ('mine/error', None),
    ],
)
def test_names_tell_whether_more_is_better(name, rule):
    assert direction(name) == rule
