"""Files of predictions, and what confusion_matrix, analyze_results and eval_metric make of them."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import mmengine
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import multilabel_confusion_matrix

from cssa_mm.apis.toolbox import confusion, metrics, predictions, results
from cssa_mm.errors import ConfigError, DataError
from cssa_mm.evaluation.confusion import confusion_tables


def sample(image_id, truth, scores, predicted, **others):
    return dict(
        image_id=image_id,
        gt_score=torch.tensor(truth, dtype=torch.float32),
        pred_score=torch.tensor(scores),
        pred_label=torch.tensor(predicted, dtype=torch.int64),
        **others,
    )


@pytest.fixture
def tool():
    """tool(**options): a script whose arguments are these, and whose main notes that it ran."""

    def make(**options):
        script = SimpleNamespace(parse_args=lambda: SimpleNamespace(**options), ran=[])
        script.main = lambda: script.ran.append(True)
        return script

    return make


@pytest.fixture
def write(tmp_path):
    """write(samples) -> the path of a file of predictions."""

    def dump(samples):
        mmengine.dump(samples, tmp_path / 'p.pkl')
        return str(tmp_path / 'p.pkl')

    return dump


def test_tables_are_scikit_learn_s_where_all_is_known():
    rng = np.random.default_rng(3)
    truth, predicted = rng.integers(0, 2, (50, 7)), rng.integers(0, 2, (50, 7))
    tables = confusion_tables(predicted, truth)
    np.testing.assert_array_equal(tables, multilabel_confusion_matrix(truth, predicted))
    truth[rng.random(truth.shape) < 0.3] = -1
    tables = confusion_tables(predicted, truth)
    for c in range(7):
        known = truth[:, c] >= 0
        expected = multilabel_confusion_matrix(truth[known, c], predicted[known, c], labels=[1])
        np.testing.assert_array_equal(tables[c : c + 1], expected)


def test_predictions_are_read_with_the_model_s_own_labels(write):
    found = predictions.read(
        write(
            [
                sample('a', [1, -1, 0], [0.2, 0.9, 0.4], [1, 2]),
                sample('b', [0, 0, 1], [0.7, 0.1, 0.3], []),
                sample('a', [0, 0, 0], [0.0, 0.0, 0.0], []),  # a sampler that fills up repeats images
            ]
        )
    )
    assert found.ids == ['a', 'b']
    assert found.truth.tolist() == [[1, -1, 0], [0, 0, 1]]
    assert found.predicted.tolist() == [[False, True, True], [False, False, False]]


def test_labels_may_be_told_by_their_numbers(write):
    samples = [
        dict(pred_score=torch.tensor([0.1, 0.2, 0.3]), pred_label=torch.tensor([2]), gt_label=torch.tensor([0, 2]))
    ]
    assert predictions.read(write(samples)).truth.tolist() == [[1, 0, 1]]


@pytest.mark.parametrize('content', [[], {'a': 1}, [dict(pred_score=torch.zeros(3))], [1, 2]])
def test_other_files_are_no_predictions(write, content):
    with pytest.raises(DataError, match='expected'):
        predictions.read(write(content))
    with pytest.raises(DataError, match='found no file'):
        predictions.read('nowhere.pkl')


@pytest.mark.parametrize(
    'change',
    [
        dict(pred_score=torch.zeros(2)), dict(pred_score=['a', 'b', 'c']), dict(pred_score=torch.tensor(1.0)),
        dict(gt_score=dict(a=1)), dict(gt_score=[10**400, 0, 0]), dict(pred_score=[[1], [1, 2]]),
    ],
)  # fmt: skip
def test_predictions_of_another_form_are_one_line(write, change):
    whole = sample('a', [1, 0, 0], [0.5] * 3, [0])
    with pytest.raises(DataError, match='found samples whose scores or labels are no numbers') as error:
        predictions.read(write([whole, whole | dict(image_id='b') | change]))
    assert '\n' not in str(error.value)


@pytest.fixture
def tested(tiny_config, write):
    """The toy test set with predictions of its 12 images: the n-th image of the list gets n wrong labels, up to 6."""
    config = tiny_config()
    data = json.loads(Path(config.test_dataloader.dataset.data_root, 'test.json').read_text())
    shown = {image['id']: [0] * 6 for image in data['images']}
    for each in data['annotations']:
        shown[each['image_id']][each['category_id'] - 1] = 1
    samples = []
    for number, (image_id, truth) in enumerate(sorted(shown.items())):
        wrong = [value ^ (c < min(number, 6)) for c, value in enumerate(truth)]
        scores = [0.8 if value else 0.3 for value in wrong]
        samples.append(sample(str(image_id), truth, scores, [c for c, value in enumerate(wrong) if value]))
    return config, write(samples), sorted(shown.items())


@pytest.mark.parametrize('suffix', ['.pkl', '.json', '.yaml'])
def test_confusion_matrix_writes_a_table_for_each_class(tested, tool, tmp_path, suffix):
    config, path, shown = tested
    config.dump(tmp_path / 'c.py')
    out, picture = str(tmp_path / f'm{suffix}'), str(tmp_path / 'm.png') if suffix == '.pkl' else None
    options = dict(config=str(tmp_path / 'c.py'), ckpt_or_result=path, cfg_options=None, out=out)
    text = confusion.run(tool(**options, show=False, show_path=picture, cmap='viridis', include_values=True))
    truth = np.array([labels for _, labels in shown])
    predicted = truth.copy()
    for number in range(len(shown)):
        predicted[number, : min(number, 6)] ^= 1
    np.testing.assert_array_equal(np.array(mmengine.load(out)), multilabel_confusion_matrix(truth, predicted))
    assert picture is None or Image.open(picture).size[0] > 300
    assert text.splitlines()[1].startswith('dog')


def test_confusion_matrix_refuses_a_colour_map_or_file_that_it_could_not_use(tool):
    options = dict(config='c', ckpt_or_result='p.pkl', cfg_options=None, show=False, show_path=None)
    with pytest.raises(ConfigError, match='--out'):
        confusion.run(tool(**options, out='m.txt', cmap='viridis'))
    with pytest.raises(ConfigError, match="Did you mean 'viridis'"):
        confusion.run(tool(**options, out=None, cmap='virids'))


def test_analyze_results_shows_the_best_and_the_most_wrong_images(tested, tool, tmp_path):
    config, path, shown = tested
    config.dump(tmp_path / 'c.py')
    options = dict(config=str(tmp_path / 'c.py'), result=path, cfg_options=None, out_dir=str(tmp_path / 'a'))
    results.run(tool(**options, topk=3, rescale_factor=2.0))
    right = json.loads((tmp_path / 'a/success/success.json').read_text())
    wrong = json.loads((tmp_path / 'a/fail/fail.json').read_text())
    assert [record['wrong_labels'] for record in right] == [0]
    assert [record['wrong_labels'] for record in wrong] == [6, 6, 6]
    losses = [record['loss'] for record in wrong]
    assert losses == sorted(losses, reverse=True)
    for record in (*right, *wrong):
        kind = 'fail' if record['wrong_labels'] else 'success'
        assert Image.open(tmp_path / 'a' / kind / record['picture']).size[0] > 300
    assert len({record['picture'] for record in wrong}) == 3
    (first,) = right
    names = ['dog', 'cat', 'traffic light', 'red bicycle', 'table', 'window frame']
    assert (
        first['true'] == first['predicted'] == [name for name, value in zip(names, shown[0][1], strict=True) if value]
    )


def test_the_loss_of_an_image_is_the_mean_of_its_known_cells():
    scores, truth = np.array([[0.9, 0.2, 0.5], [0.1, 0.1, 0.1]]), np.array([[1, 0, -1], [-1, -1, -1]])
    loss = results.mean_loss(scores, truth)
    assert loss[0] == pytest.approx(-(math.log(0.9) + math.log(0.8)) / 2)
    assert math.isnan(loss[1])


def tested_of_other_predictions_are_named(tested, write, tiny_config):
    config, _, _ = tested
    found = predictions.read(write([sample('elsewhere', [1, 0], [0.1, 0.2], [0])]))
    with pytest.raises(DataError, match="found the image 'elsewhere'"):
        results.image_paths(config, found)


def test_eval_metric_refuses_a_metric_that_takes_unknown_cells_for_labels(write, tool):
    path = write([sample('a', [1, -1, 0], [0.2, 0.9, 0.4], [1])])
    unaware = tool(pkl_results=path, metric_options=[['type=MultiLabelMetric', 'thr=0.4']])
    with pytest.raises(ConfigError, match='MultiLabelMetric, which would count the 1 unknown cells'):
        metrics.run(unaware)
    aware = tool(pkl_results=path, metric_options=[['type=AveragePrecision'], ['type=CSSAMetric']])
    metrics.run(aware)
    known = tool(pkl_results=write([sample('a', [1, 0], [0.2, 0.9], [1])]), metric_options=[['type=MultiLabelMetric']])
    metrics.run(known)
    assert (unaware.ran, aware.ran, known.ran) == ([], [True], [True])
    with pytest.raises(ConfigError, match="Did you mean 'MultiLabelMetric'"):
        metrics.run(tool(pkl_results=path, metric_options=[['type=MultiLabelMetrik']]))
    for given in (None, [['thr=0.5']], [['type=CSSAMetric', 'thr']]):
        with pytest.raises(ConfigError, match='--metric'):
            metrics.run(tool(pkl_results=path, metric_options=given))
