"""The pages hold together: navigation, messages that are those of the package, and a site that builds strictly."""

import ast
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import cssa_mm
from cssa_mm.cli.main import COMMANDS
from tests.cli.pages import ROOT

DOCS = ROOT / 'docs'
BUILDER = ROOT / '.venv-docs' / 'bin' / 'python'
needs_builder = pytest.mark.skipif(not BUILDER.exists(), reason='.venv-docs is not there: bash tools/docs.sh makes it')


def pages_in(entry) -> Iterator[str]:
    """The files below an entry of mkdocs' navigation."""
    if isinstance(entry, str):
        yield entry
    for below in entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else ():
        yield from pages_in(below)


def test_the_navigation_has_each_page_once():
    navigation = yaml.safe_load((ROOT / 'mkdocs.yml').read_text('utf-8'))['nav']
    found = list(pages_in(navigation))
    assert len(set(found)) == len(found)
    assert {path for path in found if path.startswith('docs/')} == {f'docs/{path.name}' for path in DOCS.glob('*.md')}
    assert all((ROOT / path).is_file() for path in found)


def test_the_api_page_names_what_the_package_offers():
    text = (DOCS / 'api.md').read_text('utf-8')
    named = {path.rpartition('.')[2]: path for path in re.findall(r'^::: (\S+)', text, re.MULTILINE)}
    assert set(named) == {*cssa_mm.__all__, 'errors'}
    for name in cssa_mm.__all__:
        assert getattr(cssa_mm, name).__module__ == named[name].rpartition('.')[0]


def test_the_page_of_commands_names_each_command_once():
    rows = re.findall(r'^\| [a-z].*$', (DOCS / 'commands.md').read_text('utf-8'), re.MULTILINE)
    assert sorted(re.findall(r'`([\w-]+)`', '\n'.join(rows))) == sorted(COMMANDS)


# -- troubleshooting -------------------------------------------------------------------------------------------


def messages() -> list[str]:
    """Every text of the package's sources, with `...` in the place of each value."""
    found = []
    for path in (ROOT / 'cssa_mm').rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text('utf-8'))):
            if isinstance(node, ast.JoinedStr):
                found.append(''.join(part.value if isinstance(part, ast.Constant) else '...' for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def test_each_message_of_the_troubleshooting_page_occurs_in_the_package():
    quoted = re.findall(r'^\*\*`(.+)`\*\*$', (DOCS / 'troubleshooting.md').read_text('utf-8'), re.MULTILINE)
    assert len(quoted) > 25
    known = messages()
    for message in quoted:
        assert len(message.replace('...', '').strip()) > 20, message
        pattern = re.compile('.*'.join(map(re.escape, re.split(r'\.{3,}', message))), re.DOTALL)
        assert any(pattern.search(text) for text in known), message


# -- the site --------------------------------------------------------------------------------------------------


def build(folder: Path) -> subprocess.CompletedProcess:
    """Run tools/docs.sh on a copy of the pages."""
    for name in ('docs', 'tools', 'cssa_mm', 'requirements'):
        if not (folder / name).exists():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns('__pycache__'))
    for path in (*ROOT.glob('*.md'), *ROOT.glob('*.cff'), ROOT / 'LICENSE', ROOT / 'mkdocs.yml'):
        if not (folder / path.name).exists():
            shutil.copy(path, folder)
    environment = os.environ | dict(CSSA_DOCS_VENV=str(BUILDER.parents[1]))
    return subprocess.run(['bash', folder / 'tools' / 'docs.sh'], env=environment, capture_output=True, text=True)


@pytest.mark.cli
@needs_builder
def test_the_site_builds_without_a_request_to_another_and_a_broken_link_stops_it(tmp_path):
    done = build(tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    site = tmp_path / 'build' / 'docs' / 'site'
    pages = [path.read_text('utf-8') for path in site.rglob('*.html')]
    assert len(pages) > 20
    loaded = re.compile(r'<(?:script|img|iframe)[^>]+src="(?:https?:)?//|<link[^>]+stylesheet[^>]+href="(?:https?:)?//')
    assert [page for page in pages if loaded.search(page)] == []
    assert 'Train a model' in (site / 'docs' / 'api.html').read_text('utf-8')  # from a docstring

    page = tmp_path / 'docs' / 'trust.md'
    page.write_text(page.read_text('utf-8') + '\n[away](nowhere.md) [gone](results.md#no-such-section)\n')
    done = build(tmp_path)
    assert done.returncode != 0
    assert 'nowhere.md' in done.stderr
    assert 'no-such-section' in done.stderr
