"""Pictures of the images that a user names: which files, from which sources, and what is said of the others."""

import shutil

import pytest
from PIL import Image

from cssa_mm.apis import explanation_files as module
from cssa_mm.apis.explanation_files import explain_files, named_images, picture_names
from cssa_mm.errors import CheckpointError, ConfigError, DataError, ImageError


@pytest.fixture
def photos(toy_data, tmp_path):
    """Three photos, one of them in a folder."""
    (tmp_path / 'photos' / 'park').mkdir(parents=True)
    for number, name in ((500, 'a.png'), (501, 'b.png'), (502, 'park/c.png')):
        shutil.copy(toy_data / 'test' / f'{number}.png', tmp_path / 'photos' / name)
    return tmp_path / 'photos'


@pytest.fixture
def checkpoint(make_model, save):
    return save(make_model(view=dict(type='View', size=64)))


@pytest.fixture
def drawn(photos, checkpoint, tmp_path, monkeypatch):
    """drawn(*images, **options) -> the run, and the files that it wrote; nothing is really drawn."""
    monkeypatch.setattr(module, 'draw_explanation', lambda explanation, path: path.write_text(explanation.path))

    def run(*images, **options):
        given = dict(checkpoint=checkpoint, out=tmp_path / 'out', device='cpu') | options
        result = explain_files(images=images or [photos], **given)
        return result, sorted(str(path.relative_to(tmp_path / 'out')) for path in (tmp_path / 'out').rglob('*.*'))

    return run


def test_every_image_of_a_folder_has_its_picture_and_its_line(drawn, tmp_path):
    run, files = drawn()
    assert files == ['a.explained.png', 'b.explained.png', 'park/c.explained.png']
    assert [line.split(':')[0] for line in run.lines] == [str(tmp_path / 'out' / name) for name in files]
    assert 'threshold 0.50' in run.lines[0]
    assert run.notes == []
    assert run.text().splitlines()[-1] == f'{tmp_path / "out"}: 3 pictures. {run.rule}'


def test_images_folders_and_patterns_are_taken_together_and_each_once(drawn, photos):
    _, files = drawn(photos / 'a.png', f'{photos}/*.png', photos / 'park')
    assert files == ['a.explained.png', 'b.explained.png', 'park/c.explained.png']


def test_pictures_that_were_drawn_before_are_no_photos(drawn, photos, tmp_path):
    shutil.copy(photos / 'a.png', photos / 'a.explained.png')
    assert list(named_images([photos]).names) == ['a.png', 'b.png', 'park/c.png']
    assert list(named_images([photos / 'a.explained.png']).names) == ['a.explained.png']  # the only one that is named


def test_images_whose_pictures_would_have_one_name_keep_their_endings():
    names = ['a.jpg', 'a.PNG', 'b/a.jpg', '../c.jpg', 's3://bucket/d.jpg']
    expected = ['a.jpg', 'a.PNG', 'b/a', 'c', 'd']
    assert picture_names(names) == [f'{name}.explained.png' for name in expected]


def test_there_is_a_limit_which_a_note_names(drawn):
    run, files = drawn(limit=2)
    assert files == ['a.explained.png', 'b.explained.png']
    assert run.notes == ['found 3 images and drew the first 2; --limit 3 draws all']


def test_images_that_cannot_be_read_are_left_out_and_named(drawn, photos):
    (photos / 'b.png').write_bytes(b'no image')
    run, files = drawn()
    assert files == ['a.explained.png', 'park/c.explained.png']
    (note,) = run.notes
    assert note.startswith('left out: b.png (')
    with pytest.raises(ImageError, match='b.png'):
        drawn(photos / 'b.png')


def test_zero_shot_takes_its_classes_from_the_command(drawn, clip_dir):
    run, _ = drawn(checkpoint=None, classes='dog, cat', tower='cssa-demo-rn:demo', limit=1)
    assert 'never trained' in run.lines[0]


def test_a_picture_is_a_picture(photos, checkpoint, tmp_path):
    explain_files(images=[photos / 'a.png'], checkpoint=checkpoint, out=tmp_path / 'o', top=6, device='cpu')
    assert min(Image.open(tmp_path / 'o' / 'a.explained.png').size) > 300


def test_wrong_input_is_named(drawn, photos, tmp_path):
    for options, error, message in (
        (dict(labels='dgo'), ConfigError, "labels: found 'dgo', expected classes of the model. Did you mean 'dog'?"),
        (dict(checkpoint='m.onnx'), CheckpointError, 'checkpoint: found the ONNX file'),
        (dict(classes='dog'), ConfigError, 'classes: found them beside a checkpoint'),
        (dict(limit=0), ConfigError, 'limit: found 0'),
        (dict(out=photos / 'a.png'), ConfigError, 'out: found .*, expected a folder'),
    ):
        with pytest.raises(error, match=message):
            drawn(**options)
    with pytest.raises(DataError, match="found nothing at 'nowhere.jpg'"):
        drawn('nowhere.jpg')
    assert not (tmp_path / 'out').exists()
