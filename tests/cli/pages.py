"""What the tests of README and pages share: their blocks, what is added to keep a command small, and photos."""

import json
import os
import re
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
README = (ROOT / 'README.md').read_text('utf-8')
# Those of docs/ whose blocks run (test_pages.py); the others are figures, or written by a program.
RUNNING = ['get_started', 'own_photos', 'labels_out', 'trust', 'how_it_works', 'configuration', 'extending', 'commands']
RUNNING += ['distributed', 'coming_from_mmpretrain', 'api']
PAGES = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'docs/results.md', 'docs/reconstruction.md']
PAGES += ['docs/formats.md', 'docs/towers.md', 'docs/thresholds.md', 'cssa_mm/demo/clip/MODEL_CARD.md']
PAGES += ['docs/kept_features.md', 'docs/reliability.md', 'docs/systems.md']
PAGES += [f'docs/{name}.md' for name in (*RUNNING, 'look_and_label', 'performance', 'scaling', 'troubleshooting')]

# Training for held-out scores would triple the time.
NO_FOLDS = 'default_hooks.calibration.folds=0'
IN_PROCESS = 'train_dataloader.num_workers=0 val_dataloader.num_workers=0 default_hooks.pseudo_labels.num_workers=0'
SHORT_TRAINING = (
    f'train_cfg.warmup_epochs=2 train_cfg.semi_epochs=1 train_cfg.val_begin=3 report=False {NO_FOLDS} {IN_PROCESS}'
)
SMALL_TOWER = (
    '--cfg-options model.backbone.model_name=cssa-demo-rn model.backbone.pretrained=demo '
    f'model.head.prompts.num_context=4 view.size=128 {IN_PROCESS}'
)
# What is appended to a command that begins so, to keep it small; all others run as they stand.
SHORTER = {
    'bash tools/quickstart.sh': '--cfg-options train_cfg.warmup_epochs=2 train_cfg.val_begin=1 '
    f'report=False {NO_FOLDS} {IN_PROCESS}',
    'bash tools/run_tests.sh': f'--collect-only -q --rootdir {ROOT} {ROOT}/tests/test_compat.py',
    'python tools/train.py photos': SMALL_TOWER,
    'python tools/test.py photos': SMALL_TOWER,
    'python tools/start.py photos': f'--tower demo --yes --cfg-options view.size=128 {NO_FOLDS} {IN_PROCESS}',
    'python tools/demo_data.py': '--num-train 120 --num-test 24',
    'python tools/study.py': '--seeds 1 2 --rows zero_shot linear_probe',
    'python tools/train.py configs/cssa_demo.py': f'--cfg-options {SHORT_TRAINING}',
    'python tools/train.py configs/cssa_plus_demo.py': f'--cfg-options {NO_FOLDS} {IN_PROCESS}',
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


def environment_of_commands(**variables: str) -> dict[str, str]:
    """Where `python` is the one of this test, and a port that no other test takes."""
    path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    return os.environ | dict(PATH=path, PYTHONPATH=str(ROOT), PORT='29611', OMP_NUM_THREADS='1') | variables


def what_is_added(command: str) -> str:
    beginnings = [beginning for beginning in SHORTER if command.startswith(beginning)]
    return SHORTER[max(beginnings, key=len)] if beginnings else ''


def of_any_loader(path: str) -> str:
    """The path of a key as docs/configuration.md has it: all loaders under one name."""
    return re.sub(r'^(train|val|test)_dataloader', '*_dataloader', path)


def config_rows() -> dict[str, set[str]]:
    """The keys of docs/configuration.md by the path of their section; those of all data sets together."""
    found: dict[str, set[str]] = {}
    text = (ROOT / 'docs' / 'configuration.md').read_text('utf-8')
    for section in re.split(r'^## ', text, flags=re.MULTILINE)[1:]:
        title = section.partition('\n')[0]
        path = '' if title == 'The top level' else title.split('`')[1]
        found.setdefault(path, set()).update(re.findall(r'^\| `(\w+)` \|', section, re.MULTILINE))
    return found


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


def make_coco(root: Path) -> None:
    """Labels in another form: three annotated images of five."""
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


def make_new_photos(root: Path) -> None:
    """The folder that is labelled: new photos, and the true labels of some."""
    rng = np.random.default_rng(1)
    root.mkdir()
    for number in range(900, 906):
        Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(root / f'IMG_{number:04}.jpg')
    (root / 'labels.csv').write_text('image,labels\nIMG_0900.jpg,cat\nIMG_0902.jpg,dog;person\nIMG_0903.jpg,none\n')
