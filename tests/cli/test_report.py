"""`cssa report` on a run that train has made, alone and beside another, and what it says of wrong input."""

import pytest

pytestmark = pytest.mark.cli


def test_the_command_writes_a_page_of_a_run_that_train_has_made(trained, tool, tmp_path):
    assert (trained.work_dir / 'report.html').is_file()  # training ends with it
    out = tmp_path / 'page.html'
    done = tool('report.py', trained.work_dir, '--out', out, '--device', 'cpu')
    assert f'report: {out}' in done.stdout
    text = out.read_text('utf-8')
    assert 'traffic light' in text
    assert str(tmp_path.parent) not in text
    assert out.stat().st_size < 5e6


def test_two_runs_are_laid_side_by_side(trained, tool, tmp_path):
    out = tmp_path / 'both.html'
    tool('report.py', trained.work_dir, trained.work_dir, '--out', out, '--device', 'cpu')
    assert '<h1>Comparison</h1>' in out.read_text('utf-8')


def test_a_folder_without_a_training_is_one_line(quick_run, tmp_path):
    done = quick_run('tools/report.py', tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()[-1:]
    assert line.startswith('error: work_dir: found no training in')
