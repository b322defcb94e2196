"""The blocks of the pages in docs/ run, in the order in which they stand: commands, programs, and what these print."""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from cssa_mm.demo.scenes import generate_demo
from tests.cli.pages import (
    ROOT,
    RUNNING,
    blocks_of,
    commands_of,
    environment_of_commands,
    make_coco,
    make_new_photos,
    make_photos,
    what_is_added,
)

pytestmark = pytest.mark.cli

# As a command with `PYTHONPATH=.`, in a process that has done the imports.
PROGRAM = """
import os, runpy, sys
os.chdir({folder!r})
sys.path[:0] = ['', {beside!r}]
sys.argv = {words!r}
runpy.run_path({words!r}[0], run_name='__main__')
"""
# Pages whose commands read what those of another one write.
NEEDED = {name: 'own_photos' for name in ('labels_out', 'trust', 'configuration')}
NEEDED |= {name: 'get_started' for name in ('extending', 'commands', 'distributed')}


class Place:
    """A folder with small data, where each page is run once."""

    def __init__(self, folder: Path, quick_run) -> None:
        self.folder, self._quick_run, self._done = folder, quick_run, set()
        for name in ('tools', 'configs'):
            (folder / name).symlink_to(ROOT / name)
        generate_demo(folder / 'data' / 'icons', num_train=120, num_test=12)
        make_photos(folder / 'photos')
        make_new_photos(folder / 'new_photos')
        make_coco(folder / 'downloads' / 'coco')
        shutil.copytree(folder / 'photos' / 'images', folder / 'pets')
        photos = sorted(path.relative_to(folder / 'pets') for path in (folder / 'pets').rglob('*.jpg'))
        for name, part in (('train', photos[:8]), ('test', photos[8:12])):
            rows = [f'{path},{("cat dog", "dog", "")[number % 3]}' for number, path in enumerate(part)]
            (folder / 'pets' / f'{name}.csv').write_text('\n'.join(rows) + '\n')

    def run_page(self, name: str) -> int:
        """Run what stands on a page and has not run yet; returns the number of programs and commands."""
        if name in NEEDED:
            self.run_page(NEEDED[name])
        blocks = [*blocks_of((ROOT / 'docs' / f'{name}.md').read_text('utf-8')), None]
        count = 0
        for block, following in zip(blocks, blocks[1:], strict=False):
            if block.language not in ('python', 'bash'):
                continue
            for text in commands_of(block):
                count += 1
                if text in self._done:
                    continue
                self._done.add(text)
                printed = self._program(text) if block.language == 'python' else self._command(text)
                if block.language == 'python' and following and following.language == 'text':
                    assert printed == following.text
        return count

    def _program(self, text: str) -> str:
        first = text.partition('\n')[0]
        is_file = first.startswith('# ') and first.endswith('.py')
        path = self.folder / (first.removeprefix('# ') if is_file else 'program.py')
        path.write_text(text)
        return '' if is_file else self._run([str(path)])

    def _command(self, text: str) -> str:
        words = shlex.split(text.removeprefix('PYTHONPATH=. '))
        added = shlex.split(what_is_added(text))
        if words[0] == 'bash':
            return self._slurm(words) if 'slurm' in text else self._script([*words, *added])
        assert words[0] == 'python', text
        return self._run([*words[1:], *(added[1:] if '--cfg-options' in words else added)])

    def _run(self, words: list[str]) -> str:
        driver = self.folder / 'driver.py'
        driver.write_text(PROGRAM.format(folder=str(self.folder), beside=str(ROOT / 'tools'), words=words))
        done = self._quick_run(driver)
        assert done.returncode == 0, f'{words}\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}'
        return done.stdout

    def _script(self, words: list[str]) -> str:
        """Run a script that starts processes of its own."""
        environment = environment_of_commands()
        done = subprocess.run(words, cwd=self.folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f'{words}\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}'
        return done.stdout

    def _slurm(self, words: list[str]) -> str:
        """Run a script with an srun that prints what it is asked for."""
        srun = self.folder / 'bin' / 'srun'
        srun.parent.mkdir(exist_ok=True)
        srun.write_text('#!/bin/sh\necho "$@"\n')
        srun.chmod(0o755)
        path = f'{srun.parent}:/usr/bin:/bin'
        done = subprocess.run(words, cwd=self.folder, env=dict(PATH=path), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert '--nodes=1' in done.stdout
        return done.stdout


@pytest.fixture(scope='module')
def place(tmp_path_factory, quick_run) -> Place:
    return Place(tmp_path_factory.mktemp('pages'), quick_run)


@pytest.mark.parametrize('page', RUNNING)
def test_the_blocks_of_a_page_run(page, place):
    assert place.run_page(page) > 0


def test_a_block_that_fails_is_seen(place):
    with pytest.raises(AssertionError, match='ZeroDivisionError'):
        place._program('1 / 0\n')
