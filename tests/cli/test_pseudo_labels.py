"""`cssa pseudo-labels`: table and picture of a run, and what it says where the truth is not known."""

import json

import pytest

pytestmark = pytest.mark.cli


def test_the_command_shows_a_run_that_train_has_made(quick_run, trained, tmp_path):
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


def test_a_killed_run_is_shown_without_its_unfinished_line(trained, quick_run, tmp_path):
    text = (trained.work_dir / 'pseudo_labels.jsonl').read_text()
    (tmp_path / 'pseudo_labels.jsonl').write_text(text[:-20])
    done = quick_run('tools/pseudo_labels.py', tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert 'pseudo_labels.jsonl: unfinished line 2 is dropped' in done.stdout + done.stderr
    assert 'Pseudo-labels of epoch 2, in per cent' in done.stdout
