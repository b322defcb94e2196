import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from PIL import Image

from cssa_mm.apis import checking
from cssa_mm.apis.checking import check
from cssa_mm.datasets import LoadRGBImage
from cssa_mm.datasets.images.image_facts import FAULTS, ODDITIES, image_facts
from cssa_mm.models import tower_hub

PIXELS = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


@pytest.fixture
def data(toy_data, tmp_path):
    """The toy data to spoil: 40 training images, every class labelled."""
    return shutil.copytree(toy_data, tmp_path / 'data')


@pytest.fixture
def checked(write_config, data, tmp_path):
    """checked(**overrides) -> whether training would run well, the lines of the text and the report, through JSON."""
    path = write_config(tmp_path / 'config.py', data=data)

    def call(**overrides):
        report = check(config=path, num_workers=1, overrides=overrides)
        return report.trains, report.text().splitlines(), json.loads(json.dumps(report.as_dict()))

    return call


def bomb() -> bytes:
    """A file whose header claims 60,000 x 60,000 pixels."""
    chunks = (b'IHDR', struct.pack('>IIBBBBB', 60_000, 60_000, 8, 2, 0, 0, 0)), (b'IDAT', zlib.compress(bytes(100)))
    return b'\x89PNG\r\n\x1a\n' + b''.join(
        struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))
        for kind, content in chunks
    )


def write_truncated(path):
    Image.fromarray(PIXELS).save(path, 'jpeg')
    path.write_bytes(path.read_bytes()[:1500])


def write_rotated(path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS).save(path, exif=exif)


def write_large(path):
    Image.new('L', (9600, 9600), 7).convert('1').save(path)


WRITERS = {
    'missing': lambda path: path.unlink(),
    'empty': lambda path: path.write_bytes(b''),
    'truncated': write_truncated,
    'enormous': lambda path: path.write_bytes(bomb()),
    'unreadable': lambda path: path.write_bytes(b'<html>404</html>'),
    'tiny': lambda path: Image.new('RGB', (1, 1)).save(path),
    'very large': write_large,
    'grey': lambda path: Image.fromarray(PIXELS[..., 0]).save(path),
    'palette': lambda path: Image.fromarray(PIXELS).quantize(8).save(path),
    'CMYK': lambda path: Image.fromarray(PIXELS).convert('CMYK').save(path, 'jpeg'),
    '16-bit': lambda path: Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257).save(path),
    'transparent': lambda path: Image.fromarray(PIXELS).convert('RGBA').save(path),
    'animated': lambda path: Image.fromarray(PIXELS).save(
        path, 'webp', save_all=True, append_images=[Image.fromarray(255 - PIXELS)], lossless=True
    ),
    'EXIF-rotated': write_rotated,
    'one colour': lambda path: Image.new('RGB', (64, 64), (200, 10, 90)).save(path),
    'nearly black': lambda path: Image.fromarray(PIXELS // 16).save(path),
}


def kinds(report, part='train'):
    return {finding['kind']: finding for finding in report['findings'] if finding['part'] == part}


def test_every_kind_of_fault_and_oddity_has_a_test():
    assert set(WRITERS) == set(FAULTS) | set(ODDITIES)


def test_good_data_passes_with_its_counts(checked):
    trains, lines, report = checked()
    assert (trains, report['trains'], report['findings']) == (True, True, [])
    assert lines[-1] == 'Verdict: training would run well'
    train = report['parts']['train']
    assert (train['images'], train['labelled'], train['known_cells']) == (40, 16, 96)
    assert train['positives'] == sum(train['labelled_positives'].values())
    assert lines[0].startswith(
        'train: 40 images of 6 classes, 16 of them labelled with 96 known cells, '
        f'{train["positives"]} positive: from {min(train["labelled_positives"].values())} ('
    )
    assert report['parts']['val']['images'] == 12
    assert 'test' not in report['parts']  # the same images as those of val


@pytest.mark.parametrize('kind', WRITERS)
def test_each_kind_of_image_is_found_and_named(checked, data, kind):
    WRITERS[kind](data / 'train' / '107.png')
    trains, lines, report = checked()
    (found,) = [finding for finding in kinds(report).values() if finding['kind'].startswith(f'{kind} images')]
    assert (found['names'], found['count']) == (['train/107.png'], 1)
    expected = 'fix' if kind == 'missing' else 'warn' if kind in (*FAULTS, 'tiny', 'very large') else 'note'
    assert found['severity'] == expected
    assert trains == (kind != 'missing')  # a single broken image is survived
    assert [line for line in lines if line.startswith(f'{expected}: train: 1 {kind} images') and '107.png' in line]
    # A large picture of 1 bit is grey, too; nothing else is said of an image.
    assert len(report['findings']) == (2 if kind == 'very large' else 1)


def test_more_bad_images_than_training_survives_must_be_fixed(checked, data):
    for name in ('107', '108'):
        (data / 'train' / f'{name}.png').write_bytes(b'')
    trains, lines, report = checked()
    assert not trains
    assert kinds(report)['empty images']['severity'] == 'fix'
    assert lines[-1] == 'Verdict: fix 1 of these before training: empty images (train)'
    trains, _, report = checked(**{'default_hooks.bad_images.max_share': 0.05})
    assert (trains, kinds(report)['empty images']['severity']) == (True, 'warn')


def test_a_single_bad_test_image_must_be_fixed(checked, data):
    (data / 'test' / '500.png').write_bytes(b'')
    trains, _, report = checked()
    assert (trains, kinds(report, 'val')['empty images']['severity']) == (False, 'fix')


def test_the_same_file_twice_is_a_warning_and_in_the_test_set_a_mistake(checked, data):
    shutil.copy(data / 'train' / '107.png', data / 'train' / '110.png')
    trains, _, report = checked()
    assert kinds(report)['files that occur more than once']['names'] == ['train/107.png = train/110.png']
    assert trains
    shutil.copy(data / 'train' / '107.png', data / 'test' / '503.png')
    trains, lines, report = checked()
    assert kinds(report, 'val')['files of the training set']['names'] == ['train/107.png = test/503.png']
    assert not trains
    assert 'fix: val: 1 files of the training set: train/107.png = test/503.png -> remove them from one' in lines


def renumber_tests(data, first=100):
    """Image ids of the test set that the training set has, too: they restart in each file of an export."""
    content = json.loads((data / 'test.json').read_text())
    numbers = {image['id']: first + index for index, image in enumerate(content['images'])}
    for image in content['images']:
        image['id'] = numbers[image['id']]
    for item in content['annotations']:
        item['image_id'] = numbers[item['image_id']]
    (data / 'test.json').write_text(json.dumps(content))


def test_ids_that_restart_in_each_file_are_no_overlap(checked, data):
    renumber_tests(data)
    trains, lines, report = checked()
    assert (trains, report['findings'], lines[-1]) == (True, [], 'Verdict: training would run well')


def test_the_same_path_in_both_sets_is_found_through_links_too(checked, data):
    (data / 'test' / '503.png').unlink()
    (data / 'test' / '503.png').symlink_to(data / 'train' / '107.png')
    trains, _, report = checked()
    assert not trains
    assert kinds(report, 'val')['files of the training set']['names'] == ['train/107.png = test/503.png']


def test_classes_without_labelled_positives_are_a_warning(checked):
    trains, _, report = checked(**{'train_dataloader.dataset.split.proportion': 0.05})
    without = [name for name, count in report['parts']['train']['labelled_positives'].items() if not count]
    assert 0 < len(without) < 6
    assert kinds(report)['classes without labelled positives']['names'] == without
    assert trains


@pytest.mark.parametrize(
    ('key', 'value', 'kind'),
    [
        ('train_dataloader.dataset.split', None, 'reason not to train'),
        ('train_dataloader.dataset.split', 'nowhere.txt', 'error that stops the reading'),
        ('train_dataloader.dataset.ann_file', 'nowhere.json', 'error that stops the reading'),
        ('model.class_names', ['dog', 'cat', 'lamp'], 'class names that model and data do not share'),
    ],
)
def test_what_training_would_refuse_must_be_fixed(checked, key, value, kind):
    trains, lines, report = checked(**{key: value})
    assert not trains
    assert kinds(report)[kind]['severity'] == 'fix'
    assert lines[-1] == f'Verdict: fix 1 of these before training: {kind} (train)'


# -- photos that look alike, or show nothing -------------------------------------------------------------------------


def questions(report):
    return {(question['part'], question['kind']): question for question in report['questions']}


def resized_copy(source, target):
    Image.open(source).resize((57, 60)).save(target)


def test_resized_copies_in_the_test_set_are_questioned(checked, data):
    resized_copy(data / 'train' / '107.png', data / 'test' / '503.png')
    trains, lines, report = checked()
    assert not trains
    question = questions(report)['val', 'near_duplicates']
    assert question['text'].startswith('1 of 12 images look like training images (0 like labelled ones): ')
    assert question['text'].endswith('train/107.png = test/503.png')
    assert [line for line in lines if line.startswith('question: val: 1 of 12 images look like training images')]
    assert checked(accept=['near_duplicates'])[0]


def test_a_set_of_black_images_is_questioned(checked, data):
    for number in range(100, 115):
        Image.fromarray(PIXELS // 16 + number % 3).save(data / 'train' / f'{number}.png')
    trains, _, report = checked()
    assert not trains
    assert questions(report)['train', 'nearly_black']['text'].startswith('15 of 40 images are nearly black')


def test_several_rules_for_16_bits_are_questioned_until_the_key_is_set(checked, data):
    ramp = np.linspace(0, 1, 64 * 64).reshape(64, 64)
    for number, most in ((100, 4095), (101, 4000), (102, 900)):
        Image.fromarray((ramp * most).astype(np.uint16)).save(data / 'train' / f'{number}.png')
    trains, lines, report = checked()
    assert not trains
    text = questions(report)['train', 'mixed_bits']['text']
    assert '2 12-bit data in 16 bits: divided by 4095 (train/100.png)' in text
    assert [line for line in lines if line.startswith('note: train: 2 16-bit images (12-bit data in 16 bits')]
    trains, lines, report = checked(**{'view.bits': 12})
    assert (trains, report['questions']) == (True, [])
    assert [line for line in lines if line.startswith('note: train: 3 16-bit images (12-bit data, by the key bits)')]


@pytest.mark.parametrize('num_workers', [1, 2])
def test_facts_come_in_order_from_several_processes(data, num_workers, monkeypatch):
    monkeypatch.setattr(checking, 'ROUND', 7)
    monkeypatch.setattr(checking, 'CHUNK', 2)
    paths = sorted(str(path) for path in (data / 'train').iterdir())
    pipeline = SimpleNamespace(transforms=[LoadRGBImage()])
    found = checking.open_all(SimpleNamespace(pipeline=pipeline), paths, num_workers, 'Images')
    assert found == [image_facts(LoadRGBImage(), path) for path in paths]


def test_what_is_logged_meanwhile_is_a_note_of_the_report(photos_alone, capsys):
    handlers = list(MMLogger.get_current_instance().handlers)
    report = check(config=photos_alone, num_workers=1, tower='demo')
    assert capsys.readouterr().out == ''
    assert MMLogger.get_current_instance().handlers == handlers
    lines = [line for line in report.text().splitlines() if 'nothing is validated' in line]
    assert [line[:14] for line in lines] == ['note: config: ']
    assert 'registry' not in report.text()  # what is logged for debugging


@pytest.fixture
def photos_alone(tmp_path):
    """A folder with a label file, and without test images."""
    for index in range(4):
        Image.fromarray(PIXELS + index).save(tmp_path / f'{index}.png')
    (tmp_path / 'labels.csv').write_text('image,labels\n0.png,cat;dog\n1.png,none\n')
    return tmp_path


def test_names_of_files_with_control_characters_stay_on_their_line(photos_alone):
    (photos_alone / 'a\nb\x1b[31m.png').write_bytes(b'')
    lines = check(config=photos_alone, num_workers=1, tower='demo').text().splitlines()
    assert [line for line in lines if 'empty' in line and r'a\nb\x1b[31m.png' in line]
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize('content', [b'', b'no weights', None])
def test_weights_that_cannot_be_loaded_are_found_before_training(photos_alone, clip_dir, tmp_path, content):
    weights = tmp_path / 'weights.pt'
    if content is None:  # of another tower
        torch.save({'visual.conv1.weight': torch.zeros(3)}, weights)
    else:
        weights.write_bytes(content)
    options = {'model.backbone.config_dir': str(clip_dir), 'model.backbone.pretrained': str(weights)}
    options['model.backbone.model_name'] = 'tiny-rn'
    report = check(config=photos_alone, num_workers=1, overrides=options)
    assert not report.trains
    assert 'weights.pt' in next(line for line in report.text().splitlines() if 'tower that cannot be used' in line)


def test_weights_that_are_out_of_reach_are_a_warning(photos_alone, monkeypatch):
    monkeypatch.setattr(tower_hub, 'is_reachable', lambda url, seconds=0: False)
    monkeypatch.setenv('HF_HUB_CACHE', str(photos_alone / 'cache'))
    report = check(config=photos_alone, num_workers=1, tower='ViT-B-32:laion2b_e16')
    assert report.trains
    assert 'warn: model: 1 tower that cannot be downloaded now: ' in report.text()


SLOW = """
import time
import cssa_mm
from cssa_mm.apis.checking import open_all
from cssa_mm.datasets import LoadRGBImage
from cssa_mm.datasets.base import SemiMultiLabelDataset

class Slow(LoadRGBImage):
    def read(self, path):
        time.sleep(0.05)
        return super().read(path)

dataset = SemiMultiLabelDataset(class_names=['a'], pipeline=[Slow()], lazy_init=True)
print('ready', flush=True)
open_all(dataset, ['missing.png'] * 4000, 2, 'images')
"""


@pytest.mark.cli
def test_ctrl_c_ends_a_check_whose_processes_open_images():
    run = subprocess.Popen(
        [sys.executable, '-c', SLOW], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert run.stdout.readline() == 'ready\n'
    time.sleep(1.5)
    os.killpg(run.pid, signal.SIGINT)
    try:
        _, errors = run.communicate(timeout=30)
    finally:
        run.kill()
    assert errors.rstrip().endswith('KeyboardInterrupt')
