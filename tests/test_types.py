import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def has_the_checked_libraries() -> bool:
    """Whether the classic toolbox and the NumPy of requirements/base.txt are here: others have other types."""
    pinned = re.search(r'^numpy==(.+)$', (ROOT / 'requirements' / 'base.txt').read_text('utf-8'), re.M).group(1)
    try:
        return bool(version('mmengine')) and version('numpy') == pinned
    except PackageNotFoundError:
        return False


@pytest.mark.cli
@pytest.mark.skipif(
    not has_the_checked_libraries(), reason='types are checked with the versions of openmmlab.txt alone'
)
def test_mypy_finds_no_error(pytestconfig):
    cache = pytestconfig.cache.mkdir('mypy')
    environment = {name: value for name, value in os.environ.items() if name not in ('MYPYPATH', 'PYTHONPATH')}
    command = [sys.executable, '-m', 'mypy', '--cache-dir', str(cache)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
