import re
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest

import cssa_mm
from cssa_mm.apis.reporting.building import build_report
from cssa_mm.apis.reporting.report import report, report_training
from cssa_mm.apis.reporting.run import finished_run, open_run
from cssa_mm.errors import ConfigError
from cssa_mm.evaluation.metrics import average_precision_per_class
from cssa_mm.visualization.pages.report_page import render_report

# What a run writes after its first epochs.
LATE = ('held_out.npz', 'pseudo_labels.jsonl', 'report.html')


@pytest.fixture
def copied(run, tmp_path):
    """A copy of the work directory of the tiny run, to take things out of."""
    return shutil.copytree(run.result.work_dir, tmp_path / 'copy')


@pytest.fixture(scope='module')
def opened(run):
    return build_report(open_run(run.result.work_dir, data_root=None, device='cpu'))


def test_training_ends_with_a_page_that_names_no_place_of_this_machine(run, toy_data, clip_dir):
    assert run.result.report == run.result.work_dir / 'report.html'
    text = run.result.report.read_text('utf-8')
    for place in (toy_data, clip_dir, run.result.work_dir.parent):
        assert str(place) not in text
    assert 'traffic light' in text
    assert len(text) < 5e6


def test_the_figures_are_those_of_the_test(run, opened):
    for name in ('mAP', 'CF1', 'OF1', 'ECE', 'Brier'):
        assert 100 * opened.metrics[name] == pytest.approx(run.metrics[f'ema/{name}'], abs=1e-3)


def test_zero_shot_is_what_the_untrained_model_reaches(
    run, opened, tiny_overrides, toy_data, tmp_path, plainly_written
):
    """The prompt that is asked for has one word; the second vector of the trained one began at random."""
    overrides = tiny_overrides(**{'model.context_head.num_contexts': 2, 'model.head.prompts.num_context': 1})
    found = cssa_mm.test(
        config='cssa_coco_p05', overrides=overrides, data_root=toy_data, work_dir=tmp_path, device='cpu'
    )
    assert 100 * opened.metrics['zero-shot mAP'] == pytest.approx(found['ema/mAP'], abs=1e-3)


def test_a_training_reuses_its_last_validation_and_says_the_same_as_the_command(run, opened):
    finished = finished_run(run.result.runner)
    assert finished.tested is not None
    said = build_report(finished)
    assert said.metrics == pytest.approx(opened.metrics, abs=1e-5)
    for row, other in zip(said.classes, opened.classes, strict=True):
        assert (row.name, row.labelled, row.positives) == (other.name, other.labelled, other.positives)
        np.testing.assert_allclose([row.ap, row.zero_shot_ap], [other.ap, other.zero_shot_ap], atol=1e-5)
    assert (said.split, said.curves, said.pseudo_labels) == (opened.split, opened.curves, opened.pseudo_labels)
    assert said.missing == opened.missing


def test_a_report_holds_all_parts_of_a_run(opened):
    assert opened.classes
    assert opened.pictures
    assert all(picture.thumbnail for picture in opened.pictures)
    assert opened.contexts.is_learned
    assert sorted(name for group in opened.contexts.groups for name in group) == sorted(
        row.name for row in opened.classes
    )
    assert {'mAP', 'CF1', 'loss'} == set(opened.curves)
    assert [epoch.epoch for epoch in opened.pseudo_labels] == [2]
    assert dict(opened.split)['labelled images'] == '16 of 40 training images'
    assert opened.missing == {}


def test_a_run_without_contexts_shows_what_occurs_together(plus_run):
    found = build_report(open_run(plus_run.result.work_dir, data_root=None, device='cpu'))
    assert not found.contexts.is_learned
    assert len(found.contexts.names) == 6


def test_a_work_directory_without_a_training_is_refused_in_one_line(tmp_path):
    with pytest.raises(ConfigError, match="work_dir: found no folder '.*nowhere', expected"):
        report(work_dirs=tmp_path / 'nowhere')
    with pytest.raises(ConfigError, match='work_dir: found no training in'):
        report(work_dirs=tmp_path)
    with pytest.raises(ConfigError, match='work_dirs: found none'):
        report(work_dirs=[])
    with pytest.raises(ConfigError, match=r"--out: found 'x.pdf', expected a name that ends with .html"):
        report(work_dirs=tmp_path, out='x.pdf')


def test_a_run_that_was_killed_early_has_a_page_that_says_so(copied):
    for path in [*copied.glob('*.pth'), copied / 'last_checkpoint', *map(copied.joinpath, LATE)]:
        path.unlink()
    (scalars,) = copied.glob('*/vis_data/scalars.json')
    step = next(line for line in scalars.read_text().splitlines() if '"epoch"' in line)
    scalars.write_text(f'{step}\n{{"epoch": 1, "lo')
    result = report(work_dirs=copied, device='cpu')
    text = result.page.read_text('utf-8')
    for reason in (
        'This run has no checkpoint: it was stopped before it wrote one.',
        'This run was not validated',
        'This run ended before its first semi-supervised epoch.',
        'Nothing tells which labels are suspicious',
    ):
        assert reason in text
        assert reason in result.text()


def test_a_run_that_was_watched_is_reported_where_its_service_is_not_installed(copied, monkeypatch):
    monkeypatch.setitem(sys.modules, 'wandb', None)
    for config in copied.glob('*/vis_data/config.py'):
        config.write_text(f"{config.read_text('utf-8')}\nlive = ['wandb']\n")
    assert dict(open_run(copied, data_root=None, device='cpu').missing) == {}


def test_a_run_of_labelled_images_alone_has_no_pseudo_labels_to_show(copied):
    (copied / 'pseudo_labels.jsonl').unlink()
    for config in copied.glob('*/vis_data/config.py'):
        config.write_text(config.read_text('utf-8').replace('semi_epochs=1', 'semi_epochs=0'))
    found = build_report(open_run(copied, data_root=None, device='cpu'))
    assert found.missing == dict(
        pseudo_labels='This run has no semi-supervised epochs: it learned from labelled images alone.'
    )


def test_test_images_that_show_no_class_give_a_page_without_average_precision(run):
    opened = open_run(run.result.work_dir, data_root=None, device='cpu')
    opened.test.labels[:] = 0
    found = build_report(opened)
    assert np.isnan([found.metrics['mAP'], found.metrics['CF1'], found.classes[0].ap]).all()
    assert 'No test image shows any of the classes' in found.notes[0]
    assert 'no average precision to compare' in render_report(found)


def test_data_that_were_moved_are_named_and_found_by_their_new_place(copied, toy_data, tmp_path):
    for config in copied.glob('*/vis_data/config.py'):
        config.write_text(config.read_text('utf-8').replace(str(toy_data), '/nowhere/at/all'))
    result = report(work_dirs=copied, device='cpu')
    assert result.reports[0].classes == ()
    assert '/nowhere/at/all' in result.text()
    text = result.page.read_text('utf-8')
    assert 'test.json' in text
    assert '/nowhere' not in text
    found = report(work_dirs=copied, data_root=toy_data, device='cpu')
    assert len(found.reports[0].classes) == 6


def test_a_test_photo_that_was_deleted_is_named_and_the_rest_of_the_page_is_there(copied, toy_data, tmp_path):
    data = shutil.copytree(toy_data, tmp_path / 'data')
    gone = sorted((data / 'test').iterdir())[3]
    gone.unlink()
    result = report(work_dirs=copied, data_root=data, device='cpu')
    (line,) = [line for line in result.text().splitlines() if gone.name in line]
    text = result.page.read_text('utf-8')
    assert gone.name in text
    assert str(data) not in text
    assert result.reports[0].curves


def test_several_runs_share_a_page(run, plus_run, tmp_path):
    result = report(work_dirs=[run.result.work_dir, plus_run.result.work_dir], out=tmp_path / 'both.html', device='cpu')
    text = result.page.read_text('utf-8')
    assert len(result.reports) == 2
    assert re.search(r'<th scope="row">mAP', text)
    assert 'of cssa_plus' in text


def test_a_report_that_fails_costs_a_line_and_not_the_training(run, monkeypatch, caplog):
    def fail(*_):
        raise RuntimeError('no\nspace')

    lines = []
    monkeypatch.setattr('cssa_mm.apis.reporting.report.build_report', fail)
    monkeypatch.setattr('cssa_mm.apis.reporting.report.print_log', lambda line, *_: lines.append(line))
    assert report_training(run.result.runner) is None
    (line,) = lines
    assert line.startswith('Report: not written (RuntimeError: no space); the training is whole')
    monkeypatch.setitem(run.result.runner.cfg, 'report', False)
    assert report_training(run.result.runner) is None
    assert len(lines) == 1


def test_without_test_images_the_figures_are_of_held_out_labels(run, opened):
    """Their ids are those of the training set in another order, and one is gone."""
    whole = open_run(run.result.work_dir, data_root=None, device='cpu')
    kept = np.arange(len(whole.held_out.image_ids))[::-1][1:]
    held_out = replace(
        whole.held_out,
        image_ids=tuple(whole.held_out.image_ids[row] for row in kept),
        labels=whole.held_out.labels[kept],
        scores=whole.held_out.scores[kept],
    )
    missing = dict(whole.missing, test='There is no test set.')
    found = build_report(replace(whole, test=None, tested=None, held_out=held_out, missing=missing))
    assert found.is_held_out
    assert found.num_images == len(kept)
    expected = average_precision_per_class(held_out.scores, held_out.labels)
    np.testing.assert_allclose([row.ap for row in found.classes], expected)
    assert [row.positives for row in found.classes] == (held_out.labels == 1).sum(0).tolist()
    assert {picture.name for picture in found.pictures} <= set(held_out.image_ids)
    assert all(picture.thumbnail for picture in found.pictures)
    assert 'scores' not in found.missing
    text = render_report(found)
    assert 'No test images are scored (There is no test set.)' in text
    assert 'Labelled images that were held out' in text
    assert 'No test images are scored' not in render_report(opened)


def test_without_test_images_and_held_out_labels_one_line_says_so(run):
    whole = open_run(run.result.work_dir, data_root=None, device='cpu')
    missing = dict(whole.missing, test='There is no test set.', held_out='Nothing was held out.')
    found = build_report(replace(whole, test=None, held_out=None, missing=missing))
    assert found.missing['scores'] == 'There is no test set.'
    text = render_report(found)
    assert text.count('There is no test set.') == 1
    assert 'id="gallery"' not in text
