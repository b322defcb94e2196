"""The README and its neighbours hold: every command and program of the README runs, and what the pages name exists."""

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mmengine.config import Config

import cssa_mm
from cssa_mm.demo.scenes import generate_demo
from tests.cli.pages import (
    PAGES,
    README,
    ROOT,
    RUNNING,
    blocks_of,
    commands_of,
    config_rows,
    environment_of_commands,
    lines_of,
    make_new_photos,
    make_photos,
    of_any_loader,
    what_is_added,
)

RUN = [block for block in blocks_of(README) if block.language in ('bash', 'python')]
SETTING_UP = ('bash tools/quickstart.sh', 'bash tools/run_tests.sh')


def is_set_up_here() -> bool:
    """Whether this environment was made by this clone's scripts: they would install into any other."""
    stamp = Path(sys.prefix, '.cssa_stamp')
    made_by = stamp.read_text().strip().partition(' ')[2] if stamp.is_file() else ''
    return bool(made_by) and Path(made_by).resolve() == ROOT.resolve()


# -- what is written -------------------------------------------------------------------------------------------


COMMENTED = [README, *((ROOT / 'docs' / f'{name}.md').read_text('utf-8') for name in RUNNING)]
COMMANDS = [block for text in COMMENTED for block in blocks_of(text) if block.language == 'bash']


@pytest.mark.parametrize('block', COMMANDS, ids=lambda block: block.section)
def test_each_command_stands_below_a_comment_of_its_own(block):
    lines = lines_of(block)
    assert [line.startswith('# ') for line in lines] == [True, False] * (len(lines) // 2), lines


@pytest.mark.parametrize('page', PAGES)
def test_the_files_that_a_page_names_are_there(page):
    text, folder = (ROOT / page).read_text('utf-8'), (ROOT / page).parent
    links = [link.partition('#')[0] for link in re.findall(r'\]\(([^)\s]+)\)', text)]
    missing = [link for link in links if link and '://' not in link and not (folder / link).exists()]
    paths = re.findall(r'(?<![\w/.])(?:cssa_mm|configs|tools|tests|docs|requirements|\.ci)/[\w./-]*\w\b(?![{*])', text)
    missing += [path for path in paths if not re.search(r'NAME|[A-Z]{4}', path) and not (ROOT / path).exists()]
    assert missing == []


@pytest.mark.parametrize('page', PAGES)
def test_the_sections_that_a_page_links_to_are_there(page):
    text = (ROOT / page).read_text('utf-8')
    for target, anchor in re.findall(r'\]\(([^)\s#]*)#([^)\s]+)\)', text):
        other = (ROOT / page).parent.joinpath(target).read_text('utf-8') if target else text
        titles = [re.sub(r'[^\w\- ]', '', line.lstrip('# ').lower()) for line in other.splitlines() if line[:1] == '#']
        assert anchor in [title.replace(' ', '-') for title in titles], f'{target}#{anchor}'


@pytest.mark.parametrize('page', PAGES)
def test_the_config_keys_that_a_page_names_are_there(page):
    """Keys such as `model.evidence.anchor`, in any of the configs that set it, or with a row in the reference."""
    configs = [cssa_mm.load_config(name) for name in ('cssa_demo', 'cssa_plus_demo', 'cssa_table')]
    text = re.sub(r'^```python.*?^```', '', (ROOT / page).read_text('utf-8'), flags=re.MULTILINE | re.DOTALL)
    rows = config_rows()
    heads = 'model|view|train_cfg|default_hooks|optim_wrapper|train_dataloader|val_dataloader|test_dataloader'
    for key in re.findall(rf'(?<![\w./])(?:{heads})(?:\.(?!json)[a-z_]+)+', text):
        section, _, name = of_any_loader(key).rpartition('.')
        assert any(has_key(config, key) for config in configs) or name in rows.get(section, ()), key


def has_key(config: Config, key: str) -> bool:
    for name in key.split('.'):
        if not isinstance(config, dict | Config) or name not in config:
            return False
        config = config[name]
    return True


def test_the_journey_of_an_image_names_functions_that_its_files_define():
    text = (ROOT / 'CONTRIBUTING.md').read_text('utf-8')
    rows = re.findall(r'^\| \d+ \| `(\S+\.py)` \| ([^|]+) \|', text, re.MULTILINE)
    assert 5 <= len(rows) <= 10
    for path, names in rows:
        source = (ROOT / 'cssa_mm' / path).read_text('utf-8')
        for name in re.findall(r'`(\w+)`', names):
            assert re.search(rf'^\s*(def|class) {name}\b', source, re.MULTILINE), f'{path}: {name}'


def test_the_citation_names_this_version():
    citation = (ROOT / 'CITATION.cff').read_text('utf-8')
    assert f'\nversion: {cssa_mm.__version__}\n' in citation
    assert 'arXiv:2412.18842' in citation


# -- what runs -------------------------------------------------------------------------------------------------


@pytest.mark.cli
@pytest.mark.slow
def test_every_command_and_program_of_the_readme_runs(tmp_path):
    """Verbatim, in a folder with a small version of the data: sections side by side, each in its own order."""
    for name in ('tools', 'configs'):
        (tmp_path / name).symlink_to(ROOT / name)
    generate_demo(tmp_path / 'data' / 'icons', num_train=120, num_test=24)
    make_photos(tmp_path / 'photos')
    make_new_photos(tmp_path / 'new_photos')
    # To begin with there are photos alone; what the labelling page saves comes afterwards.
    (tmp_path / 'Downloads').mkdir()
    (tmp_path / 'photos' / 'labels.csv').rename(tmp_path / 'Downloads' / 'labels.csv')
    for name in ('test.csv', 'classes.txt'):
        (tmp_path / 'photos' / name).unlink()
    environment = environment_of_commands(HOME=str(tmp_path), CSSA_VENV=str(Path(sys.executable).parents[1]))

    def run_section(section: str) -> int:
        commands = [(block.language, text) for block in RUN if block.section == section for text in commands_of(block)]
        for language, command in commands:
            sets_up = command in SETTING_UP
            if sets_up and not is_set_up_here():
                continue
            extra = what_is_added(command)
            if 'quickstart' in command:
                extra = f'--work-dir {tmp_path}/work_dirs/quickstart --data-root {tmp_path}/data/icons {extra}'
            words = [sys.executable, '-c', command] if language == 'python' else ['bash', '-c', f'{command} {extra}']
            run = subprocess.run(
                words,
                cwd=ROOT if sets_up else tmp_path,  # these two find their environment beside the scripts
                env=environment,
                capture_output=True,
                text=True,
            )
            assert run.returncode == 0, f'{command}\n{run.stdout[-2000:]}\n{run.stderr[-2000:]}'
        return len(commands)

    sections = list(dict.fromkeys(block.section for block in RUN))
    with ThreadPoolExecutor(2) as pool:
        counts = list(pool.map(run_section, sections))
    assert len(counts) >= 3
    assert sum(counts) > 10
    assert (tmp_path / 'work_dirs/photos/no_labels/suggestions/label.html').is_file()
    assert (tmp_path / 'work_dirs/photos/9_labelled/training/report.html').is_file()
    if not is_set_up_here():
        pytest.skip(f'{SETTING_UP}: left out, as they would install into {sys.prefix}; all others ran')
    assert set(json.loads((tmp_path / 'work_dirs/quickstart/summary.json').read_text())) == {
        'zero_shot', 'labelled_only', 'cssa', 'cssa_plus', 'wall_seconds',
    }  # fmt: skip
