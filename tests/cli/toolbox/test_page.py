"""docs/toolbox.md tells what the tests of this folder show.

The page is written again by CSSA_WRITE_PAGE=1 bash tools/run_tests.sh tests/cli/toolbox -k the_page
"""

import os
from itertools import groupby
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / 'docs' / 'toolbox.md'
HEAD = """# Features of the toolbox, and what becomes of them here

Each row is shown by a test in `tests/cli/toolbox/`, which runs with both families of packages (OpenMMLab and OneDL).
**works**: it means what it means in mmpretrain, or what the last column says. **refused**: one line says why and what
to do instead. **not meant**: it makes no sense for several labels an image or a frozen tower; the line says so.
"""


def page_of(rows):
    parts = [HEAD]
    for area, group in groupby(rows, key=lambda row: row[0]):
        lines = [f'| {feature} | {verdict} | {note} |' for _, feature, verdict, note in group]
        parts.append(
            '\n'.join([f'## {area}\n', '| feature | verdict | meaning here |', '|---|---|---|', *lines]) + '\n'
        )
    return '\n'.join(parts)


def test_the_page_lists_the_rows_that_are_tested(toolbox_rows, request):
    files = {Path(name).name for name in os.listdir(Path(__file__).parent) if name.startswith('test_')}
    collected = {Path(item.path).name for item in request.session.items}
    if not os.environ.get('CSSA_WRITE_PAGE') and not files <= collected:
        pytest.skip('only some files of this folder were collected')
    text = page_of(toolbox_rows)
    if os.environ.get('CSSA_WRITE_PAGE'):
        PAGE.write_text(text, 'utf-8')
    assert PAGE.read_text('utf-8') == text, 'write it again as told above'
