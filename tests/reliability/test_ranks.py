"""Whole trainings on 1, 2 and 4 processes, where images do not divide over them. Oracle: the one process.

`bash tools/acceptance.sh ranks` compares them with other numbers of images, too.
"""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import cssa_mm
from cssa_mm.demo.scenes import generate_demo

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(torch.cuda.is_available(), reason='where there is CUDA, each process needs a GPU of its own'),
]
# By default 19 labelled, 45 unlabelled and 13 test images; a batch divides over 4 processes.
TRAIN, TEST = int(os.environ.get('CSSA_SCENES', 64)), 13
# Thresholds are scores of images. Neighbours hold readings in float16: where rounding takes one of them to the next
# number there, the scores of images that lean on it move by some 2e-5.
THRESHOLDS = {'cssa': 3e-6, 'cssa_plus': 1e-4}
METHODS = {'cssa': 'cssa_demo', 'cssa_plus': 'cssa_plus_demo'}
SHORT = {
    'train_cfg.warmup_epochs': 2,
    'train_cfg.semi_epochs': 3,
    'train_cfg.val_begin': 1,
    'train_cfg.val_interval': 1,
    'train_dataloader.batch_size': 16,
    'train_dataloader.dataset.split.proportion': 0.3,
    'default_hooks.pseudo_labels.num_workers': 0,
    'default_hooks.bad_images.num_workers': 0,
    'default_hooks.calibration.rule': 'none',
    'default_hooks.live_view': None,
    'default_hooks.logger.interval': 1,
    'log_processor': dict(window_size=1),
    'randomness.seed': 0,
    'report': False,
} | {
    f'{name}_dataloader.{key}': value
    for name in ('train', 'val', 'test')
    for key, value in dict(num_workers=0, persistent_workers=False).items()
}


def read(folder: Path) -> SimpleNamespace:
    """The rows that a run logged, and its pseudo-labels by epoch."""
    (scalars,) = folder.glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in scalars.read_text().splitlines()]
    return SimpleNamespace(
        losses=[{key: value for key, value in row.items() if 'loss' in key} for row in rows if 'loss' in row],
        validations=[{key: value for key, value in row.items() if '/' in key} for row in rows if 'ema/mAP' in row],
        epochs=[json.loads(line) for line in (folder / 'pseudo_labels.jsonl').read_text().splitlines()],
        labels=torch.load(folder / 'labels.pt'),
    )


@pytest.fixture(scope='module')
def runs(in_ranks, tmp_path_factory):
    """Number of processes -> method -> what its run wrote."""
    root = tmp_path_factory.mktemp('ranks')
    data, files = generate_demo(root / 'data', TRAIN, TEST), []
    for method, name in METHODS.items():
        files.append(root / f'{method}.py')
        cssa_mm.load_config(name, data_root=data, overrides=SHORT).dump(files[-1])
    found = {}
    for count in (1, 2, 4):
        done = in_ranks(count, Path(__file__).with_name('on_ranks.py'), root / str(count), *files)
        assert [each.returncode for each in done] == [0] * count, '\n'.join(each.stderr for each in done)[-3000:]
        found[count] = {method: read(root / str(count) / method) for method in METHODS}
    return found


@pytest.fixture(params=[(count, method) for count in (2, 4) for method in METHODS], ids=str)
def pair(request, runs):
    """What several processes wrote, what one did, and how far thresholds may be apart."""
    count, method = request.param
    return runs[count][method], runs[1][method], THRESHOLDS[method]


def numbers(rows: list[dict]) -> tuple[list, np.ndarray]:
    """The names of all figures of rows, and the figures."""
    names = [(number, name) for number, row in enumerate(rows) for name in sorted(row)]
    return names, np.array([rows[number][name] for number, name in names], dtype=np.float64)


def assert_near(found: list[dict], expected: list[dict], **tolerance: float) -> None:
    names, figures = numbers(found)
    assert names == numbers(expected)[0]
    np.testing.assert_allclose(figures, numbers(expected)[1], **tolerance)


def test_images_do_not_divide_and_methods_are_seen_at_work(runs):
    for run in runs[1].values():
        counts = [sum(np.array(epoch[key])[0] for key in ('positives', 'negatives', 'masked')) for epoch in run.epochs]
        assert len(counts) == 3
        assert all(count % 2 for count in counts)
        assert len(run.labels) == counts[0]
        assert sum(map(sum, [epoch['positives'] for epoch in run.epochs])) > 0
        assert len(run.validations) == 5
    assert runs[1]['cssa'].losses != runs[1]['cssa_plus'].losses


def test_losses_are_those_of_one_process(pair):
    found, expected, _ = pair
    assert len(expected.losses) > 10
    assert_near(found.losses, expected.losses, rtol=1e-6)


def test_pseudo_labels_and_thresholds_are_those_of_one_process(pair):
    found, expected, tolerance = pair
    assert torch.equal(found.labels, expected.labels)  # those of the last epoch, image by image
    for epoch, one in zip(found.epochs, expected.epochs, strict=True):
        for key in ('positives', 'negatives', 'masked', 'precision', 'recall'):
            assert epoch[key] == one[key], key
        for key in ('positive_thresholds', 'negative_thresholds'):
            figures = [np.array(each[key], dtype=np.float64) for each in (epoch, one)]
            np.testing.assert_allclose(*figures, rtol=0, atol=tolerance, err_msg=key)


def test_the_metrics_of_all_validations_are_those_of_one_process(pair):
    maps = [[{key: value for key, value in row.items() if 'mAP' in key} for row in run.validations] for run in pair[:2]]
    assert_near(*maps, rtol=0, atol=1e-6)
