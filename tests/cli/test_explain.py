"""`cssa explain`: pictures of a folder; each mistake is one line."""

import pytest
import torch
from PIL import Image

pytestmark = pytest.mark.cli


@pytest.fixture(scope='module')
def checkpoint(make_model, tmp_path_factory):
    """A checkpoint of a tiny model."""
    path = tmp_path_factory.mktemp('model') / 'model.pth'
    torch.save(dict(state_dict=make_model(view=dict(type='View', size=64)).state_dict()), path)
    return path


@pytest.mark.smoke
def test_a_folder_becomes_pictures_and_a_line_each(tool, checkpoint, toy_data, tmp_path):
    words = [toy_data / 'test', '--checkpoint', checkpoint, '--out', tmp_path, '--labels', 'dog, table', '--limit', 2]
    done = tool('explain.py', *words, '--device', 'cpu')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['500.explained.png', '501.explained.png']
    assert Image.open(tmp_path / '500.explained.png').size[0] > 500
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f'{tmp_path}/500.explained.png: ')
    assert 'dog 0.' in lines[0]
    assert 'table 0.' in lines[0]
    assert lines[2] == 'found 12 images and drew the first 2; --limit 12 draws all'
    assert lines[3].startswith(f'{tmp_path}: 2 pictures. Bright cells speak for the label: ')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['nowhere.jpg'], "images: found nothing at 'nowhere.jpg', expected a folder of images"),
        (['{image}', '--labels', 'widow frame'], "labels: found 'widow frame', expected classes of the model. Did you"),
        (['{image}', '--checkpoint', 'm.onnx'], "checkpoint: found the ONNX file 'm.onnx'"),
        (['{image}', '--checkpoint', 'm.pth'], "checkpoint: found no file 'm.pth'"),
        (['{image}', '--checkpoint', 'none'], 'classes: found none for --checkpoint none, expected'),
    ],
)
def test_a_mistake_is_one_line(quick_run, checkpoint, toy_data, tmp_path, arguments, message):
    words = [word.format(image=toy_data / 'test' / '500.png') for word in arguments]
    given = [] if '--checkpoint' in words else ['--checkpoint', checkpoint]
    done = quick_run('tools/explain.py', *words, *given, '--out', tmp_path / 'out', '--device', 'cpu')
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f'error: {message}')
    assert not (tmp_path / 'out').exists()
