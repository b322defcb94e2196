"""A folder of one's own photos and a table of labels, through the shipped config as a new user would."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

pytestmark = pytest.mark.cli

CONFIG = 'configs/cssa_table.py'
LABELS = {'p00.jpg': 'dog;cat', 'p01.jpg': 'none', 'p02.jpg': '', 'p03.jpg': 'dog', 'p04.jpg': 'red bus'}
TEST = {'p12.jpg': 'cat', 'p13.jpg': 'dog;red bus', 'p14.jpg': 'dog', 'p15.jpg': 'none'}


def write_table(path, rows: dict[str, str]) -> None:
    with path.open('w', newline='') as file:
        csv.writer(file).writerows([('image', 'labels'), *rows.items()])


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    """16 photos: five rows in labels.csv, four of them with labels, and four test photos in the same folder."""
    root = tmp_path_factory.mktemp('own') / 'photos'
    (root / 'images').mkdir(parents=True)
    for index in range(16):
        pixels = np.random.default_rng(index).integers(0, 256, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / 'images' / f'p{index:02}.jpg')
    write_table(root / 'labels.csv', LABELS)
    write_table(root / 'test.csv', TEST)
    return root


@pytest.fixture
def own(photos, tmp_path):
    """A copy of the photos to spoil."""
    return shutil.copytree(photos, tmp_path / 'photos')


@pytest.fixture(scope='module')
def small(backbone_config) -> list[str]:
    """Overrides for a tiny tower and a short training; what concerns the data stays as shipped."""
    tower = backbone_config()
    return [
        '--cfg-options',
        *(f'model.backbone.{key}={tower[key]}' for key in ('model_name', 'pretrained', 'config_dir')),
        'model.head.prompts.num_context=2',
        'model.head.prompts.initial_words=a',
        'train_cfg.warmup_epochs=2',
        'train_cfg.semi_epochs=2',
        'train_cfg.val_begin=4',
        'default_hooks.logger.interval=1',
        *(f'{name}_dataloader.num_workers=0' for name in ('train', 'val', 'test')),
        'default_hooks.pseudo_labels.num_workers=0',
    ]


@pytest.fixture
def refused(quick_run, tmp_path, small):
    """refused(root, *arguments) -> the one line that training on the photos of `root` ends in."""

    def call(root, *arguments, options=()) -> str:
        words = [CONFIG, '--data-root', root, '--work-dir', tmp_path, *arguments, *small, *options]
        done = quick_run('tools/train.py', *words)
        assert done.returncode == 2, done.stdout[-1500:] + done.stderr[-3000:]
        return done.stderr.strip().splitlines()[-1].removeprefix('error: ')

    return call


@pytest.fixture(scope='module')
def works(quick_run):
    """works('train.py', *arguments) -> what the tool printed."""

    def call(name: str, *arguments) -> str:
        done = quick_run(f'tools/{name}', CONFIG, *arguments)
        assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-3000:]
        return done.stdout + done.stderr

    return call


@pytest.fixture(scope='module')
def trained(photos, works, small, read_run, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('own_run')
    works('train.py', '--data-root', photos, '--work-dir', work_dir, *small)
    return read_run(work_dir)


def saved_classes(state: dict) -> list[str]:
    return json.loads(bytes(state['_extra_state'].tolist()))['class_names']


def test_training_takes_classes_and_unlabelled_photos_from_the_folder_and_its_tables(trained, state_of):
    """Of 16 photos four are tested on; of the other twelve four are labelled, fewer than a batch wants."""
    assert saved_classes(state_of(trained.checkpoint)) == ['cat', 'dog', 'red bus']
    assert [step['epoch'] for step in trained.steps] == [1, 2, 3, 4]
    assert [epoch['epoch'] for epoch in trained.pseudo_labels] == [3, 4]
    for epoch in trained.pseudo_labels:
        cells = sum(np.asarray(epoch[key]) for key in ('positives', 'negatives', 'masked'))
        assert cells.tolist() == [8, 8, 8]
    assert len(trained.validations) == 1


def test_the_test_command_gives_the_same_figures_and_tests_the_untrained_model(trained, photos, works, small, tmp_path):
    found = {}
    for name, checkpoint in (('trained', trained.checkpoint), ('zero_shot', 'none')):
        out = tmp_path / f'{name}.json'
        options = ['--work-dir', tmp_path, '--out', out, '--out-item', 'metrics']
        works('test.py', checkpoint, '--data-root', photos, *options, *small)
        found[name] = json.loads(out.read_text())
    assert found['trained'] == trained.validations[0]
    assert found['zero_shot'] != found['trained']


def test_a_test_of_a_folder_takes_the_tower_of_the_checkpoint(trained, photos, small, quick_run, tmp_path):
    out = tmp_path / 'metrics.json'
    options = [*small[:1], *(option for option in small[1:] if not option.startswith('model.backbone'))]
    words = [photos, trained.checkpoint, '--work-dir', tmp_path, '--out', out, '--out-item', 'metrics', *options]
    done = quick_run('tools/test.py', *words)
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-3000:]
    assert json.loads(out.read_text()) == trained.validations[0]
    tower = next(option.split('=')[1] for option in small if option.startswith('model.backbone.model_name'))
    assert f'Tower: {tower}, which the checkpoint was trained with' in done.stdout + done.stderr


def test_without_a_test_table_training_says_so_and_runs_without_validation(own, works, small, tmp_path):
    (own / 'test.csv').unlink()
    output = works('train.py', '--data-root', own, '--work-dir', tmp_path / 'run', *small)
    assert f'{own}: found no labelled test images (test.csv, valid/, test/), so nothing is validated' in output
    assert 'Pseudo-labels of epoch 4' in output
    checkpoint = tmp_path / 'run' / 'epoch_4.pth'
    assert checkpoint.is_file()
    assert f'Checkpoint: {checkpoint}\nLabel photos with it: cssa predict FOLDER --checkpoint {checkpoint}' in output
    stored = len(torch.load(checkpoint)['state_dict']['neighbours.keys'])
    assert f'It holds the features of {stored} training images (0.0 MB): they are no photos, but' in output


def test_partial_labels_train_and_an_unknown_cell_is_no_negative(own, works, small, state_of, tmp_path):
    states = {}
    for name, unknown in (('unknown', ''), ('negative', '0')):
        rows = ['image,cat,dog,red bus', f'p00.jpg,1,{unknown},0', 'p03.jpg,0,1,', 'p04.jpg,,0,1', 'p05.jpg,,,']
        (own / 'labels.csv').write_text('\n'.join(rows) + '\n')
        output = works('train.py', '--data-root', own, '--work-dir', tmp_path / name, *small)
        known = dict(unknown=6, negative=7)[name]
        assert f'3 of 12 training images are labelled (25.0%), with {known} known cells, 3 of them positive' in output
        states[name] = state_of(tmp_path / name / 'epoch_4.pth')
    assert not torch.equal(states['unknown']['head.bias'], states['negative']['head.bias'])


def test_a_single_class_trains_without_contexts_and_says_so(own, works, small, tmp_path):
    write_table(own / 'labels.csv', {'p00.jpg': 'cat', 'p01.jpg': 'none'})
    write_table(own / 'test.csv', {'p12.jpg': 'cat', 'p13.jpg': 'none'})
    contexts = ['model.context_head._delete_=True', 'model.context_head.type=ContextHead']
    options = ['--data-root', own, '--work-dir', tmp_path / 'run', *small, *contexts]
    output = works('train.py', *options)
    assert 'ema/mAP' in output
    assert 'context_head' in output


def test_a_class_that_only_the_test_shows_is_asked_for_and_taken_from_the_list(own, works, refused, small, tmp_path):
    write_table(own / 'test.csv', TEST | {'p15.jpg': 'sheep'})
    line = refused(own)
    assert line.startswith(f"{own}/test.csv, line 5: found class 'sheep', expected one of the 3 class names.")
    assert line.endswith(f'To add a class, write all of them, one a line, into {own}/classes.txt.')
    (own / 'classes.txt').write_text('cat\ndog\nred bus\nsheep\n')
    out = tmp_path / 'metrics.json'
    options = ['--work-dir', tmp_path, '--out', out, '--out-item', 'metrics']
    works('test.py', 'none', '--data-root', own, *options, *small)
    assert 'ema/mAP' in json.loads(out.read_text())


@pytest.mark.parametrize(
    ('table', 'message'),
    [
        ('photograph,labels\nA,cat\nB,dog;red bus\n', "found the columns 'photograph', 'labels', expected one"),
        ('image,cat,dog,red bus\np00.jpg,1,0,0\np00.jpg,0,1,0\n', "found image id 'p00.jpg' again, with other labels"),
        ('image,labels\np12.jpg,cat\np03.jpg,dog;red bus\n', "found image 'p12.jpg', which "),
        ('image,labels\np00.jpg,\n', 'found 1 rows and no label in any'),
        ('image,labels\n../labels.csv,cat;dog\n', "line 2: found the path '../labels.csv', which leaves"),
        ('image,labels\np00.jpeg,cat;dog;red bus\n', "line 2: found 'p00.jpeg', but no such image"),
    ],
)
def test_a_mistake_in_the_table_ends_in_one_line(own, refused, table, message):
    (own / 'labels.csv').write_text(table)
    line = refused(own)
    assert line.startswith(f'{own}/labels.csv')
    assert message in line
