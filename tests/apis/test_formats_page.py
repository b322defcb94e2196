"""docs/formats.md is what the readers say."""

import subprocess
import sys
from pathlib import Path

from cssa_mm.apis.formats_page import formats_page
from cssa_mm.datasets.readers import READERS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / 'docs' / 'formats.md'


def test_the_page_is_up_to_date():
    assert PAGE.read_text('utf-8') == formats_page(), 'write it anew: cssa import --formats > docs/formats.md'


def test_each_reader_has_one_row_of_four_cells_and_its_example():
    text = PAGE.read_text('utf-8')
    rows = [line for line in text.splitlines() if line.startswith('| ') and line.count(' | ') == 3]
    for name, reader in READERS.items():
        (row,) = [row for row in rows if f'| `{name}` |' in row]
        assert row == f'| {reader.title} | `{name}` | {reader.unlabelled} | {reader.none} |'
        assert f'```text\n{reader.example}\n```' in text


def test_the_command_prints_the_page():
    words = [sys.executable, str(ROOT / 'tools' / 'import.py'), '--formats']
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == PAGE.read_text('utf-8')
