"""Whether the unit tests notice wrong code: bash tools/acceptance.sh mutants [--only losses] [--processes 2].

Each change of `mutant_list.py` is made in a copy of the tree, one at a time, and the unit tests of the changed file run
there. A process that has imported torch and mmpretrain, but nothing of this package, forks one child for each mutant,
which imports the package from the copy; so a mutant takes little more than its tests. First the tests run on the code
as it is: where they fail, nothing that they say of a mutant counts.

Printed are what became of each mutant, the survivors, and the share that was caught, by module and over all. Exit
status 1 if it is below 90 %, and 2 if the list or the tests themselves are wrong.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Iterator, Sequence
from pathlib import Path

from mutant_list import Mutant, all_mutants

ROOT = Path(__file__).resolve().parents[2]
ENOUGH = 0.9
SECONDS = 300  # a child that runs longer is ended by a signal, and its mutant caught
# What the package and its tests import, and what takes longest.
IMPORTS = (
    'torch',
    'mmengine.runner',
    'mmpretrain.apis',
    'mmpretrain.models',
    'mmpretrain.datasets',
    'open_clip',
    'timm',
)
IMPORTS += ('pytest', 'safetensors.torch', 'scipy.stats', 'sklearn.isotonic', 'sklearn.linear_model', 'sklearn.metrics')
FOREIGN = 99  # exit status of a child that has met another copy of the package


class Tree:
    """A copy of the tracked files, in which mutants are made and taken back."""

    _stamps = itertools.count(1)

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        command = ['git', 'ls-files', '-z', '-co', '--exclude-standard']
        names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split('\0')
        for name in names:
            if name and (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)

    def apply(self, mutant: Mutant) -> None:
        """Make the change."""
        path = self.folder / mutant.file
        path.write_text(mutant.text(path.read_text('utf-8')), 'utf-8')
        # Python knows compiled code by the time and size of its source: each mutant gets a time of its own.
        stamp = next(self._stamps)
        os.utime(path, (stamp, stamp))

    def restore(self, mutant: Mutant) -> None:
        """Take the change back."""
        shutil.copy2(ROOT / mutant.file, self.folder / mutant.file)

    def fork(self, tests: Sequence[str]) -> int:
        """Start the tests in a child; returns its process number."""
        child = os.fork()
        if child == 0:
            code = FOREIGN
            try:
                code = self._run(tests)
            finally:
                os._exit(code)  # to take down all that was imported would take longer than most tests
        return child

    def _run(self, tests: Sequence[str]) -> int:
        os.setpgrp()  # what the tests start ends with them
        signal.alarm(SECONDS)
        output = os.open(self.folder.with_suffix('.log'), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for number in (1, 2):
            os.dup2(output, number)
        os.chdir(self.folder)
        os.environ['PYTHONPATH'] = str(self.folder)
        here = ROOT, Path(__file__).resolve().parent
        sys.path[:] = [str(self.folder), *(path for path in sys.path if Path(path).resolve() not in here)]
        for name in [name for name in sys.modules if name.partition('.')[0] in ('tests', 'cssa_mm')]:
            del sys.modules[name]
        import cssa_mm

        if not Path(cssa_mm.__file__).is_relative_to(self.folder):
            return FOREIGN
        import pytest

        options = ['-x', '-q', '--tb=line', '-p', 'no:cacheprovider', f'--basetemp={self.folder}.tmp']
        return int(pytest.main([*options, *tests]))


def import_foreign() -> types.ModuleType:
    """Import what the package needs, and nothing of it but the repairs without which torchvision may not load.

    Returns:
        The module of the repairs, which end when nobody holds it.
    """
    package = types.ModuleType('cssa_mm')
    package.__path__ = [str(ROOT / 'cssa_mm')]
    sys.modules['cssa_mm'] = package
    compat = importlib.import_module('cssa_mm.compat')
    for name in IMPORTS:
        importlib.import_module(name)
    return compat


def verdict(status: int) -> str:
    """What the exit status of a child says of its mutant."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        return 'caught (never ends)' if -code == signal.SIGALRM else f'caught (signal {-code})'
    # Of pytest's own: 0 is passed and 1 failed; all others say that the tests did not run.
    return {0: 'survived', 1: 'caught'}.get(code, f'no tests (status {code})')


def results(mutants: Sequence[Mutant], trees: list[Tree]) -> Iterator[tuple[Mutant, str, float]]:
    """Each mutant with what became of it, and its seconds; as many at a time as there are trees."""
    waiting, free = list(mutants), list(trees)
    running: dict[int, tuple[Mutant, Tree, float]] = {}
    while waiting or running:
        while waiting and free:
            mutant, tree = waiting.pop(0), free.pop()
            tree.apply(mutant)
            running[tree.fork(mutant.tests)] = mutant, tree, time.monotonic()
        child, status = os.wait()
        mutant, tree, start = running.pop(child)
        _end_group(child)
        tree.restore(mutant)
        free.append(tree)
        yield mutant, verdict(status), time.monotonic() - start


def _end_group(child: int) -> None:
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        return  # the usual case: it has left nobody behind


def check_tests(mutants: Sequence[Mutant], tree: Tree) -> None:
    """See that the tests pass on the code as it is."""
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    child = tree.fork(tests)
    found = verdict(os.waitpid(child, 0)[1])
    _end_group(child)
    if found != 'survived':
        end = tree.folder.with_suffix('.log').read_text('utf-8')[-2000:]
        sys.exit(f'{end}\nerror: mutants: the tests fail on the code as it is ({found}); mend them first')


def summary(found: Sequence[tuple[Mutant, str, float]]) -> float:
    """Print the table of modules and the survivors; returns the share that was caught."""
    print(f'\n{"module":52} mutants  caught')
    for file, group in itertools.groupby(found, key=lambda each: each[0].file):
        verdicts = [each[1] for each in group]
        print(f'{file:52} {len(verdicts):7} {sum(each.startswith("caught") for each in verdicts):7}')
    for mutant, became, _ in found:
        if not became.startswith('caught'):
            print(f'{became}: {mutant.name}, {mutant.file}: {mutant.before}  ->  {mutant.after}')
    caught = sum(became.startswith('caught') for _, became, _ in found)
    print(f'{caught} of {len(found)} mutants caught, {caught / len(found):.1%}; expected at least {ENOUGH:.0%}')
    return caught / len(found)


def main() -> int:
    """Apply the mutants one by one."""
    parser = argparse.ArgumentParser(description='Apply each mutant of the list and run the tests of its module')
    parser.add_argument('--only', metavar='NAME', help='those whose name begins so, such as losses or losses-3')
    parser.add_argument('--limit', type=int, help='so many at most')
    parser.add_argument('--processes', type=int, default=1, help='so many at a time')
    arguments = parser.parse_args()
    mutants = [mutant for mutant in all_mutants() if mutant.name.startswith(arguments.only or '')][: arguments.limit]
    if not mutants:
        print(f"error: mutants: found no name that begins with '{arguments.only}'", file=sys.stderr)
        return 2
    try:
        for mutant in mutants:
            mutant.text((ROOT / mutant.file).read_text('utf-8'))
    except ValueError as error:
        print(f'error: mutants: {error}; the code has changed: mend tests/reliability/mutant_list.py', file=sys.stderr)
        return 2
    os.environ |= dict(OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='')
    _held = import_foreign()
    with tempfile.TemporaryDirectory() as folder:
        trees = [Tree(Path(folder, f'tree{number}')) for number in range(max(1, arguments.processes))]
        check_tests(mutants, trees[0])
        found = []
        for mutant, became, seconds in results(mutants, trees):
            found.append((mutant, became, seconds))
            print(f'{mutant.name:28} {became:12} {seconds:6.1f} s', flush=True)
    order = {mutant.name: number for number, mutant in enumerate(mutants)}
    share = summary(sorted(found, key=lambda each: order[each[0].name]))
    if any(became.startswith('no tests') for _, became, _ in found):
        return 2
    return int(share < ENOUGH)


if __name__ == '__main__':
    sys.exit(main())
