import numpy as np
import pytest
from PIL import Image

from cssa_mm.apis.pseudo_labels import show_pseudo_labels
from cssa_mm.errors import ConfigError
from cssa_mm.evaluation.pseudo_label_records import FILE, append_record


@pytest.fixture
def record():
    """An epoch of three classes as the hook writes it."""
    return dict(
        epoch=7,
        class_names=['sun', 'traffic light', 'dog'],
        labelled_positives=[12, 3, 5],
        positive_thresholds=[0.75, None, 0.5],
        negative_thresholds=[0.25, None, 0.125],
        positives=[20, 0, 9],
        negatives=[70, 0, 81],
        masked=[10, 100, 10],
        precision=[0.9, None, 0.5],
        recall=[0.8, 0.0, 0.25],
        F1=[0.85, 0.0, 1 / 3],
        CF1=0.4,
        micro_precision=0.78,
        micro_recall=0.55,
        masked_share=0.4,
        calibration_error=[0.02, 0.5, 0.1],
        overall_calibration_error=0.21,
        reliability=dict(
            count=[200, 0, 0, 0, 40, 0, 0, 0, 0, 60],
            score=[0.04] + [None] * 3 + [0.45] + [None] * 4 + [0.97],
            positive=[0.1] + [None] * 3 + [0.4] + [None] * 4 + [0.7],
        ),
    )


def without_truth(record: dict) -> dict:
    none = dict.fromkeys(('precision', 'recall', 'F1', 'calibration_error'), [None] * 3)
    none |= dict.fromkeys(('CF1', 'micro_precision', 'micro_recall', 'overall_calibration_error'))
    return record | none | dict(reliability=dict(count=[0] * 10, score=[None] * 10, positive=[None] * 10))


@pytest.mark.parametrize(
    'change', [lambda record: record, without_truth, lambda r: r | dict(positive_thresholds=[None] * 3)]
)
def test_any_record_can_be_drawn(record, change, tmp_path):
    for epoch in (5, 6, 7):
        append_record(tmp_path / FILE, change(record | dict(epoch=epoch)))
    report = show_pseudo_labels(work_dir=tmp_path)
    assert report.picture == tmp_path / 'pseudo_labels.png'
    assert [found['epoch'] for found in report.records] == [5, 6, 7]
    assert report.text().startswith('Pseudo-labels of epoch 7')
    assert report.text().endswith(f'\n\npicture: {report.picture}')
    with Image.open(report.picture) as picture:
        assert len(np.unique(np.asarray(picture.convert('L')))) > 50
    assert sorted(path.name for path in tmp_path.iterdir()) == ['pseudo_labels.jsonl', 'pseudo_labels.png']


def test_a_name_that_is_no_picture_s_is_refused(record, tmp_path):
    append_record(tmp_path / FILE, record)
    with pytest.raises(ConfigError, match="--out: found 'quality.txt', expected a name that ends with .*[.]png"):
        show_pseudo_labels(work_dir=tmp_path, out='quality.txt')
