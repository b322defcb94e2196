"""tools/pseudo_labels.py: table and picture of a run, and what it says where the truth is not known."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from cssa_mm.errors import ConfigError, DataError
from cssa_mm.evaluation.pseudo_label_report import describe, read_records, show_pseudo_labels

pytestmark = pytest.mark.cli


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


@pytest.fixture
def work_dir(tmp_path):
    """work_dir(record, ...) -> a work directory with these epochs."""

    def make(*records):
        (tmp_path / 'pseudo_labels.jsonl').write_text(''.join(json.dumps(record) + '\n' for record in records))
        return tmp_path

    return make


def cells_of(text: str) -> list[list[str]]:
    return [line.replace('traffic light', 'traffic_light').split() for line in text.splitlines()[1:]]


def test_the_table_of_the_last_epoch_starts_with_the_worst_classes(work_dir, record):
    text = describe(read_records(work_dir(record | dict(epoch=6, CF1=0.1), record))[-1])
    assert text.startswith('Pseudo-labels of epoch 7, in per cent; CF1 40.0; worst classes first.')
    assert cells_of(text) == [
        'class labelled thr+ thr- positives negatives masked precision recall F1 ECE'.split(),
        'traffic_light 3 - - 0 0 100 - 0.0 0.0 50.0'.split(),
        'dog 5 0.5000 0.1250 9 81 10 50.0 25.0 33.3 10.0'.split(),
        'sun 12 0.7500 0.2500 20 70 10 90.0 80.0 85.0 2.0'.split(),
        'all 20 - - 29 151 120 78.0 55.0 - 21.0'.split(),
    ]


def test_without_truth_it_says_so_and_shows_counts_and_thresholds_only(work_dir, record):
    text = describe(read_records(work_dir(without_truth(record)))[-1])
    assert 'The truth of the unlabelled images is not known here' in text
    assert 'CF1' not in text
    assert cells_of(text) == [
        'class labelled thr+ thr- positives negatives masked'.split(),
        'traffic_light 3 - - 0 0 100'.split(),
        'dog 5 0.5000 0.1250 9 81 10'.split(),
        'sun 12 0.7500 0.2500 20 70 10'.split(),
        'all 20 - - 29 151 120'.split(),
    ]


@pytest.mark.parametrize(
    'change', [lambda record: record, without_truth, lambda r: r | dict(positive_thresholds=[None] * 3)]
)
def test_any_record_can_be_drawn(work_dir, record, change, capsys):
    folder = work_dir(*(change(record | dict(epoch=epoch)) for epoch in (5, 6, 7)))
    out = show_pseudo_labels(SimpleNamespace(work_dir=str(folder), out=None))
    assert out == folder / 'pseudo_labels.png'
    assert f'picture: {out}' in capsys.readouterr().out
    with Image.open(out) as picture:
        assert len(np.unique(np.asarray(picture.convert('L')))) > 50
    assert sorted(path.name for path in folder.iterdir()) == ['pseudo_labels.jsonl', 'pseudo_labels.png']


def test_the_command_shows_a_run_that_tools_train_has_made(quick_run, trained, tmp_path):
    out = tmp_path / 'new' / 'quality.png'
    done = quick_run('tools/pseudo_labels.py', trained.work_dir, '--out', out)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.startswith('Pseudo-labels of epoch 3, in per cent; CF1 ')
    assert out.is_file()
    names = {line.split()[0] for line in done.stdout.splitlines()[2:8]}
    assert names == {name.split()[0] for name in trained.pseudo_labels[-1]['class_names']}


def test_own_photos_of_which_nobody_knows_the_truth_end_in_counts(trained, quick_run, tmp_path):
    """The last line of a real run, with the truth taken away as the hook writes it then."""
    last = trained.pseudo_labels[-1]
    none = {key: [None] * 6 for key in ('precision', 'recall', 'F1', 'calibration_error')}
    none |= dict.fromkeys(('CF1', 'micro_precision', 'micro_recall', 'overall_calibration_error'))
    none['reliability'] = dict(count=[0] * 10, score=[None] * 10, positive=[None] * 10)
    (tmp_path / 'pseudo_labels.jsonl').write_text(json.dumps(last | none) + '\n')
    done = quick_run('tools/pseudo_labels.py', tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert 'is not known here' in done.stdout
    assert 'recall' not in done.stdout.splitlines()[1]


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (None, 'pseudo_labels.jsonl: found no such file, expected that of a run with semi-supervised epochs'),
        ('', 'found no epoch, expected a semi-supervised one'),
        ('{"epoch": 2', 'found no JSON in line 1'),
        (
            '{"epoch": 2, "class_names": []}',
            "found no 'labelled_positives' in line 1, expected a record of this version",
        ),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_line(tmp_path, content, message):
    if content is not None:
        (tmp_path / 'pseudo_labels.jsonl').write_text(content)
    with pytest.raises((ConfigError, DataError), match=message) as caught:
        read_records(tmp_path)
    assert '\n' not in str(caught.value)


def test_a_name_that_is_no_picture_s_is_refused(work_dir, record):
    with pytest.raises(ConfigError, match="--out: found 'quality.txt', expected a name that ends with .*[.]png"):
        show_pseudo_labels(SimpleNamespace(work_dir=str(work_dir(record)), out='quality.txt'))
