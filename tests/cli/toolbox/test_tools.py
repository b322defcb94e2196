"""mmpretrain's own tools on a trained model of several labels: each runs with right output, or says why not."""

import csv
import json
from types import SimpleNamespace

import mmengine
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import multilabel_confusion_matrix

from cssa_mm import load_model


@pytest.fixture(scope='session')
def toolbox(quick_run):
    """toolbox(name, *arguments) -> what a tool that must run has shown, stdout and stderr."""

    def call(name: str, *arguments) -> str:
        done = quick_run('tools/toolbox.py', name, *arguments)
        assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-3000:]
        return done.stdout + done.stderr

    return call


@pytest.fixture(scope='session')
def run(trained, tool, tmp_path_factory):
    """A training: its config K as it was dumped, its checkpoint C, the predictions P of its test, its log."""
    config, folder = trained.work_dir / 'toy.py', tmp_path_factory.mktemp('tools')
    predictions = folder / 'p.pkl'
    tool('test.py', config, trained.checkpoint, '--work-dir', folder, '--out', predictions)
    (log,) = trained.work_dir.glob('*/vis_data/scalars.json')
    return SimpleNamespace(K=config, C=trained.checkpoint, P=predictions, log=log, work_dir=trained.work_dir)


def works(feature, note):
    return pytest.mark.toolbox('Tools', feature, 'works', note)


@works('`analysis_tools/get_flops K --shape 224`', 'counts the frozen tower and the head; tells what is trained')
def test_get_flops(toolbox, run):
    text = toolbox('analysis_tools/get_flops', run.K, '--shape', '64')
    model = load_model(run.C, device='cpu')
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert f'trained {trained:,}' in text
    assert 'Input shape: (3, 64, 64)' in text


@works('`visualization/vis_scheduler K --save-path s.png`', 'the rate of each optimiser step of both phases')
def test_vis_scheduler(toolbox, run, tmp_path):
    text = toolbox('visualization/vis_scheduler', run.K, '--save-path', tmp_path / 's.png', '--dataset-size', '80')
    # 32 of 80 are labelled: 4 steps of 8; then 48 in steps of 6.
    assert 'Optimiser steps: 20 = 4 in 1 epochs of warm-up + 16 in 2 semi-supervised epochs' in text
    assert Image.open(tmp_path / 's.png').size == (1320, 770)


@works('`visualization/vis_tsne K --checkpoint C`', 'label-specific features; a point is an image and a label of it')
def test_vis_tsne(toolbox, run, tmp_path):
    options = ['--work-dir', tmp_path, '--perplexity', '5', '--n-iter', '250', '--legend']
    text = toolbox('visualization/vis_tsne', run.K, '--checkpoint', run.C, *options)
    (folder,) = tmp_path.glob('tsne_*')
    positives = sum(int((each['gt_score'] == 1).sum()) for each in mmengine.load(run.P))
    assert np.load(folder / 'feat_pre_logits.npy').shape == (positives, 16)
    assert f'{positives} points of label-specific features' in text
    assert Image.open(folder / 'feat_pre_logits.png').size[0] > 1000


@works(
    '`visualization/vis_cam IMAGE K C`',
    "where each label's prompt looked, as `cssa explain` draws it; the frozen tower has no gradients",
)
def test_vis_cam(toolbox, run, toy_data, tmp_path):
    image, options = toy_data / 'test' / '500.png', ['--target-category', '2', '0', '--target-layers', 'backbone.tower']
    text = toolbox('visualization/vis_cam', image, run.K, run.C, '--save-path', tmp_path / 'c.png', *options)
    assert "what each label's prompt finds in it (--target-layers without effect)" in text
    assert {line.split(':')[0] for line in text.splitlines() if ': score ' in line} == {'traffic light', 'dog'}
    assert Image.open(tmp_path / 'c.png').size[0] > 600


@works('`analysis_tools/confusion_matrix K C` (or predictions)', "one 2 x 2 table a class, by the model's labels")
def test_confusion_matrix(toolbox, run, tmp_path):
    samples = mmengine.load(run.P)
    truth = np.stack([each['gt_score'].numpy() for each in samples])
    labels = np.stack([np.isin(np.arange(6), each['pred_label'].numpy()) for each in samples])
    for number, source in enumerate((run.C, run.P)):
        out = tmp_path / f'{number}.pkl'
        toolbox(
            'analysis_tools/confusion_matrix', run.K, source, '--out', out, '--show-path', tmp_path / f'{number}.png'
        )
        np.testing.assert_array_equal(mmengine.load(out), multilabel_confusion_matrix(truth, labels))
        assert Image.open(tmp_path / f'{number}.png').size[0] > 300


@works('`analysis_tools/analyze_results K P --out-dir D`', 'images with all labels right, and with most labels wrong')
def test_analyze_results(toolbox, run, tmp_path):
    toolbox('analysis_tools/analyze_results', run.K, run.P, '--out-dir', tmp_path, '--topk', '2')
    wrong = []
    for each in mmengine.load(run.P):
        labels = np.isin(np.arange(6), each['pred_label'].numpy())
        wrong.append(int((labels != (each['gt_score'].numpy() == 1)).sum()))
    records = json.loads((tmp_path / 'fail' / 'fail.json').read_text())
    assert [record['wrong_labels'] for record in records] == sorted(wrong, reverse=True)[:2]
    assert all((tmp_path / 'fail' / record['picture']).is_file() for record in records)


@works('`misc/verify_dataset K`', 'opens every image as training does')
def test_verify_dataset(toolbox, run, tmp_path):
    out = tmp_path / 'broken.log'
    for phase, count in (('train', 40), ('val', 12), ('test', 12)):
        text = toolbox('misc/verify_dataset', run.K, '--phase', phase, '--out-path', out)
        assert f'There is no broken file found.\n{count} images opened' in text
    (tmp_path / 'a.jpg').write_bytes(b'no image')
    Image.new('RGB', (64, 64), 'red').save(tmp_path / 'b.jpg')
    with open(tmp_path / 'labels.csv', 'w', newline='') as file:
        csv.writer(file).writerows([['image', 'labels'], ['a.jpg', 'dog'], ['b.jpg', 'cat']])
    options = ['--out-path', out, '--cfg-options', f'train_dataloader.dataset.data_root={tmp_path}']
    text = toolbox('misc/verify_dataset', 'cssa_table', *options)
    assert out.read_text().splitlines() == [str(tmp_path / 'a.jpg')]
    assert '1 broken files found' in text


@works('`kfold-cross-valid K --num-splits 2`', 'folds of the labelled images, the same in each call, and a summary')
def test_kfold_cross_valid(toolbox, run, tmp_path):
    short = ['--cfg-options', 'train_cfg.semi_epochs=0', 'train_cfg.val_begin=1', 'default_hooks.calibration=None']
    options = ['--num-splits', '2', '--work-dir', tmp_path]
    toolbox('kfold-cross-valid', run.K, *options, '--fold', '1', *short)
    toolbox('kfold-cross-valid', run.K, *options, '--fold', '0', *short)
    text = toolbox('kfold-cross-valid', run.K, *options, '--summary')
    known = json.loads((tmp_path / 'kfold_summary.json').read_text())['folds']
    assert sorted(known) == ['0', '1']
    scores = [known[fold]['ema/mAP'] for fold in ('0', '1')]
    for fold, score in enumerate(scores):  # as the log of the fold has it
        (log,) = (tmp_path / f'fold{fold}').glob('*/vis_data/scalars.json')
        assert json.loads(log.read_text().splitlines()[-1])['ema/mAP'] == score
    (line,) = [line.split() for line in text.splitlines() if line.startswith('ema/mAP')]
    assert [float(value) for value in line[1:]] == pytest.approx(
        [*scores, np.mean(scores), np.std(scores, ddof=1)], abs=0.01
    )


@works('`analysis_tools/eval_metric P --metric type=...`', 'metrics that take unknown cells for labels are refused')
def test_eval_metric(toolbox, run):
    samples = mmengine.load(run.P)
    text = toolbox('analysis_tools/eval_metric', run.P, '--metric', 'type=MultiLabelMetric', 'average=micro', 'thr=0.4')
    truth = np.stack([each['gt_score'].numpy() for each in samples]) == 1
    labels = np.stack([each['pred_score'].numpy() for each in samples]) >= 0.4
    precision = 100 * (truth & labels).sum() / max(1, labels.sum())
    (line,) = [line for line in text.splitlines() if 'precision' in line]
    assert float(line.split(':')[1].rstrip(',')) == pytest.approx(precision, abs=1e-3)


@works('`analysis_tools/analyze_logs plot_curve, cal_train_time`', 'over optimiser steps: epochs differ in length')
def test_analyze_logs(toolbox, run, tmp_path):
    keys = ['--keys', 'loss_unlabelled', 'ema/mAP', '--out', tmp_path / 'curve.png']
    toolbox('analysis_tools/analyze_logs', 'plot_curve', run.log, *keys)
    assert Image.open(tmp_path / 'curve.png').size[0] > 600
    assert 'nan' not in toolbox('analysis_tools/analyze_logs', 'cal_train_time', run.log)


@works('`model_converters/publish_model C OUT`', 'a checkpoint without optimiser, which `load_model` opens')
def test_publish_model(toolbox, run, tmp_path, state_of):
    toolbox('model_converters/publish_model', run.C, tmp_path / 'out.pth')
    (published,) = tmp_path.glob('out_*.pth')
    assert 'optimizer' not in torch.load(published, weights_only=True)
    before, after = state_of(run.C), state_of(published)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert load_model(published, device='cpu').class_names == load_model(run.C, device='cpu').class_names


@works('`misc/print_config cssa_table`', 'tools take the names of shipped configs for their files')
def test_print_config(toolbox):
    assert "type='SemiSupervisedTrainLoop'" in toolbox('misc/print_config', 'cssa_table')


@works('`visualization/browse_dataset K`', 'training images with their labels')
def test_browse_dataset(toolbox, tmp_path):
    for part in ('a', 'b'):
        (tmp_path / 'images' / part).mkdir(parents=True)
        Image.new('RGB', (64, 64), (250, 20, 10 * (part == 'b'))).save(tmp_path / 'images' / part / '1.jpg')
    with open(tmp_path / 'labels.csv', 'w', newline='') as file:
        csv.writer(file).writerows([['image', 'labels'], ['a/1.jpg', 'dog'], ['b/1.jpg', 'cat;dog']])
    options = ['--cfg-options', f'train_dataloader.dataset.data_root={tmp_path}']
    toolbox('visualization/browse_dataset', 'cssa_table', '--not-show', '--output-dir', tmp_path / 'out', *options)
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['1.jpg', '1_2.jpg']
    with Image.open(tmp_path / 'out' / '1.jpg') as picture:
        red, _, blue = np.asarray(picture, dtype=int).reshape(-1, 3)[picture.width * picture.height // 2]
    assert red > blue + 150


@works('`train` and `test` of mmpretrain', 'the same as `cssa train` and `cssa test`')
def test_train_and_test(toolbox, run, tmp_path):
    toolbox('train', run.K, '--work-dir', tmp_path, '--cfg-options', 'train_cfg.semi_epochs=0', 'train_cfg.val_begin=9')
    assert (tmp_path / 'last_checkpoint').is_file()
    toolbox('test', run.K, run.C, '--work-dir', tmp_path, '--out', tmp_path / 'p.pkl')
    for mine, theirs in zip(mmengine.load(run.P), mmengine.load(tmp_path / 'p.pkl'), strict=True):
        assert torch.equal(mine['pred_score'], theirs['pred_score'])


def other(feature, note, name):
    return pytest.param(name, marks=pytest.mark.toolbox('Tools', feature, 'not meant', note), id=name)


@pytest.mark.parametrize(
    'name',
    [
        other('`model_converters/*_to_mmpretrain`, `dataset_converters/*`', '`cssa towers`, `cssa import`',
              'model_converters/clip_to_mmpretrain'),
        other('`model_converters/merge_lora_weight`, `reparameterize_model`', 'there is nothing to merge',
              'model_converters/merge_lora_weight'),
        other('`analysis_tools/shape_bias`', 'one of 16 classes an image', 'analysis_tools/shape_bias'),
        other('`torchserve/*`', '`cssa export`', 'torchserve/mmpretrain2torchserve'),
        other('`benchmarks/*`', 'the tower is frozen', 'benchmarks/mmdetection/mim_dist_test.sh'),
        other('`dist_*.sh`, `slurm_*.sh` of the toolbox', '`tools/dist_train.sh` of a clone, or torchrun',
              'dist_train.sh'),
    ],
)  # fmt: skip
def test_other_tools_say_in_one_line_that_they_are_not_meant(quick_run, name):
    done = quick_run('tools/toolbox.py', name, 'a', '--b')
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()[-1:]
    assert line.startswith(f'error: toolbox: {name} is not meant')
    assert 'Traceback' not in done.stderr


def test_the_list_shows_the_tools(toolbox):
    text = toolbox('--list')
    assert 'visualization/vis_tsne' in text
    assert 'not meant' in text
