"""Metrics of mmpretrain, best checkpoints and what watches a metric: one training that stops early shows most."""

import json
from types import SimpleNamespace

import pytest
import torch

from cssa_mm.engine.config.preparing import prepare_config
from cssa_mm.errors import ConfigError

METRICS = "[dict(type='CSSAMetric'),dict(type='MultiLabelMetric',topk=2),dict(type='AveragePrecision')]"
# Nothing ever improves enough: it stops after the third epoch of four.
STOPPING = "dict(type='EarlyStoppingHook',monitor='ema/OF1',patience=2,min_delta=1000)"
OPTIONS = [
    'train_cfg.semi_epochs=3',
    'train_cfg.val_begin=1',
    'train_cfg.val_interval=1',
    f'val_evaluator={METRICS}',
    'default_hooks.checkpoint.save_best=[ema/mAP,ema/CF1]',
    'default_hooks.checkpoint.published_keys=[state_dict,meta]',
    'default_hooks.visualization.enable=True',
    f"custom_hooks=[{STOPPING},dict(type='EmptyCacheHook',after_iter=True)]",
    "param_scheduler=[dict(type='ReduceOnPlateauLR',monitor='ema/mAP',patience=0,threshold=10.0)]",
]


def metrics_row(feature, verdict, note):
    return pytest.mark.toolbox('Metrics and best checkpoints', feature, verdict, note)


def hooks_row(feature, verdict, note):
    return pytest.mark.toolbox('Hooks', feature, verdict, note)


@pytest.fixture(scope='module')
def stopped(tool, config, tmp_path_factory):
    """A training of four epochs that stopped after three: its folder, its log and the figures of its validations."""
    folder = tmp_path_factory.mktemp('stopped')
    tool('train.py', config, '--work-dir', folder, '--cfg-options', *OPTIONS)
    (log,) = folder.glob('*/*.log')
    (scalars,) = folder.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in scalars.read_text().splitlines()]
    return SimpleNamespace(
        folder=folder,
        log=log.read_text(),
        validations=[line for line in lines if 'ema/mAP' in line],
        steps=[line for line in lines if 'loss' in line],
    )


@metrics_row('`val_evaluator=[dict(...), ...]`', 'works', 'also one dict; None with `val_cfg=val_dataloader=None`')
@metrics_row(
    '`MultiLabelMetric(thr or topk)`', 'works', 'unknown cells are left out; `thr` applies to calibrated scores'
)
@metrics_row('`AveragePrecision`', 'works', 'a class without a positive counts as 0, which a line says')
def test_metrics_of_theirs_beside_ours(stopped):
    for figures in stopped.validations:
        assert {'multi-label/precision_top2', 'multi-label/f1-score_top2', 'ema/CF1'} <= set(figures)
        assert figures['multi-label/mAP'] == pytest.approx(figures['ema/mAP'], abs=1e-3)


@metrics_row("`save_best='ema/mAP'`, a list, or `'auto'`", 'works', 'the name is checked before the first step')
@metrics_row(
    "`save_best='ema/CF1'` without `rule`", 'works', 'whether more is better is known of our and their metrics'
)
@metrics_row('a best checkpoint of an earlier epoch', 'works', '.5 for every class on raw scores, which a line says')
def test_the_best_checkpoints_are_of_the_best_epochs(stopped):
    for name in ('mAP', 'CF1'):
        best = max(range(3), key=lambda epoch, key=f'ema/{name}': stopped.validations[epoch][key]) + 1
        path = stopped.folder / f'best_ema_{name}_epoch_{best}.pth'
        assert torch.load(path, weights_only=True)['meta']['epoch'] == best
    assert 'the best checkpoint of an earlier one has .5 for every class on raw scores' in stopped.log


@metrics_row('`cssa predict` of a best or published checkpoint', 'works', '')
@metrics_row('`published_keys`', 'works', "with 'state_dict' among them")
def test_best_and_published_checkpoints_predict(stopped, tool, toy_data, tmp_path):
    (best,) = stopped.folder.glob('best_ema_mAP_epoch_?.pth')
    (published,) = stopped.folder.glob('best_ema_mAP_epoch_?-????????.pth')
    tables = []
    for number, checkpoint in enumerate((best, published)):
        out = tmp_path / str(number)
        wanted = ['--checkpoint', checkpoint, '--out', out, '--scores', 'csv', '--formats']
        tool('predict.py', toy_data / 'test', *wanted)
        tables.append((out / 'scores.csv').read_text())
    assert tables[0] == tables[1]
    assert len(tables[0].splitlines()) == 13


@metrics_row("`ReduceOnPlateauLR(monitor='ema/mAP')`", 'works', '`rule` follows from the metric')
def test_a_plateau_lowers_the_rate(stopped):
    rates = [step['base_lr'] for step in stopped.steps]
    assert min(rates) == pytest.approx(0.1 * max(rates))


@hooks_row('`EarlyStoppingHook`', 'works', 'the log says that thresholds, found after the last epoch, are missing then')
def test_early_stopping_stops(stopped):
    assert len(stopped.validations) == 3
    assert (stopped.folder / 'last_checkpoint').read_text().endswith('epoch_3.pth')
    assert 'Calibration: the training ended after 3 of 4 epochs' in stopped.log
    assert 'with train_cfg.semi_epochs=2 the last epoch has them' in stopped.log


@hooks_row('`--cfg-options "custom_hooks=[dict(type=...)]"`', 'works', '')
@hooks_row('`EmptyCacheHook`', 'works', '')
@hooks_row('`VisualizationHook`', 'works', 'of validation images, if `enable=True`')
def test_hooks_of_theirs_run_beside_ours(stopped):
    assert 'EmptyCacheHook' in stopped.log
    assert list(stopped.folder.glob('*/vis_data/vis_image/*.png'))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        pytest.param(
            {'val_evaluator': [dict(type='Accuracy', topk=1)]},
            r'val_evaluator\[0\]: found Accuracy, which does not read several labels .* expected CSSAMetric',
            marks=metrics_row(
                '`Accuracy`, `SingleLabelMetric`, `ConfusionMatrix`, `RetrievalRecall`',
                'not meant',
                'for one label an image',
            ),
        ),
        pytest.param(
            {'test_evaluator': [dict(type='VOCAveragePrecision')]},
            r'test_evaluator\[0\]: found VOCAveragePrecision, .* expected AveragePrecision',
            marks=metrics_row(
                '`VOCMultiLabelMetric`, `VOCAveragePrecision`',
                'refused',
                '`MultiLabelMetric` and `AveragePrecision` with `ignore_difficult=True` of the data set',
            ),
        ),
        pytest.param(
            {'default_hooks.checkpoint.save_best': 'mine/error'},
            "default_hooks.checkpoint.rule: found none for 'mine/error'",
            marks=metrics_row('`save_best` of a metric of yours without `rule`', 'refused', ''),
        ),
        pytest.param(
            {'default_hooks.checkpoint.published_keys': ['meta']},
            "published_keys: .* 'state_dict' among them",
            marks=metrics_row("`published_keys` without 'state_dict'", 'refused', ''),
        ),
    ],
)
def test_what_means_nothing_is_refused_before_anything_is_built(tiny_config, change, message):
    with pytest.raises(ConfigError, match=message):
        prepare_config(tiny_config(**change))


@metrics_row('`save_best` of a name that will not exist', 'refused', 'before the first step, with the names that will')
@metrics_row('`rule` that takes the worst for the best', 'refused', 'also of `ReduceOnPlateauLR`')
def test_names_and_rules_are_checked_before_the_first_step(quick_run, config, tmp_path):
    for option, message in (
        (
            'default_hooks.checkpoint.save_best=mAP',
            "found 'mAP', which no validation will give as a number, expected one of",
        ),
        ("param_scheduler=[dict(type='ReduceOnPlateauLR',monitor='ema/mAP',rule='less')]", "expected rule='greater'"),
    ):
        done = quick_run('tools/train.py', config, '--work-dir', tmp_path, '--cfg-options', option)
        assert done.returncode != 0
        assert message in done.stderr
        assert 'Traceback' not in done.stderr
    assert not list(tmp_path.glob('*.pth'))
