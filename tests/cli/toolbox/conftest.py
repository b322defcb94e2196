"""Rows of docs/toolbox.md: each test that is marked `toolbox` shows what becomes of one feature of the toolbox."""

import pytest

AREAS = (
    'Schedules and steps',
    'Loops and flags',
    'Data sets and loaders',
    'Losses',
    'Metrics and best checkpoints',
    'Hooks',
    'Warm start and resume',
    'Sizes',
    'Tools',
    'Inference and names',
)
VERDICTS = ('works', 'refused', 'not meant')
ROWS = pytest.StashKey[list]()


def pytest_itemcollected(item):
    """Both families run what shows a row (smoke); rows are kept before tests are deselected."""
    item.add_marker('cli')
    item.add_marker('smoke')
    rows = item.config.stash.setdefault(ROWS, [])
    for marker in item.iter_markers('toolbox'):
        area, feature, verdict, note = marker.args
        assert area in AREAS, f'{item.nodeid}: {area} is no area'
        assert verdict in VERDICTS, f'{item.nodeid}: {verdict} is no verdict'
        rows.append((AREAS.index(area), feature, verdict, note))


@pytest.fixture
def toolbox_rows(request):
    """(area, feature, verdict, note) of all collected rows, once each."""
    rows = dict.fromkeys(request.config.stash[ROWS])
    return [(AREAS[number], *rest) for number, *rest in sorted(rows)]
