"""Suggesting photos to label: which are left out, what is written, and one line for what cannot be done."""

import base64
import csv
import json
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from cssa_mm.apis.labelling.outputs import WRITTEN
from cssa_mm.apis.merging import merge
from cssa_mm.apis.suggesting import suggest
from cssa_mm.errors import ConfigError, DataError
from cssa_mm.models.thresholds import ClassThresholds

NAMES = ['dog', 'cat', 'traffic light', 'red bicycle', 'table', 'window frame']


@pytest.fixture(scope='module')
def checkpoint(make_model, tmp_path_factory):
    """A tiny model with thresholds in the middle of its scores."""
    model = make_model(view=dict(type='View', size=64))
    model.thresholds = ClassThresholds((0.5,) * 6, 'given')
    path = tmp_path_factory.mktemp('model') / 'model.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    return path


@pytest.fixture
def photos(toy_data, tmp_path):
    """A folder of 40 photos: 0 and 2 are labelled by the table, 4 and 5 are listed by that of the test."""
    root = tmp_path / 'photos'
    (root / 'images').mkdir(parents=True)
    for number, path in enumerate(sorted((toy_data / 'train').iterdir())):
        shutil.copy(path, root / 'images' / f'{number}.png')
    (root / 'labels.csv').write_text('image,labels\n0.png,dog;cat\n1.png,\n2.png,none\n')
    (root / 'test.csv').write_text('image,labels\n4.png,dog\n5.png,cat\n')
    (root / 'classes.txt').write_text('\n'.join(NAMES) + '\n')
    return root


@pytest.fixture
def call(photos, checkpoint, tmp_path):
    def run(**options):
        common = dict(images=photos, checkpoint=checkpoint, out=tmp_path / 'next', workers=0, device='cpu')
        return suggest(**common | options)

    return run


def page_data(folder) -> dict:
    return json.loads(re.search(r'id="data">(.*?)</script>', (folder / 'label.html').read_text(), re.S).group(1))


def test_neither_labelled_nor_test_photos_are_suggested_and_all_files_agree(call, photos, tmp_path):
    result = call(count=30)
    assert len(result.names) == 30
    assert not {'0.png', '2.png', '4.png', '5.png'} & set(result.names)
    assert (result.unlabelled, result.labelled) == (36, 2)
    out = tmp_path / 'next'
    assert sorted(path.name for path in out.iterdir()) == sorted(WRITTEN)
    rows = list(csv.DictReader((out / 'suggestions.csv').open()))
    assert [(row['path'], int(row['rank'])) for row in rows] == [(name, n) for n, name in enumerate(result.names, 1)]
    assert rows[0]['why'].startswith('in doubt: ')
    data = page_data(out)
    assert [photo['name'] for photo in data['photos']] == result.names
    assert data['classes'] == NAMES
    tasks = json.loads((out / 'label_studio.json').read_text())
    assert [task['data']['path'] for task in tasks] == result.names
    predicted = [{NAMES[c] for c in photo['predicted']} for photo in data['photos']]
    assert predicted == [{c for r in task['predictions'][0]['result'] for c in r['value']['choices']} for task in tasks]
    assert (out / 'to_fill_in.csv').read_text().splitlines()[:2] == ['image,labels', f'{result.names[0]},']
    assert str(photos) not in (out / 'label.html').read_text()
    assert f'--into {photos}/labels.csv' in result.text()


def test_what_is_filled_in_merges(call, photos, tmp_path):
    names = call(count=2).names
    path = tmp_path / 'next' / 'to_fill_in.csv'
    path.write_text(path.read_text().replace(f'{names[0]},', f'{names[0]},dog'))
    assert merge(answers=path, into=photos).added == 1


def test_the_seed_decides_and_random_is_another_choice(call, tmp_path):
    first = call(count=5)
    again = call(count=5, out=tmp_path / 'again')
    drawn = call(count=5, out=tmp_path / 'random', is_random=True)
    assert first.names == again.names
    assert (tmp_path / 'again' / 'label.html').read_text() == (tmp_path / 'next' / 'label.html').read_text()
    assert set(drawn.why) == {'drawn at random'}
    assert len({*drawn.names}) == 5
    assert drawn.names != first.names


def test_of_many_photos_some_are_looked_at_and_everything_says_so(call, tmp_path):
    result = call(count=3, looked_at=10)
    said = '10 of 36 unlabelled photos were drawn at random and looked at; --look-at N looks at more.'
    assert said in result.notes
    assert said in (tmp_path / 'next' / 'label.html').read_text()


def test_a_folder_without_labels_is_all_unlabelled_and_sub_folders_are_albums(call, photos):
    (photos / 'labels.csv').unlink()
    assert not {'4.png', '5.png'} & set(call(count=40, out=photos.parent / 'first').names)  # those of the test
    (photos / 'test.csv').unlink()
    for number in range(20):
        (photos / 'images' / 'june').mkdir(exist_ok=True)
        (photos / 'images' / f'{number}.png').rename(photos / 'images' / 'june' / f'{number}.png')
    result = call(count=40)
    assert len(result.names) == 40
    assert 'june/0.png' in result.names
    assert result.labels == str(photos / 'labels.csv')


def test_fewer_photos_than_asked_for_and_unreadable_ones_are_named(call, photos):
    (photos / 'images' / '7.png').write_bytes(b'no image')
    result = call(count=100)
    assert len(result.names) == 35
    assert any('1 photos cannot be read and are left out, such as 7.png' in note for note in result.notes)
    assert any(note.startswith('35 photos are suggested instead of 100') for note in result.notes)


def test_a_photo_with_gps_leaves_none_of_it_in_the_page(call, photos, tmp_path):
    photo = Image.new('RGB', (60, 30))
    exif = photo.getexif()
    exif[0x010F] = 'MAKER-OF-CAMERAS'
    photo.save(photos / 'images' / 'gps.jpg', exif=exif)
    assert 'gps.jpg' in call(count=100).names
    jpegs = [base64.b64decode(each['jpeg']) for each in page_data(tmp_path / 'next')['photos']]
    assert not any(b'MAKER' in jpeg or b'Exif' in jpeg for jpeg in jpegs)


def test_what_cannot_be_done_is_one_line(call, photos, tmp_path):
    with pytest.raises(ConfigError, match='count: found 0'):
        call(count=0)
    call(count=1)
    with pytest.raises(ConfigError, match='which holds something, expected a new or empty folder'):
        call(count=1)
    assert len(call(count=2, replaces=True).names) == 2
    rows = ''.join(f'{number}.png,dog\n' for number in range(40) if number not in (4, 5))
    (photos / 'labels.csv').write_text(f'image,labels\n{rows}')
    with pytest.raises(DataError, match=r'found no unlabelled photo \(38 of 38 are labelled\)'):
        call(out=tmp_path / 'other')
    assert not (tmp_path / 'other').exists()


def test_a_config_names_its_training_set(make_model, checkpoint, tiny_config, tmp_path):
    result = suggest(
        images=tiny_config(), checkpoint=checkpoint, out=tmp_path / 'out', count=4, workers=0, device='cpu'
    )
    assert (result.unlabelled, result.labelled) == (24, 16)
    assert all(np.char.endswith(result.names, '.png'))
