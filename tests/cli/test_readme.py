"""The README and its neighbours hold: every command and program of the README runs, and what the pages name exists."""

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

import cssa_mm
from cssa_mm.demo.scenes import generate_demo

ROOT = Path(__file__).parents[2]
README = (ROOT / 'README.md').read_text('utf-8')
PAGES = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'docs/results.md', 'docs/reconstruction.md']
PAGES += ['docs/formats.md', 'docs/towers.md', 'docs/thresholds.md', 'cssa_mm/demo/clip/MODEL_CARD.md']

# Training for held-out scores would triple the time.
NO_FOLDS = 'default_hooks.calibration.folds=0'
IN_PROCESS = 'train_dataloader.num_workers=0 val_dataloader.num_workers=0 default_hooks.pseudo_labels.num_workers=0'
SHORT_TRAINING = f'train_cfg.warmup_epochs=2 train_cfg.semi_epochs=1 train_cfg.val_begin=3 {IN_PROCESS}'
SMALL_TOWER = (
    '--cfg-options model.backbone.model_name=cssa-demo-rn model.backbone.pretrained=demo '
    f'model.head.prompts.num_context=4 view.size=128 {IN_PROCESS}'
)
# What is appended to a command that begins so, to keep it small; all others run as they stand.
SHORTER = {
    'bash tools/quickstart.sh': '--cfg-options train_cfg.warmup_epochs=2 train_cfg.val_begin=1 '
    f'{NO_FOLDS} {IN_PROCESS}',
    'bash tools/run_tests.sh': f'--collect-only -q --rootdir {ROOT} {ROOT}/tests/test_compat.py',
    'python tools/train.py photos': SMALL_TOWER,
    'python tools/test.py photos': SMALL_TOWER,
    'python tools/demo_data.py': '--num-train 120 --num-test 24',
    'python tools/study.py': '--seeds 1 2 --rows zero_shot linear_probe',
    # The checkpoint of its last epoch, 162, is tested afterwards.
    'python tools/train.py configs/cssa_demo.py': f'--cfg-options train_cfg.val_begin=162 {NO_FOLDS} {IN_PROCESS}',
    'python tools/train.py configs/cssa_demo.py --work-dir work_dirs/no_context': SHORT_TRAINING,
    'python tools/train.py configs/cssa_demo.py --work-dir work_dirs/split': SHORT_TRAINING,
    'bash tools/dist_train.sh configs/cssa_demo.py 2': f'--cfg-options {SHORT_TRAINING}',
}


class Block(NamedTuple):
    """A fenced block of a page: the section that it stands in, its language, and its text."""

    section: str
    language: str
    text: str


def blocks_of(text: str) -> list[Block]:
    found = []
    for section in re.split(r'^(?=## )', text, flags=re.MULTILINE):
        title = section.partition('\n')[0]
        found += [Block(title, *match) for match in re.findall(r'^```(\w*)\n(.*?)^```', section, re.DOTALL | re.M)]
    return found


def lines_of(block: Block) -> list[str]:
    return [line for line in block.text.splitlines() if line.strip()]


def commands_of(block: Block) -> list[str]:
    """What is run of a block: each command, or the whole program."""
    if block.language == 'python':
        return [block.text]
    return [line for line in lines_of(block) if not line.startswith('#')]


def what_is_added(command: str) -> str:
    beginnings = [beginning for beginning in SHORTER if command.startswith(beginning)]
    return SHORTER[max(beginnings, key=len)] if beginnings else ''


RUN = [block for block in blocks_of(README) if block.language in ('bash', 'python')]
SETTING_UP = ('bash tools/quickstart.sh', 'bash tools/run_tests.sh')


def is_set_up_here() -> bool:
    """Whether this environment was made by this clone's scripts: they would install into any other."""
    stamp = Path(sys.prefix, '.cssa_stamp')
    made_by = stamp.read_text().strip().partition(' ')[2] if stamp.is_file() else ''
    return bool(made_by) and Path(made_by).resolve() == ROOT.resolve()


# -- what is written -------------------------------------------------------------------------------------------


@pytest.mark.parametrize('block', [block for block in RUN if block.language == 'bash'], ids=lambda block: block.section)
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
    """Keys such as `model.evidence.anchor`, in any of the configs that set it."""
    configs = [cssa_mm.load_config(name) for name in ('cssa_demo', 'cssa_plus_demo', 'cssa_table')]
    text = (ROOT / page).read_text('utf-8')
    heads = 'model|view|train_cfg|default_hooks|optim_wrapper|train_dataloader|val_dataloader|test_dataloader'
    for key in re.findall(rf'(?<![\w./])(?:{heads})(?:\.(?!json)[a-z_]+)+', text):
        assert any(has_key(config, key) for config in configs), key


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


def make_photos(root: Path) -> None:
    """The files of the section 'Your own photos'; no labelled photo shows a sheep."""
    rng = np.random.default_rng(0)
    names = [f'{"holiday/" * (index % 2)}IMG_{index:04}.jpg' for index in range(40)]
    for name in names:
        (root / 'images' / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(root / 'images' / name)
    labelled = [f'{name},{label}' for name, label in zip(names, ['dog;person', 'cat', 'none', ''] * 3, strict=False)]
    tested = [
        f'{name},{label}'
        for name, label in zip(names[-6:], ['cat', 'dog', 'sheep', 'person', 'none', 'cat'], strict=True)
    ]
    for table, rows in (('labels', labelled), ('test', tested)):
        (root / f'{table}.csv').write_text('\n'.join(['image,labels', *rows]) + '\n')
    (root / 'classes.txt').write_text('cat\ndog\nperson\nsheep\n')


def make_new_photos(root: Path) -> None:
    """The folder that is labelled: new photos, and the true labels of some."""
    rng = np.random.default_rng(1)
    root.mkdir()
    for number in range(900, 906):
        Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(root / f'IMG_{number:04}.jpg')
    (root / 'labels.csv').write_text('image,labels\nIMG_0900.jpg,cat\nIMG_0902.jpg,dog;person\nIMG_0903.jpg,none\n')


def make_coco(root: Path) -> None:
    """The files of the section on labels in another form: three annotated images of five."""
    names = [f'{index}.jpg' for index in range(5)]
    (root / 'images').mkdir(parents=True)
    for name in names:
        Image.fromarray(np.full((20, 30, 3), 40 * int(name[0]), np.uint8)).save(root / 'images' / name)
    content = dict(
        images=[dict(id=index, file_name=name) for index, name in enumerate(names)],
        annotations=[dict(id=index, image_id=index, category_id=index % 2) for index in range(3)],
        categories=[dict(id=0, name='cat'), dict(id=1, name='dog')],
    )
    (root / 'annotations').mkdir()
    (root / 'annotations' / 'instances_default.json').write_text(json.dumps(content))


@pytest.mark.cli
@pytest.mark.slow
def test_every_command_and_program_of_the_readme_runs(tmp_path):
    """Verbatim, in a folder with a small version of the data: sections side by side, each in its own order."""
    for name in ('tools', 'configs'):
        (tmp_path / name).symlink_to(ROOT / name)
    generate_demo(tmp_path / 'data' / 'icons', num_train=120, num_test=24)
    make_photos(tmp_path / 'photos')
    make_new_photos(tmp_path / 'new_photos')
    make_coco(tmp_path / 'downloads' / 'coco')
    environment = os.environ | dict(
        PATH=f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}',
        PYTHONPATH=str(ROOT),
        CSSA_VENV=str(Path(sys.executable).parents[1]),
        PORT='29611',
        OMP_NUM_THREADS='1',
    )

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
    assert len(counts) >= 5
    assert sum(counts) > 20
    assert (tmp_path / 'work_dirs/short/last_checkpoint').is_file()
    if not is_set_up_here():
        pytest.skip(f'{SETTING_UP}: left out, as they would install into {sys.prefix}; all others ran')
    assert set(json.loads((tmp_path / 'work_dirs/quickstart/summary.json').read_text())) == {
        'zero_shot', 'labelled_only', 'cssa', 'cssa_plus', 'wall_seconds',
    }  # fmt: skip
