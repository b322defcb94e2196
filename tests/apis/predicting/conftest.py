"""A tiny checkpoint, and photos to predict, shared by the tests of this room."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image

from cssa_mm.apis.predicting import scoring


@pytest.fixture(scope='session')
def tiny_checkpoint(make_model, tmp_path_factory):
    """A checkpoint of an untrained tiny model, none of whose classes scores like another; it scores at 64 x 64."""
    model = make_model(view=dict(type='View', size=64)).eval()
    with torch.no_grad():
        model.head.bias.copy_(torch.linspace(-1, 1, 6))
        model.teacher.reset(model.scorer())
    path = tmp_path_factory.mktemp('tiny') / 'model.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    return path


@pytest.fixture(scope='session')
def draw():
    """draw(folder, count, start=0) -> paths of so many new images in it, of two sizes and with other pixels each."""

    def make(folder, count: int, start: int = 0):
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for number in range(start, start + count):
            pixels = np.random.default_rng(number).integers(0, 256, (6, 6 + number % 2, 3), dtype=np.uint8)
            path = folder / f'img{number}.png'
            Image.fromarray(pixels).resize((48 + 8 * (number % 2), 48)).save(path)
            paths.append(path)
        return paths

    return make


@pytest.fixture
def photos(draw, tmp_path):
    """A folder of ten images, two of them in a folder of their own."""
    draw(tmp_path / 'photos', 8)
    draw(tmp_path / 'photos' / 'more', 2, start=8)
    return tmp_path / 'photos'


@pytest.fixture(scope='session')
def read_table():
    """read_table(path) -> the rows of a CSV file, without its header."""

    def read(path):
        with path.open(newline='', encoding='utf-8') as file:
            return list(csv.reader(file))[1:]

    return read


@pytest.fixture
def counted(monkeypatch):
    """The number of images that are loaded, by call."""
    sizes = []
    original = scoring.load

    def count(tasks, *rest):
        tasks = list(tasks)
        sizes.append(sum(len(task.paths) for task in tasks))
        return original(tasks, *rest)

    monkeypatch.setattr(scoring, 'load', count)
    return sizes
