"""The twelve settings on the full sets: their rows, and the table of results from made-up studies."""

import pytest

from cssa_mm.errors import ConfigError, DataError
from cssa_mm.studies import full_sets
from cssa_mm.studies.jobs import row_config
from cssa_mm.studies.spec import load_study

METHODS = ['zero-shot', 'labelled-only', 'CSSA', 'cssa_plus']


def test_every_row_has_the_split_and_the_batches_of_its_setting():
    study = load_study('full_sets')
    assert len(study.rows) == 48
    for row in study.rows:
        data, share = row.name.split('_')[0], row.x
        assert row.baseline == f'{row.line.split(", ")[0]}, labelled-only'
        assert row.kind == ('zero_shot' if 'zero-shot' in row.name else 'train')
        if 'cssa_plus' not in row.name:
            assert row.config == f'cssa_{data}_p{round(100 * share):02}'
            continue
        found, setting = (row_config(study, other) for other in (row, *study.chosen([f'{data}_CSSA@{share}'])))
        assert found.train_dataloader == setting.train_dataloader
        assert found.train_dataloader.dataset.split.proportion == share
        assert found.model.evidence.discriminant


@pytest.fixture
def made_up(monkeypatch):
    """What `run_study` was called with; COCO has results but for one row, VOC fails in a run, NUS-WIDE is not there."""
    calls = []

    def run_study(**options) -> dict:
        calls.append(options)
        (pattern,) = options['rows']
        data = pattern.removesuffix('_*')
        if data == 'nus':
            raise DataError('no numpy files')
        value = dict(mean=50.04 if data == 'coco' else 60, standard_error=None if data == 'voc' else 1.24)
        rows = [
            dict(name=f'{data}_{method}@{share}', mAP=value, CF1=value | dict(mean=1), OF1=value | dict(mean=2))
            for share in (0.05, 0.1, 0.15, 0.2)
            for method in METHODS
        ]
        return dict(rows=rows[1:], failures={'run.log': 'broken'} if data == 'voc' else {})

    monkeypatch.setattr(full_sets, 'run_study', run_study)
    return calls


def test_the_table_has_a_line_for_each_setting_and_says_what_was_not_run_and_why(made_up, tmp_path):
    found = full_sets.reproduce(work_dir=tmp_path, data_roots=dict(voc='my/voc'), seeds=(3, 4))
    assert found['failures'] == {'run.log': 'broken'}
    text = found['table'].read_text()
    assert found['table'] == tmp_path / 'results.md'
    m_ap, cf1, of1 = (text.split(f'| {name} | ')[1].split('\n\n')[0].splitlines() for name in ('mAP', 'CF1', 'OF1'))
    assert m_ap[0] == 'zero-shot | labelled-only | CSSA | cssa_plus |'
    assert [len(lines) for lines in (m_ap, cf1, of1)] == [14] * 3
    assert m_ap[2] == '| COCO, 5 % | not run | 50.0 +- 1.2 | 50.0 +- 1.2 | 50.0 +- 1.2 |'
    assert m_ap[9] == '| VOC, 20 % | 60.0 | 60.0 | 60.0 | 60.0 |'
    assert m_ap[10:] == [
        f'| NUS-WIDE, {share} % | not run | not run | not run | not run |' for share in (5, 10, 15, 20)
    ]
    assert cf1[9] == '| VOC, 20 % | 1.0 | 1.0 | 1.0 | 1.0 |'
    assert of1[9] == '| VOC, 20 % | 2.0 | 2.0 | 2.0 | 2.0 |'
    assert text.count('was not run') == 1
    reason = 'no numpy files (put the data into data/nuswide, or name their folder with --data-root-nus)'
    assert text.splitlines()[-1] == f'NUS-WIDE was not run: {reason}'
    assert 'Tower RN50-quickgelu:openai, seeds 3, 4;' in text


def test_each_data_set_is_a_study_of_its_own_with_the_same_options(made_up, tmp_path, monkeypatch):
    monkeypatch.setattr('torch.cuda.device_count', lambda: 3)
    options = dict(tower='t', overrides={'a.b': 1}, features='f', keep_results=True)
    full_sets.reproduce(work_dir=tmp_path, data_roots=dict(voc='my/voc'), **options)
    assert [(call['rows'], call['data_root'], call['work_dir']) for call in made_up] == [
        (['coco_*'], 'data/coco', tmp_path / 'coco'),
        (['voc_*'], 'my/voc', tmp_path / 'voc'),
        (['nus_*'], 'data/nuswide', tmp_path / 'nus'),
    ]
    for call in made_up:
        assert {key: call[key] for key in options} == options
        assert call['jobs'] == 3  # one for each GPU


def test_the_roots_are_those_of_the_configs():
    study = load_study('full_sets')
    for name, root in full_sets.ROOTS.items():
        found = row_config(study, study.chosen([f'{name}_CSSA@0.05'])[0]).train_dataloader.dataset.data_root
        assert found.rstrip('/') == root


def test_an_unknown_data_set_is_one_line(tmp_path):
    with pytest.raises(ConfigError, match="data_roots: found 'vok', expected coco, voc, nus. Did you mean 'voc'?"):
        full_sets.reproduce(data_roots=dict(vok='x'), work_dir=tmp_path)
