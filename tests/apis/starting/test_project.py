"""What a folder of photos is taken for: labels, class names, albums, and one line where something is missing."""

import numpy as np
import pytest
from PIL import Image

from cssa_mm.apis.starting.project import has_class_names, open_project
from cssa_mm.errors import ConfigError, DataError


@pytest.fixture
def photos(tmp_path):
    """A folder of eight photos without labels."""
    folder = tmp_path / 'photos'
    folder.mkdir()
    for number in range(8):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f'{number}.png')
    return folder


def test_class_names_are_kept_beside_photos_without_labels(photos):
    project = open_project(photos, classes='dog, cat')
    assert (project.images, project.class_names, project.labelled) == (8, ('dog', 'cat'), 0)
    assert not project.can_train
    assert (photos / 'classes.txt').read_text().splitlines() == ['dog', 'cat']
    assert open_project(photos).class_names == ('dog', 'cat')
    with pytest.raises(ConfigError, match=r'classes.txt.* \(only in --classes: owl; only there: cat\)'):
        open_project(photos, classes='dog, owl')


def test_labels_of_any_form_are_counted(photos):
    (photos / 'labels.csv').write_text('image,labels\n0.png,dog;cat\n1.png,dog\n2.png,none\n')
    project = open_project(photos)
    assert (project.images, project.labelled, project.positives) == (8, 3, {'cat': 1, 'dog': 2})
    assert project.can_train
    assert project.labels == 'labels.csv'
    assert '8 photos, 3 of them labelled' in project.text()


def test_the_digest_follows_the_labels_alone(photos):
    digests = []
    for rows in ('0.png,dog\n1.png,cat\n', '1.png,cat\n0.png,dog\n', '0.png,dog\n1.png,dog;cat\n'):
        (photos / 'labels.csv').write_text('image,labels\n' + rows)
        (photos / 'classes.txt').write_text('cat\ndog\n')
        digests.append(open_project(photos).digest)
    assert digests[0] == digests[1] != digests[2]


def test_without_any_positive_nothing_can_be_trained(photos):
    (photos / 'classes.txt').write_text('dog\n')
    (photos / 'labels.csv').write_text('image,labels\n0.png,none\n1.png,none\n')
    assert not open_project(photos).can_train


def test_folders_are_classes_unless_names_are_given(photos):
    for name in ('dog', 'cat'):
        (photos / name).mkdir()
        for number in range(2):
            (photos / f'{len(list(photos.glob("*.png"))) - 1}.png').rename(photos / name / f'{number}.png')
    for path in photos.glob('*.png'):
        path.unlink()
    assert has_class_names(photos)
    assert open_project(photos).labelled == 4
    assert open_project(photos, classes='beach, snow').labelled == 0


def test_what_is_missing_is_told_in_one_line(photos, tmp_path):
    assert not has_class_names(photos)
    with pytest.raises(
        ConfigError, match=r"neither labels nor class names .* \(8 photos\).*--classes 'dog, cat, person'"
    ):
        open_project(photos)
    with pytest.raises(DataError, match='found no folder'):
        open_project(tmp_path / 'missing')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(DataError):
        open_project(tmp_path / 'empty', classes='dog')
    (photos / 'labels.csv').write_text('image,labels\n0.png,dog\n')
    with pytest.raises(ConfigError, match=r'than the labels .* \(only in --classes: owl; only there: dog\)'):
        open_project(photos, classes='owl')
