"""The list of mutants fits the code: `bash tools/acceptance.sh mutants` applies them."""

import ast
from pathlib import Path

import pytest

from tests.reliability.mutant_list import CHANGES, TESTS, all_mutants

ROOT = Path(__file__).parents[2]
MUTANTS = all_mutants()
FEWEST = 60


def test_the_list_is_long_enough_and_names_each_mutant_once():
    assert len(MUTANTS) >= FEWEST
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert set(TESTS) <= set(CHANGES)
    assert len({(mutant.file, mutant.before, mutant.after) for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize('mutant', MUTANTS, ids=lambda mutant: mutant.name)
def test_it_changes_one_line_of_code_and_its_tests_are_there(mutant):
    original = (ROOT / mutant.file).read_text('utf-8')
    changed = mutant.text(original)
    lines = zip(original.split('\n'), changed.split('\n'), strict=True)
    assert sum(before != after for before, after in lines) == 1
    assert ast.dump(ast.parse(original)) != ast.dump(ast.parse(changed))  # more than a comment
    assert mutant.tests
    assert all((ROOT / test).is_file() for test in mutant.tests)


def test_a_change_that_does_not_fit_is_an_error():
    mutant = MUTANTS[0]
    original = (ROOT / mutant.file).read_text('utf-8')
    for stale in (original.replace(mutant.before, mutant.after), original + original):
        with pytest.raises(ValueError, match=rf'{mutant.name}: found .* times in {mutant.file}, expected once'):
            mutant.text(stale)
