"""The report of a study on made-up results whose figures are worked out by hand."""

import json

import pytest

from cssa_mm.studies.report import METRICS, report
from cssa_mm.studies.spec import Row, Study


def result(row: str, seed: int, m_ap: float, positives: dict | None = None, **average: float) -> dict:
    more = {} if positives is None else dict(labelled_positives=positives)
    return dict.fromkeys(METRICS, 1.0) | dict(row=row, seed=seed, mAP=m_ap, AP=average, code='a') | more


def study_of(*rows: Row, **options) -> Study:
    return Study('made_up', 'Made up', 'unused.py', rows, **options)


THREE = (
    Row('shot', 'zero-shot', kind='zero_shot'),
    Row('alone', 'labelled-only'),
    Row('ours', 'our method'),
)
RESULTS = [
    result('shot', 1, 50, sun=50, die=60, club=40),
    result('shot', 2, 50, sun=50, die=60, club=40),
    result('alone', 1, 54, sun=70, die=52, club=40),
    result('alone', 2, 47, sun=60, die=41, club=40),
    result('ours', 1, 55, sun=70, die=58, club=40),
    result('ours', 2, 53, sun=68, die=58, club=37),
]


def entries(study: Study, results: list[dict], path) -> dict[str, dict]:
    summary = report(study, study.rows, [1, 2], results, path)
    assert json.loads((path / 'summary.json').read_text()) == summary
    return {row['name']: row for row in summary['rows']}


def test_a_row_is_compared_with_the_better_reference_of_each_seed_and_in_its_worst_class(tmp_path, capsys):
    rows = entries(study_of(*THREE, references=('shot', 'alone')), RESULTS, tmp_path)
    # Seed 1: 55 - 54, seed 2: 53 - 50; their mean 2, standard deviation sqrt 2, standard error 1.
    assert rows['ours']['over_references'] == dict(mean=2.0, standard_error=pytest.approx(1.0), values=[1.0, 3.0])
    # sun 69 - 65 = +4; die 58 - max(60, 46.5) = -2; club 38.5 - 40 = -1.5.
    assert rows['ours']['worst_class'] == dict(name='die', difference=pytest.approx(-2.0))
    for name in ('shot', 'alone'):
        assert rows[name]['over_references'] is None
        assert rows[name]['worst_class'] is None
    table = (tmp_path / 'table.md').read_text()
    assert '| minus the better of shot and alone | s.e. | worst class |' in table
    assert '| our method | 54.00 | 1.00 | 1.0 | 1.0 | 1.0 | +3.50 | 2.50 | +2.00 | 1.00 | die -2.0 |' in table
    assert '| labelled-only | 50.50 | 3.50 | 1.0 | 1.0 | 1.0 | - | - | - | - | - |' in table
    assert 'die -2.0' in capsys.readouterr().out
    assert 'labelled positives' not in table


def test_the_best_mean_decides_on_the_worst_class_and_not_the_best_of_each_seed(tmp_path):
    results = [
        result('shot', 1, 50, sun=80, die=30),
        result('shot', 2, 50, sun=20, die=30),
        result('alone', 1, 50, sun=20, die=30),
        result('alone', 2, 50, sun=70, die=30),
        result('ours', 1, 50, sun=48, die=27),
        result('ours', 2, 50, sun=48, die=27),
    ]
    rows = entries(study_of(*THREE, references=('shot', 'alone')), results, tmp_path)
    # sun: 48 - max(50, 45) = -2; by the best of each seed it were 48 - 75.
    assert rows['ours']['worst_class'] == dict(name='die', difference=pytest.approx(-3.0))


def test_only_seeds_count_that_the_row_and_all_references_have(tmp_path):
    kept = [r for r in RESULTS if (r['row'], r['seed']) != ('shot', 1)]
    rows = entries(study_of(*THREE, references=('shot', 'alone')), kept, tmp_path)
    assert rows['ours']['over_references'] == dict(mean=3.0, standard_error=None, values=[3.0])
    # Of seed 2 alone: sun 68 - 60, die 58 - 60, club 37 - 40.
    assert rows['ours']['worst_class'] == dict(name='club', difference=-3.0)


def test_without_all_references_nothing_is_said_of_the_better_one(tmp_path):
    without = [r for r in RESULTS if r['row'] != 'shot']
    rows = entries(study_of(*THREE, references=('shot', 'alone')), without, tmp_path)
    assert rows['ours']['over_references'] is None
    assert 'better' not in (tmp_path / 'table.md').read_text()
    assert 'Worst class' not in (tmp_path / 'table.md').read_text()
    assert rows['ours']['difference']['mean'] == pytest.approx(3.5)


def test_a_reference_that_is_a_line_is_met_at_the_same_x_and_one_that_is_a_row_everywhere(tmp_path):
    rows = [Row('shot', 'zero-shot', kind='zero_shot')]
    rows += [Row(f'{line}@{x}', f'{line}, {x}', line=line, x=x) for line in ('alone', 'ours') for x in (1, 2)]
    values = {'shot': 50, 'alone@1': 40, 'alone@2': 60, 'ours@1': 55, 'ours@2': 57}
    results = [result(name, 1, value, sun=value) for name, value in values.items()]
    found = entries(study_of(*rows, references=('shot', 'alone')), results, tmp_path)
    assert found['ours@1']['over_references']['mean'] == 5
    assert found['ours@2']['over_references']['mean'] == -3
    assert '| sun +5.0 |' in (tmp_path / 'table.md').read_text()
    assert found['ours@2']['worst_class'] == dict(name='sun', difference=-3.0)
    assert found['alone@1']['over_references'] is None


def test_a_row_can_name_a_baseline_of_its_own(tmp_path):
    rows = [
        Row(f'{method}-{place}@{x}', f'{method} {place} {x}', line=f'{method}, {place}', x=x, baseline=f'CAT, {place}')
        for place in ('labels', 'pseudo-labels')
        for method in ('CAT', 'ours')
        for x in (0, 4)
    ]
    results = [result(row.name, 1, 10.0 * index**2, sun=10.0 * index**2) for index, row in enumerate(rows)]
    found = entries(study_of(*rows, baseline='CAT, labels'), results, tmp_path)
    # mAP 0, 10, 40, 90 and 160, 250, 360, 490 in the order of the rows.
    gains = {name: row['difference'] and row['difference']['mean'] for name, row in found.items()}
    assert gains == {
        'CAT-labels@0': None,
        'CAT-labels@4': None,
        'ours-labels@0': 40,
        'ours-labels@4': 80,
        'CAT-pseudo-labels@0': None,
        'CAT-pseudo-labels@4': None,
        'ours-pseudo-labels@0': 200,
        'ours-pseudo-labels@4': 240,
    }
    assert 'paired difference from CAT, labels; CAT, pseudo-labels.' in (tmp_path / 'table.md').read_text()
    lines = (tmp_path / 'classes.csv').read_text().splitlines()
    assert [line.split(',')[-1] for line in lines if 'ours-pseudo-labels@4' in line] == ['240.0']


def test_rows_with_baselines_of_their_own_say_from_what_they_differ(tmp_path):
    rows = (Row('alone', 'labelled-only'), Row('ours', 'our method'), Row('less', 'without it', baseline='ours'))
    results = [result('alone', 1, 50), result('ours', 1, 60), result('less', 1, 57)]
    entries(study_of(*rows), [r | dict(AP=dict(sun=1.0)) for r in results], tmp_path)
    table = (tmp_path / 'table.md').read_text()
    assert '| difference | s.e. | from |' in table
    assert '| +10.00 | - | labelled-only |' in table
    assert '| -3.00 | - | our method |' in table


def test_the_share_of_the_way_is_that_of_the_mean_distance_to_the_ceiling(tmp_path):
    rows = (*THREE, Row('truth', 'oracle'))
    results = [*RESULTS, result('truth', 1, 60, sun=1, die=1, club=1), result('truth', 2, 61, sun=1, die=1, club=1)]
    found = entries(study_of(*rows, baseline='alone', ceiling='truth'), results, tmp_path)
    # Means: 50 zero-shot, 50.5 labelled-only, 54 ours, 60.5 the ceiling.
    assert found['ours']['share_of_way'] == pytest.approx(3.5 / 10)
    assert found['shot']['share_of_way'] == pytest.approx(-0.5 / 10)
    assert found['alone']['share_of_way'] is None
    assert found['truth']['share_of_way'] is None
    table = (tmp_path / 'table.md').read_text()
    assert '| way to truth |' in table
    assert '| our method | 54.00 | 1.00 | 1.0 | 1.0 | 1.0 | +3.50 | 2.50 | 35 % |' in table
    assert '| zero-shot | 50.00 | 0.00 | 1.0 | 1.0 | 1.0 | -0.50 | 3.50 | < 0 |' in table
    apart = [r for r in results if r['row'] != 'truth'] + [result('truth', 3, 60, sun=1, die=1, club=1)]
    found = entries(study_of(*rows, baseline='alone', ceiling='truth'), apart, tmp_path)
    assert found['ours']['share_of_way'] is None  # no seed that all three have


def lines_of(values: dict[str, dict[float, tuple[float, float]]]) -> tuple[list[Row], list[dict]]:
    """Rows and results of lines of points, each with the mAP of seeds 1 and 2."""
    rows = [Row(f'{line}@{x}', f'{line}, {x}', line=line, x=x) for line, points in values.items() for x in points]
    results = [
        result(row.name, seed, m_ap, sun=1) for row in rows for seed, m_ap in enumerate(values[row.line][row.x], 1)
    ]
    return rows, results


def test_a_point_is_worth_the_x_at_which_the_line_first_reaches_its_mean(tmp_path):
    rows, results = lines_of(
        {
            'alone': {0.01: (30, 30), 0.1: (50, 50), 0.4: (60, 60)},
            'ours': {0.01: (20, 20), 0.1: (55, 55), 0.4: (60, 62)},
        }
    )
    shot = Row('shot', 'zero-shot', kind='zero_shot')
    results += [result('shot', seed, m_ap, sun=1) for seed, m_ap in ((1, 39), (2, 41))]
    found = entries(study_of(shot, *rows, baseline='alone', worth='alone'), results, tmp_path)
    assert {name: row['worth'] for name, row in found.items()} == {
        # 40 and 55 are half-way from 30 to 50 and from 50 to 60: the geometric means of the shares.
        'shot': dict(x=pytest.approx(0.001**0.5), beyond=''),
        'alone@0.01': None,
        'alone@0.1': None,
        'alone@0.4': None,
        'ours@0.01': dict(x=0.01, beyond='<'),
        'ours@0.1': dict(x=pytest.approx(0.2), beyond=''),
        'ours@0.4': dict(x=0.4, beyond='>'),
    }
    table = (tmp_path / 'table.md').read_text()
    assert '| worth alone at |' in table
    assert '| ours, 0.01 | 20.00 | 0.00 | 1.0 | 1.0 | 1.0 | -10.00 | 0.00 | < 0.01 |' in table
    assert '| ours, 0.1 | 55.00 | 0.00 | 1.0 | 1.0 | 1.0 | +5.00 | 0.00 | 0.2 |' in table


def test_a_line_that_falls_again_is_met_where_it_rises(tmp_path):
    rows, results = lines_of({'alone': {9.0: (15, 15), 1.0: (10, 10), 4.0: (20, 20)}, 'ours': {1.0: (15, 15)}})
    found = entries(study_of(*rows, baseline='alone', worth='alone'), results, tmp_path)
    assert found['ours@1.0']['worth'] == dict(x=pytest.approx(2.0), beyond='')


def test_changes_are_paired_with_the_first_point_of_the_line_and_with_the_change_of_the_baseline(tmp_path):
    rows, results = lines_of({'CAT': {0.0: (70, 80), 0.4: (60, 64)}, 'ours': {0.4: (69, 75), 0.0: (71, 80)}})
    found = entries(study_of(*rows, baseline='CAT', since_first=True), results, tmp_path)
    assert found['ours@0.0']['change'] is None
    assert found['CAT@0.4']['change']['values'] == [-10, -16]
    assert found['CAT@0.4']['change_over_baseline'] is None
    assert found['ours@0.4']['change']['values'] == [-2, -5]
    assert found['ours@0.4']['change_over_baseline']['values'] == [8, 11]
    assert "| since first x | s.e. | minus the baseline's | s.e. |" in (tmp_path / 'table.md').read_text()
    without = entries(study_of(*rows, baseline='CAT'), results, tmp_path)
    assert without['ours@0.4']['change'] is None


# -- labels, and lines over x --------------------------------------------------------------------------------------


def labelled(results: list[dict], **measures: list[float]) -> list[dict]:
    """The same results with other values of some measures."""
    return [r | {name: values[i] for name, values in measures.items()} for i, r in enumerate(results)]


def test_labels_and_their_calibration_stand_beside_map_and_are_paired_with_the_better_reference(tmp_path, capsys):
    results = labelled(RESULTS, CF1=[10, 20, 30, 10, 31, 26], OF1=[5, 5, 9, 1, 8, 8], ECE=[1, 1, 2, 2, 4, 5])
    rows = entries(study_of(*THREE, references=('shot', 'alone')), results, tmp_path)
    # CF1 31 - 30 and 26 - 20; OF1 8 - 9 and 8 - 5.
    assert rows['ours']['CF1_over_references']['values'] == [1, 6]
    assert rows['ours']['OF1_over_references']['values'] == [-1, 3]
    assert rows['alone']['CF1_over_references'] is None
    table = (tmp_path / 'table.md').read_text()
    assert '|  | mAP | s.e. | CF1 | OF1 | ECE | difference |' in table
    assert '| our method | 54.00 | 1.00 | 28.5 | 8.0 | 4.5 | +3.50 |' in table
    head, paired = table.split('Minus the better of shot and alone, paired:')
    assert '|  | mAP | s.e. | CF1 | s.e. | OF1 | s.e. |' in paired
    assert '| our method | +2.00 | 1.00 | +3.50 | 2.50 | +1.00 | 2.00 |' in paired
    assert '| labelled-only |' not in paired
    printed = capsys.readouterr().out
    assert 'our method  +2.00  1.00  +3.50  2.50  +1.00  2.00' in printed
    entries(study_of(*THREE), results, tmp_path)
    assert 'paired:' not in (tmp_path / 'table.md').read_text()


def test_lines_over_x_have_a_table_for_each_measure(tmp_path, capsys):
    rows, results = lines_of({'alone': {1: (30, 32), 10: (50, 50)}, 'ours': {10: (55, 57)}})
    results = labelled(results, CF1=[3, 3, 4, 4, 6, 8], OF1=[2, 2, 1, 1, 1, 5], ECE=[9, 9, 8, 8, 7, 7])
    shot = Row('shot', 'zero-shot', kind='zero_shot')
    results += [result('shot', seed, 40, sun=1) | dict(CF1=5, OF1=3, ECE=6) for seed in (1, 2)]
    study = study_of(shot, *rows, baseline='alone', references=('shot', 'alone'), x_label='labels')
    entries(study, results, tmp_path)
    tables = (tmp_path / 'table.md').read_text()

    def table(heading: str) -> list[str]:
        return tables.split(f'{heading}:\n\n')[1].split('\n\n')[0].strip().splitlines()[2:]

    assert '|  | 1 | 10 |' in tables
    assert table('mAP by labels') == [
        '| zero-shot | 40.0 +- 0.0 | 40.0 +- 0.0 |',
        '| alone | 31.0 +- 1.0 | 50.0 +- 0.0 |',
        '| ours | - | 56.0 +- 1.0 |',
    ]
    assert table('CF1 by labels')[1:] == ['| alone | 3.0 +- 0.0 | 4.0 +- 0.0 |', '| ours | - | 7.0 +- 1.0 |']
    assert table('OF1 by labels')[2] == '| ours | - | 3.0 +- 2.0 |'
    assert table('ECE by labels')[2] == '| ours | - | 7.0 +- 0.0 |'
    # 55 - 50 and 57 - 50; 6 - 5 and 8 - 5; 1 - 3 and 5 - 3.
    over = 'minus the better of shot and alone, paired, by labels'
    assert table(f'mAP {over}') == ['| ours | - | +6.0 +- 1.0 |']
    assert table(f'CF1 {over}') == ['| ours | - | +2.0 +- 1.0 |']
    assert table(f'OF1 {over}') == ['| ours | - | +0.0 +- 2.0 |']
    assert 'CF1 by labels' in capsys.readouterr().out


def test_every_class_that_falls_by_more_than_two_below_the_better_reference_is_named(tmp_path, capsys):
    values = dict(
        shot=dict(sun=50, die=60, club=40),
        alone=dict(sun=65, die=50, club=40),
        ours=dict(sun=60.5, die=58, club=37),
        good=dict(sun=63.5, die=59, club=41),
    )
    kinds = dict(shot='zero_shot', probe='linear_probe')
    rows = [Row(name, kind=kinds.get(name, 'train'), title=name) for name in (*values, 'probe')]
    results = [result(name, seed, 50, **ap) for name, ap in values.items() for seed in (1, 2)]
    results += [result('probe', seed, 50, sun=1, die=1, club=1) for seed in (1, 2)]
    found = entries(study_of(*rows, references=('shot', 'alone')), results, tmp_path)
    # die 58 - 60 is -2, not more; the probe is no trained row.
    assert found['ours']['fallen'] == dict(sun=-4.5, club=-3.0)
    assert found['good']['fallen'] == {}
    assert [found[name]['fallen'] for name in ('shot', 'alone', 'probe')] == [None] * 3
    text = 'Classes whose mean AP is more than 2 below that of the better of shot and alone:'
    table = (tmp_path / 'table.md').read_text().split(text)[1]
    assert table.strip().splitlines()[2:] == ['| ours | sun -4.5, club -3.0 |', '| good | none |']
    assert 'sun -4.5, club -3.0' in capsys.readouterr().out.split('Classes whose')[1]


def test_the_difference_of_each_seed_is_shown_where_the_study_asks_for_it(tmp_path):
    results = [r for r in RESULTS if (r['row'], r['seed']) != ('ours', 2)]
    found = entries(study_of(*THREE, baseline='shot', by_seed=True), results, tmp_path)
    assert found['alone']['by_seed'] == {'1': 4, '2': -3}
    assert found['shot']['by_seed'] == {}
    table = (tmp_path / 'table.md').read_text().split('Paired difference of each seed:')[1]
    assert table.strip().splitlines() == [
        '|  | 1 | 2 |',
        '|---|---|---|',
        '| labelled-only | +4.00 | -3.00 |',
        '| our method | +5.00 | - |',
    ]
    entries(study_of(*THREE, baseline='shot'), results, tmp_path)
    assert 'each seed' not in (tmp_path / 'table.md').read_text()


# -- by the number of labelled positives ---------------------------------------------------------------------------


def test_ap_is_averaged_over_the_classes_and_runs_with_as_many_labelled_positives(tmp_path, capsys):
    first, second = dict(sun=0, die=1, club=9), dict(sun=1, die=3, club=2)
    results = [
        result('shot', 1, 50, first, sun=10, die=20, club=30),
        result('shot', 2, 50, second, sun=10, die=20, club=30),
        result('alone', 1, 50, first, sun=11, die=22, club=33),
        result('alone', 2, 50, second, sun=44, die=55, club=66),
        result('ours', 1, 50, first, sun=1, die=2, club=3),
    ]
    summary = report(study_of(*THREE), THREE, [1, 2], results, tmp_path)
    shot, alone, ours = summary['by_labelled_positives']
    assert shot == dict(
        title='zero-shot',
        cells={'0': 1, '1': 2, '2': 1, '3 or more': 2},
        AP={'0': 10.0, '1': 15.0, '2': 30.0, '3 or more': 25.0},
    )
    assert alone['AP'] == {'0': 11.0, '1': 33.0, '2': 66.0, '3 or more': 44.0}
    assert ours['AP'] == {'0': 1.0, '1': 2.0, '2': None, '3 or more': 3.0}
    text = '| our method | 1.0 | 1 | 2.0 | 1 | - | 0 | 3.0 | 1 |'
    assert text in (tmp_path / 'table.md').read_text().split('AP by the number of labelled positives')[1]
    printed = capsys.readouterr().out.split('AP by the number of labelled positives')[1]
    assert printed.splitlines()[2].split() == ['zero-shot', '10.0', '1', '15.0', '2', '30.0', '1', '25.0', '2']


def test_lines_are_pooled_over_x_and_zero_shot_has_the_cells_of_all_their_splits(tmp_path):
    rows = [Row('shot', 'zero-shot', kind='zero_shot')]
    rows += [Row(f'{line}@{x}', f'{line}, {x}', line=line, x=x) for line in ('alone', 'ours') for x in (1, 2)]
    few, more = dict(sun=0, die=2), dict(sun=2, die=5)
    results = [result('shot', 1, 50, more, sun=10, die=20)]
    for value, line in ((30, 'alone'), (60, 'ours')):
        results += [result(f'{line}@1', 1, 50, few, sun=value, die=value + 2)]
        results += [result(f'{line}@2', 1, 50, more, sun=value + 4, die=value + 6)]
    summary = report(study_of(*rows), rows, [1], results, tmp_path)
    shot, alone, ours = summary['by_labelled_positives']
    assert shot['cells'] == alone['cells'] == ours['cells'] == {'0': 1, '1': 0, '2': 2, '3 or more': 1}
    assert shot['AP'] == {'0': 10.0, '1': None, '2': 15.0, '3 or more': 20.0}
    assert (alone['title'], alone['AP']) == ('alone', {'0': 30.0, '1': None, '2': 33.0, '3 or more': 36.0})
    assert ours['AP'] == {'0': 60.0, '1': None, '2': 63.0, '3 or more': 66.0}


@pytest.mark.parametrize('positives', [None, dict(sun=3, die=4, club=50)])
def test_there_is_no_such_table_of_old_results_or_where_no_class_is_rare(tmp_path, capsys, positives):
    results = [r | (dict(labelled_positives=positives) if positives else {}) for r in RESULTS]
    summary = report(study_of(*THREE), THREE, [1, 2], results, tmp_path)
    assert summary['by_labelled_positives'] == []
    assert 'labelled positives' not in (tmp_path / 'table.md').read_text() + capsys.readouterr().out


def test_old_results_are_left_out_beside_new_ones(tmp_path):
    results = [r | (dict(labelled_positives=dict(sun=0, die=1, club=7)) if r['seed'] == 1 else {}) for r in RESULTS]
    summary = report(study_of(*THREE), THREE, [1, 2], results, tmp_path)
    assert [group['cells'] for group in summary['by_labelled_positives']] == [
        {'0': 1, '1': 1, '2': 0, '3 or more': 1}
    ] * 3
