"""Strange labels: training ends with a sound model, or in one line; never in NaN, mass positives or a traceback."""

import json
import shutil

import numpy as np
import pytest
import torch

from cssa_mm.engine.runner import CSSARunner
from cssa_mm.errors import CSSAError
from tests.conftest import CLASS_NAMES

PLUS = {'model.evidence': dict(type='DiscriminantEvidence'), 'model.neighbours': dict(type='Neighbours')}
FIRST, OTHERS = 0, range(1, len(CLASS_NAMES))


@pytest.fixture(autouse=True)
def unformatted(monkeypatch):
    monkeypatch.setattr('mmengine.config.config.FormatCode', lambda text, **options: (text, True), raising=False)


@pytest.fixture
def trained(tiny_config, toy_data, tmp_path):
    """trained(labels, names, **overrides) -> the runner, and the records of the pseudo-labels of its epochs.

    `labels` makes the class numbers of an image from its number and the true ones.
    """

    def train(labels, names=CLASS_NAMES, **overrides):
        data = tmp_path / 'data'
        shutil.copytree(toy_data, data)
        for part in ('train', 'test'):
            content = json.loads((data / f'{part}.json').read_text())
            true = {image['id']: [] for image in content['images']}
            for annotation in content['annotations']:
                true[annotation['image_id']].append(annotation['category_id'] - 1)
            content['categories'] = [dict(id=number + 1, name=name) for number, name in enumerate(names)]
            content['annotations'] = [
                dict(image_id=image_id, category_id=int(c) + 1, iscrowd=0)
                for number, image_id in enumerate(true)
                for c in labels(number, true[image_id])
            ]
            (data / f'{part}.json').write_text(json.dumps(content))
        options = {f'{part}_dataloader.dataset.data_root': str(data) for part in ('train', 'val', 'test')}
        options |= {f'{part}_dataloader.dataset.class_names': names for part in ('train', 'val', 'test')}
        options |= {'model.class_names': names, 'accept': 'all', 'train_dataloader.sampler.labelled_per_batch': 1}
        runner = CSSARunner.from_cfg(tiny_config(**options | overrides))
        runner.train()
        lines = (tmp_path / 'run' / 'pseudo_labels.jsonl').read_text().splitlines()
        return runner, [json.loads(line) for line in lines]

    return train


def assert_sound(runner, records):
    """Parameters, buffers, scores and calibrated scores are finite; no class is positive nearly everywhere unasked."""
    state = runner.model.state_dict()
    bad = [name for name, value in state.items() if value.is_floating_point() and not torch.isfinite(value).all()]
    assert bad == []
    batch = next(iter(runner.val_dataloader))
    runner.model.eval()
    scores = torch.stack([sample.pred_score for sample in runner.model.val_step(batch)])
    assert torch.isfinite(scores).all()
    assert len(records) == 2
    dataset = runner.train_dataloader.dataset
    rates = (dataset.labels[dataset.labelled_indices] == 1).mean(0)
    for record in records:
        count = np.array([record[key] for key in ('positives', 'negatives', 'masked')])
        assert (count[0] <= np.maximum(0.5, 1.5 * rates) * count.sum(0)).all()


@pytest.mark.parametrize(
    'labels',
    [
        lambda number, true: [c for c in true if c != FIRST],
        lambda number, true: [c for c in true if c != FIRST or number < 3],
        lambda number, true: sorted({FIRST, *true}),
    ],
    ids=['a class without positives', 'a class with few positives', 'a class with all positives'],
)
@pytest.mark.parametrize('method', [{}, PLUS], ids=['cssa', 'cssa_plus'])
def test_a_class_with_no_few_or_all_positives(trained, labels, method):
    assert_sound(*trained(labels, **method))


def test_one_labelled_image(trained):
    ids = {'train_dataloader.dataset.split': dict(proportion=0.025, seed=1)}
    runner, records = trained(lambda number, true: true or [1], **PLUS, **ids)
    assert len(runner.train_dataloader.dataset.labelled_indices) == 1
    assert_sound(runner, records)


def test_one_class(trained):
    one = {'model.context_head': None}
    assert_sound(*trained(lambda number, true: [0] if number % 3 == 0 else [], ['dog'], **PLUS, **one))


@pytest.mark.parametrize('count', [200, pytest.param(5000, marks=pytest.mark.long)])
def test_many_classes(trained, count):
    names = [f'dog {number}' for number in range(count)]
    once = {'default_hooks.calibration': None, 'train_cfg.warmup_epochs': 1}
    runner, records = trained(lambda number, true: [(number * 7 + c) % count for c in true], names, **PLUS, **once)
    assert_sound(runner, records)
    assert sum(records[-1]['positives']) < 0.02 * 24 * count


def test_labelled_images_that_show_nothing_are_refused_in_one_line(trained):
    with pytest.raises(CSSAError, match=r'^[^\n]*expected[^\n]*$'):
        trained(lambda number, true: [], **PLUS)
