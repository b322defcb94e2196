"""The benchmark as a whole: a process for each row, the table, the JSON file, and rows that fail."""

import json
import sys

import pytest

from cssa_mm.cli import benchmark as command
from cssa_mm.errors import ConfigError
from cssa_mm.studies.benchmark import run
from cssa_mm.studies.benchmark.run import benchmark

KEYS = {
    'id', 'ours_s', 'baseline_s', 'limit_s', 'ratio', 'fraction_of_limit', 'max_difference', 'peak_gib', 'goal', 'met',
}  # fmt: skip


@pytest.mark.cli
def test_a_row_is_measured_in_a_process_of_its_own(tmp_path, capsys):
    out = tmp_path / 'benchmark.json'
    words = ['--rows', 'C5', '--repeats', '1', '--out', str(out), '--cfg-options', 'view.size=64']
    assert command.main(words) == 0
    content = json.loads(out.read_text())
    assert {'threads', 'load', 'torch'} <= set(content['machine'])
    (row,) = content['rows']
    assert set(row) >= KEYS
    assert row['max_difference'] == 0
    assert row['ratio'] == pytest.approx(row['baseline_s'] / row['ours_s'])
    assert isinstance(row['met'], bool)
    table = capsys.readouterr().out
    assert 'C5' in table
    assert '1.1 x, <= 1.3 x limit' in table


@pytest.mark.parametrize(
    ('program', 'said'),
    [
        ('print("RuntimeError: can\'t allocate memory: you tried"); raise SystemExit(1)', 'does not fit into 2 GiB'),
        ('print("ValueError: broken"); raise SystemExit(1)', 'ValueError: broken'),
    ],
)
def test_a_row_that_fails_says_why_and_the_others_go_on(monkeypatch, tmp_path, program, said):
    monkeypatch.setattr(run, 'COMMAND', (sys.executable, '-c', f'import sys; sys.stdin.read(); {program}'))
    found = benchmark(rows=['C1', 'C2'], memory_gib=2.0, out=tmp_path / 'out.json')
    assert [row.error for row in found.rows] == [said, said]
    assert not found.rows[0].met
    assert said in found.text()
    first, _ = json.loads((tmp_path / 'out.json').read_text())['rows']
    assert (first['error'], first['met']) == (said, False)


def test_repeats_are_a_whole_number():
    with pytest.raises(ConfigError, match='--repeats: found 0'):
        benchmark(rows=['C1'], repeats=0)
