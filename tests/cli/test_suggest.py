"""`cssa suggest` and `cssa merge`: from a folder without labels to a training that starts from the earlier model."""

import csv
import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.cli
CLASSES = ['cat', 'dog', 'red bus']


@pytest.fixture(scope='module')
def small() -> list[str]:
    """Overrides for a short training."""
    return [
        'model.head.prompts.num_context=2',
        'model.head.prompts.initial_words=a',
        'train_cfg.warmup_epochs=1',
        'train_cfg.semi_epochs=1',
        'train_cfg.val_begin=2',
        *(f'{name}_dataloader.num_workers=0' for name in ('train', 'val', 'test')),
        'default_hooks.pseudo_labels.num_workers=0',
        'default_hooks.calibration.folds=2',
    ]


@pytest.fixture
def photos(tmp_path) -> Path:
    """20 photos, and nothing else."""
    (tmp_path / 'photos').mkdir()
    for number in range(20):
        pixels = np.random.default_rng(number).integers(0, 256, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / 'photos' / f'p{number:02}.jpg')
    return tmp_path / 'photos'


@pytest.fixture
def tower(clip_dir, tmp_path) -> list[str]:
    """A tiny tower."""
    for name in ('tiny-rn.json', 'tiny-rn.pt'):
        (tmp_path / 'tower').mkdir(exist_ok=True)
        shutil.copy(clip_dir / name, tmp_path / 'tower' / name)
    return ['--tower', f'tiny-rn:{tmp_path / "tower" / "tiny-rn.pt"}']


def names_of(folder: Path) -> list[str]:
    return [row['path'] for row in csv.DictReader((folder / 'suggestions.csv').open())]


def answer(path: Path, names: list[str]) -> Path:
    """Answers as the page saves them; the classes go by the number of the photo."""
    rows = [[name, *(int(int(name[1:3]) % 3 == c or int(name[1:3]) % 2 == c) for c in range(3))] for name in names]
    with path.open('w', newline='') as file:
        csv.writer(file).writerows([['image', *CLASSES], *rows])
    return path


def test_suggest_label_merge_train_and_again_from_the_earlier_model(tool, quick_run, photos, tower, small, tmp_path):
    begin = ['--count', 8, '--workers', 0, '--device', 'cpu']
    said = tool(
        'suggest.py', photos, '--classes', ', '.join(CLASSES), *tower, '--out', tmp_path / 'first', *begin
    ).stdout
    first = names_of(tmp_path / 'first')
    assert len(set(first)) == 8
    assert f'cssa merge ~/Downloads/labels.csv --into {photos}/labels.csv' in said
    said = tool('merge.py', answer(tmp_path / 'labels.csv', first), '--into', photos).stdout
    assert f'{photos}/labels.csv: 8 labelled photos (8 photos more)' in said

    work = tmp_path / 'work'
    common = ['--device', 'cpu', '--yes', '--cfg-options', *small]
    tool('train.py', photos, '--work-dir', work, *tower, *common)
    checkpoint = work / (work / 'last_checkpoint').read_text()

    tool('suggest.py', photos, '--checkpoint', checkpoint, '--out', tmp_path / 'second', *begin)
    second = names_of(tmp_path / 'second')
    assert len(set(second)) == 8
    assert not set(first) & set(second)
    page = (tmp_path / 'second' / 'label.html').read_text()
    assert json.loads(re.search(r'id="data">(.*?)</script>', page, re.S).group(1))['classes'] == CLASSES

    more = answer(tmp_path / 'labels (1).csv', second)
    said = tool('merge.py', more, '--into', photos / 'labels.csv', '--checkpoint', checkpoint).stdout
    words = shlex.split(said.strip().splitlines()[-1].rpartition(': ')[2])
    assert words[:3] == ['cssa', 'train', str(photos)]
    done = quick_run('tools/train.py', *words[2:], *small, '--work-dir', tmp_path / 'again', *tower, *common[:3])
    assert done.returncode == 0, done.stderr[-3000:]
    log = done.stdout + done.stderr
    assert f'Warm start: kept the prompts of 3 classes of {checkpoint}' in log
    assert 'Labels used: 16 of 20 training images are labelled' in log


def test_mistakes_are_one_line(quick_run, photos, tower, tmp_path):
    def ends(status, name, *arguments):
        done = quick_run(f'tools/{name}', *arguments)
        assert done.returncode == status, done.stdout[-1500:] + done.stderr[-3000:]
        lines = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
        assert len(lines) == (status == 2)
        return lines[0] if lines else done.stdout

    out = ['--out', tmp_path / 'out']
    assert 'config: found none for --checkpoint none' in ends(2, 'suggest.py', photos, *out)
    assert 'images: found nothing at' in ends(2, 'suggest.py', tmp_path / 'nowhere', '--classes', 'a, b', *out)
    assert 'labels: found it for photos' in ends(2, 'suggest.py', photos / 'p00.jpg', '--labels', 'x.csv', *out)
    answers = answer(tmp_path / 'labels.csv', ['p00.jpg', 'p01.jpg'])
    assert 'Train anew with all labels: cssa train' in ends(0, 'merge.py', answers, '--into', photos)
    assert 'nothing to change' in ends(0, 'merge.py', answers, '--into', photos)
    answers.write_text(answers.read_text().replace('p01.jpg,0', 'p01.jpg,1'))
    assert 'conflict: p01.jpg: cat was no, is yes in labels.csv' in ends(1, 'merge.py', answers, '--into', photos)
    assert '1 labels overwritten' in ends(0, 'merge.py', answers, '--into', photos, '--prefer', 'new')
    answers.write_text('image,cats,dog,red bus\np02.jpg,1,0,0\n')
    assert "Did you mean 'cat'?" in ends(2, 'merge.py', answers, '--into', photos)
    answers.write_text('image,cat,dog,red bus\nIMG_1.jpg,1,0,0\n')
    assert 'expected answers for this project' in ends(2, 'merge.py', answers, '--into', photos)
