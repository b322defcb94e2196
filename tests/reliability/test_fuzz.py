"""Wounded files of every reader are read or refused in one line: no traceback of another kind, and no hang.

A small, fixed number here; 100,000 over all readers with `bash tools/acceptance.sh fuzz`.
"""

import os
import time

import pytest

from tests.reliability.fuzz_readers import READERS
from tests.reliability.fuzzing import fuzz

SMALL = 1500
INPUTS = int(os.environ.get('CSSA_FUZZ_INPUTS', SMALL))
SEED = os.environ.get('CSSA_FUZZ_SEED', '0')
LENIENT = ('scalars', 'list of images', 'feature store')  # what a line or shard says that is none is left out
WHOLE = sum(reader.weight for reader in READERS.values())


@pytest.mark.parametrize('name', READERS)
def test_wounded_files_are_read_or_refused_in_one_line(name, tmp_path, capsys):
    reader, began = READERS[name], time.monotonic()
    failures: list[str] = []
    counts = fuzz(name, reader, max(2, round(INPUTS * reader.weight / WHOLE)), SEED, tmp_path, failures.append)
    if INPUTS != SMALL:
        with capsys.disabled():
            figures = ' '.join(f'{counts[key]:>7} {key}' for key in counts)
            print(f'\n{name:24}{figures} {time.monotonic() - began:>6.0f} s', *failures, sep='\n')
    assert not failures, '\n'.join(failures)
    assert counts['refused'] or name in LENIENT, 'nothing was wounded enough'
