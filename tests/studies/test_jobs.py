import csv
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from mmpretrain.registry import DATASETS

from cssa_mm.apis.config import load_config
from cssa_mm.demo.scenes import CLASS_NAMES
from cssa_mm.errors import ConfigError, DataError
from cssa_mm.studies.jobs import row_config, row_jobs, run_study
from cssa_mm.studies.spec import known_studies, load_study

# Two rows of each study, so that each kind of row and option is among them.
ROWS = dict(
    baselines=('linear_probe', 'oracle_plus'),
    ablation=('global_feature', 'no_anchor'),
    label_efficiency=('labelled-only@0.05', 'cssa_plus@0.5'),
    policies=('mat', 'calibrated', 'instance_adaptive'),
    scores=('dual_labelled_only', 'negative_embedding_plus'),
    contexts=('none', 'kmeans@12', 'feedback@2'),
    noise=('CAT-labels@0.4', 'calibrated-pseudo-labels@0.2'),
    label_space=('cssa@24', 'cssa_plus@100'),
    plus_settings=('cssa_plus', 'no_floor'),
    prompts=('class-specific-words@4', 'shared-random@1'),
    reconstruction=('no_ema', 'context_logits'),
    real_photos=('zero-shot@30', 'CSSA@336'),
    rare_photos=('zero_shot', 'cssa'),
    coco_mini=('zero-shot@30', 'cssa_plus@80'),
    own_photos=('zero_shot', 'cssa_plus'),
    full_sets=('voc_zero-shot@0.05', 'nus_cssa_plus@0.2'),
    rare=('zero_shot', 'labelled_only', 'cssa_plus'),
    recipe=('warm_up', 'oracle'),
    kept_features=('float16', 'strong_2'),
)
# Their rows have configs or files of photos: tests of their own run them.
OF_PHOTOS = ('coco_mini', 'own_photos', 'full_sets')
THREE_BY_TWO = dict(rows=['zero_shot', 'labelled_only', 'cssa'], seeds=[1, 2])
TIMES = ('seconds', 'train_seconds', 'step_seconds', 'memory_mib')


def jobs_of(study, row, seeds=(1,), **options) -> list:
    return row_jobs(study, row, row_config(study, row, **options), seeds, Path('unused'), 'features', 'any data')


def read_results(work_dir: Path) -> dict[str, dict]:
    results = {path.parent.name: json.loads(path.read_text()) for path in work_dir.glob('*/result.json')}
    return {name: {k: v for k, v in result.items() if k not in TIMES} for name, result in results.items()}


@pytest.fixture
def write_study(tmp_path):
    """write_study('rows = ...') -> the path of a study file on the demo."""

    def write(text: str) -> str:
        path = tmp_path / 'mine.py'
        path.write_text(f"config = 'cssa_demo'\n{text}\n")
        return str(path)

    return write


def test_there_is_a_test_for_each_study():
    assert sorted(ROWS) == known_studies()


@pytest.mark.parametrize('name', sorted(set(ROWS) - set(OF_PHOTOS)))
def test_each_study_runs_at_toy_size(name, run_toy, tmp_path):
    overrides = {'train_dataloader.dataset.split.proportion': 0.1}
    # The photos of some studies are not there: the demo stands in for them.
    of_photos = dict(real_photos='cssa_demo', recipe='cssa_demo', rare_photos='cssa_demo')
    stand_in = (of_photos | dict(plus_settings='cssa_plus_demo')).get(name)
    if name == 'rare_photos':
        overrides['train_dataloader.dataset.split.at_most'] = dict(spade=0)
    if stand_in is not None:
        overrides['train_dataloader.dataset.pipeline'] = load_config(stand_in).train_dataloader.dataset.pipeline
    summary = run_toy(name, tmp_path, rows=ROWS[name], config=stand_in, overrides=overrides)
    assert summary['failures'] == {}
    assert [row['name'] for row in summary['rows']] == [
        row.name for row in load_study(name).rows if row.name in ROWS[name]
    ]
    for row in summary['rows']:
        assert 0 < row['mAP']['mean'] <= 100
    for file in ('runs.csv', 'classes.csv', 'summary.json', 'table.md', 'study.png'):
        assert (tmp_path / file).stat().st_size > 0


@pytest.mark.parametrize('name', sorted(ROWS))
def test_every_row_of_each_study_has_a_valid_config(name):
    found = load_study(name)
    digests = set()
    for row in found.rows:
        (job,) = jobs_of(found, row, seeds=[7])
        assert (job.config['train_dataloader']['dataset']['split'] or dict(seed=7))['seed'] == 7
        assert job.config['randomness']['seed'] == 7
        digests.add(job.fingerprint.settings)
    # No two rows mean the same, but for lines that start at one point.
    assert len(digests) >= len(found.rows) - 3


@pytest.fixture(scope='module')
def two_by_two(run_toy, tmp_path_factory):
    """A study of three rows and two seeds, and its summary."""
    work_dir = tmp_path_factory.mktemp('two')
    return work_dir, run_toy('baselines', work_dir, **THREE_BY_TWO)


def test_two_jobs_give_the_same_as_one(two_by_two, run_toy, tmp_path):
    work_dir, _ = two_by_two
    run_toy('baselines', tmp_path, jobs=2, **THREE_BY_TWO)
    expected = read_results(work_dir)
    assert len(expected) == 6
    assert read_results(tmp_path) == expected


def test_the_statistics_are_those_of_the_runs(two_by_two):
    work_dir, summary = two_by_two
    results = read_results(work_dir)
    rows = {row['name']: row for row in summary['rows']}
    values = np.array([results[f'cssa-{seed}']['mAP'] for seed in (1, 2)])
    others = np.array([results[f'labelled_only-{seed}']['mAP'] for seed in (1, 2)])
    assert values[0] != values[1]
    assert rows['cssa']['mAP']['mean'] == pytest.approx(values.mean())
    assert rows['cssa']['mAP']['standard_error'] == pytest.approx(abs(values[0] - values[1]) / 2)
    assert rows['cssa']['difference']['mean'] == pytest.approx((values - others).mean())
    assert rows['labelled_only']['difference'] is None
    assert results['zero_shot-1']['pseudo_precision'] is None
    assert 0 < results['cssa-1']['pseudo_precision'] < 100
    lines = list(csv.DictReader((work_dir / 'runs.csv').open()))
    assert {(line['row'], line['seed'], float(line['mAP'])) for line in lines} == {
        (result['row'], str(result['seed']), result['mAP']) for result in results.values()
    }
    classes = [line for line in csv.DictReader((work_dir / 'classes.csv').open()) if line['row'] == 'cssa']
    assert np.mean([float(line['AP']) for line in classes]) == pytest.approx(values.mean(), abs=1e-3)
    assert f'| CSSA | {values.mean():.2f} |' in (work_dir / 'table.md').read_text()


def test_what_is_done_is_kept_and_other_settings_are_run_anew(two_by_two, run_toy, capsys):
    work_dir, before = two_by_two
    stamps = {path: path.stat().st_mtime_ns for path in work_dir.glob('*/result.json')}
    after = run_toy('baselines', work_dir, **THREE_BY_TWO)
    assert after == before
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert 'run again' not in capsys.readouterr().out
    run_toy('baselines', work_dir, seeds=[2], rows=['zero_shot'], overrides={'model.head.temperature': 5})
    changed = [path.parent.name for path in stamps if path.stat().st_mtime_ns != stamps[path]]
    assert changed == ['zero_shot-2']
    assert '1 of 1 results are out of date and run again: settings changed' in capsys.readouterr().out


def test_a_run_is_what_the_other_tools_compute(two_by_two, small_demo, tmp_path):
    from cssa_mm.apis.testing import test

    metrics = test(config='cssa_demo', data_root=small_demo, work_dir=tmp_path)
    found = read_results(two_by_two[0])['zero_shot-1']
    assert found['mAP'] == pytest.approx(metrics['ema/mAP'], abs=1e-3)
    assert found['CF1'] == pytest.approx(metrics['ema/CF1'], abs=1e-3)


def test_a_run_that_fails_names_its_log_and_the_others_go_on(write_study, run_toy, tmp_path, capsys):
    options = {'model.head.label_specific': False, 'model.head.shared_prompts': True}
    path = write_study(f"rows = dict(bad=dict(options={options}), good=dict(kind='zero_shot'))")
    work_dir = tmp_path / 'out'
    summary = run_toy(path, work_dir)
    assert [row['name'] for row in summary['rows']] == ['good']
    ((log, reason),) = summary['failures'].items()
    assert log == str(work_dir / 'bad-1' / 'run.log')
    assert 'ConfigError: head.shared_prompts' in reason
    assert 'Traceback' in Path(log).read_text()
    assert f'its log is {log}' in capsys.readouterr().err


def test_the_metrics_can_be_restricted_to_classes_with_enough_positives(write_study, run_toy, small_demo, tmp_path):
    counts = {}
    for part in ('train', 'test'):
        content = json.loads((small_demo / 'annotations' / f'{part}.json').read_text())
        names = {category['id']: category['name'] for category in content['categories']}
        shown = {(item['image_id'], names[item['category_id']]) for item in content['annotations']}
        counts[part] = {name: sum(name == other for _, other in shown) for name in names.values()}
    limit = sorted(counts['test'].values())[12]
    path = write_study(f"rows = dict(only=dict(kind='zero_shot'))\nmin_positives = {limit}")
    run_toy(path, tmp_path / 'out')
    result = read_results(tmp_path / 'out')['only-1']
    expected = {name for name in counts['test'] if min(counts['test'][name], counts['train'][name]) >= limit}
    assert 0 < len(expected) < 24
    assert set(result['AP']) == expected
    assert result['mAP'] == pytest.approx(np.mean(list(result['AP'].values())), abs=1e-3)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(study='ablations'), "found no 'ablations', expected one of ablation, .* Did you mean 'ablation'?"),
        (dict(study='baselines', rows=['csa']), "--rows: found 'csa', expected some of .* Did you mean 'cssa'?"),
        (dict(study='baselines', overrides={'model.heads.score': 'dual'}), "unknown key 'model.heads'"),
        (
            dict(study='baselines', config='cssa_voc_p05', rows=['cssa*']),
            r'--config: found rows that have a config of their own \(cssa_plus\), expected rows that start from',
        ),
    ],
)
def test_a_mistake_in_the_command_is_found_before_the_first_run(arguments, message, tmp_path):
    with pytest.raises(ConfigError, match=message.replace('?', r'\?')):
        run_study(**arguments, work_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('rows = dict(a=dict(option={}))', "found 'option' in row 'a', expected one of baseline, config, kind"),
        ("rows = dict(a=dict(kind='test'))", "found kind 'test' in row 'a', expected one of train"),
        ("rows = dict(a=dict())\nbaseline = 'b'", "found baseline 'b', expected the name of a row or line"),
        (
            "rows = dict(ab=dict(baseline='abc'))",
            "found baseline 'abc', expected the name of a row or line. Did you mean",
        ),
        (
            "rows = dict(a=dict(line='one', x=1))\nreferences = ('a', 'on')",
            "found references 'on', expected the name of a row or line. Did you mean 'one'?",
        ),
        ("rows = dict(ab=dict())\nceiling = 'abc'", "found ceiling 'abc', expected the name of a row or line. Did you"),
        (
            "rows = dict(a=dict(), b=dict(line='one', x=1))\nworth = 'a'",
            "found worth 'a', expected the name of a line.",
        ),
        ('', 'found no rows or no config'),
    ],
)
def test_a_mistake_in_a_study_file_is_one_line(write_study, text, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_study(write_study(text))


def test_one_reference_needs_no_tuple(write_study):
    assert load_study(write_study("rows = dict(ab=dict())\nreferences = 'ab'")).references == ('ab',)


def test_a_study_of_rare_classes_keeps_to_its_limits_and_each_run_counts_its_labelled_positives(
    run_toy, small_demo, tmp_path
):
    """Oracle: the split drawn by hand over the labels in the annotation file."""
    content = json.loads((small_demo / 'annotations' / 'train.json').read_text())
    # The data set counts images in the order of their ids as text.
    rows = {image_id: row for row, image_id in enumerate(sorted((i['id'] for i in content['images']), key=str))}
    labels = np.zeros((len(rows), 24), int)
    for item in content['annotations']:
        labels[rows[item['image_id']], item['category_id'] - 1] = 1
    limits = {name: level for level in (0, 1, 2) for name in CLASS_NAMES[2 * level :: 6]}
    assert [list(limits.values()).count(level) for level in (0, 1, 2)] == [4, 4, 4]
    counts = np.zeros(24, int)
    drawn = 0
    for row in np.random.RandomState(2).permutation(120):
        kept = all(
            counts[CLASS_NAMES.index(name)] + labels[row, CLASS_NAMES.index(name)] <= limits[name] for name in limits
        )
        if kept and drawn < 12:
            counts, drawn = counts + labels[row], drawn + 1
    overrides = {'train_dataloader.dataset.split.proportion': 0.1}
    run_toy('rare', tmp_path, seeds=[2], rows=['zero_shot'], overrides=overrides)
    result = read_results(tmp_path)['zero_shot-2']
    assert result['labelled_positives'] == {name: int(counts[CLASS_NAMES.index(name)]) for name in result['AP']}
    assert '| zero-shot CLIP, label-specific |' in (tmp_path / 'table.md').read_text().split('AP by the number of')[1]


def test_a_class_is_made_rare_on_the_command_line_beside_those_of_the_study(small_demo):
    found = load_study('rare')
    limit = 'train_dataloader.dataset.split.at_most.spade'
    (job,) = jobs_of(found, found.rows[0], overrides={limit: 2})
    at_most = job.config['train_dataloader']['dataset']['split']['at_most']
    assert (len(at_most), at_most['spade'], at_most['sun']) == (12, 2, 0)
    found = load_study('baselines')
    (job,) = jobs_of(found, found.rows[0], overrides={limit: 0}, data_root=small_demo)
    assert job.config['train_dataloader']['dataset']['split']['at_most'] == dict(spade=0)
    dataset = DATASETS.build(
        job.config['train_dataloader']['dataset']
        | dict(split=dict(job.config['train_dataloader']['dataset']['split'], proportion=0.5))
    )
    assert dataset.split.rule == 'limited'
    assert dataset.split.class_counts['spade'] == 0
    assert (dataset.labels[:, CLASS_NAMES.index('spade')] == 1).sum() == 0
    assert (dataset.hidden_labels[dataset.is_labelled][:, CLASS_NAMES.index('club')] == 1).sum() > 0


def test_each_place_of_error_is_compared_with_cat_of_the_same_place():
    for row in load_study('noise').rows:
        assert row.baseline == f'CAT, {row.line.split(", ")[1]}'


def test_studies_and_their_configs_are_found_in_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkdir('configs')
    found = load_study('baselines')
    for row in found.rows:
        assert jobs_of(found, row)


def test_missing_data_are_one_line_before_the_first_run(tmp_path):
    with pytest.raises(DataError, match='VOC2012'):
        run_study(study='recipe', data_root=tmp_path / 'VOC2012', work_dir=tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(('config', 'neighbours'), [('cssa_plus_demo', None), ('cssa_demo', 'Neighbours')])
def test_zero_shot_leaves_evidence_out_and_neighbours_that_come_with_it(write_study, config, neighbours):
    study = load_study(write_study(f"rows = dict(a=dict(kind='zero_shot', config='{config}'))"))
    model = row_config(study, study.rows[0], overrides={'model.neighbours.type': 'Neighbours'}).model
    assert model.get('evidence') is None
    assert (model.neighbours and model.neighbours.type) == neighbours
