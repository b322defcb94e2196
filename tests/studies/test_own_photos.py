"""A study that draws a folder of own photos for each seed, on the demo in place of photos."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cssa_mm.errors import DataError
from cssa_mm.studies.own_photos import draw_folder
from cssa_mm.studies.spec import Row, Study, load_study

PHOTOS, LABELLED, ENOUGH = 40, 12, 8
STUDY = f"""
config = 'cssa_table'
own_photos = dict(source='cssa_demo', photos={PHOTOS}, labelled={LABELLED})
min_positives = {ENOUGH}
semi = dict([('train_cfg.semi_epochs', 1)])
rows = dict(
    zero_shot=dict(config='labelled_only_table', kind='zero_shot'),
    labelled_only=dict(config='labelled_only_table'),
    cssa_plus=dict(options=semi),
)
baseline = 'zero_shot'
by_seed = True
"""


@pytest.fixture
def study() -> Study:
    own = dict(source='cssa_demo', photos=PHOTOS, labelled=LABELLED)
    return Study('own', 'Own', 'cssa_table', (Row('a'),), own_photos=own, min_positives=ENOUGH)


def annotated(root: Path, part: str) -> dict[str, set[str]]:
    """File name -> names of the classes, from the annotation file, in the order in which splits count."""
    content = json.loads((root / 'annotations' / f'{part}.json').read_text())
    names = {category['id']: category['name'] for category in content['categories']}
    shown: dict[str, set[str]] = {str(i['id']): set() for i in sorted(content['images'], key=lambda i: str(i['id']))}
    for item in content['annotations']:
        shown[str(item['image_id'])].add(names[item['category_id']])
    files = {str(image['id']): image['file_name'] for image in content['images']}
    return {Path(files[image_id]).name: classes for image_id, classes in shown.items()}


def table(path: Path) -> dict[str, set[str]]:
    with path.open() as file:
        return {row['image']: set(row['labels'].split(';')) - {'none'} for row in csv.DictReader(file)}


def usable(*parts: dict[str, set[str]]) -> set[str]:
    names = set.union(*parts[0].values())
    return {name for name in names if all(sum(name in c for c in part.values()) >= ENOUGH for part in parts)}


def test_a_folder_has_the_drawn_photos_and_a_table_of_the_first_of_them(study, small_demo, tmp_path):
    train, test = annotated(small_demo, 'train'), annotated(small_demo, 'test')
    kept = usable(train, test)
    assert 3 < len(kept) < 24
    for seed in (1, 2):
        folder = draw_folder(study, seed, small_demo, None, tmp_path / 'out')  # the second takes the first one's place
        assert set((folder / 'classes.txt').read_text().split('\n')) - {''} == kept
        order = [list(train)[i] for i in np.random.RandomState(seed).permutation(len(train))[:PHOTOS]]
        names = {path.resolve(): path.name for path in (folder / 'images').rglob('*.jpg')}
        assert len(names) == PHOTOS + len(test)
        for part, files, found in (
            ('train', order[:LABELLED], table(folder / 'labels.csv')),
            ('test', list(test), table(folder / 'test.csv')),
        ):
            labels = train if part == 'train' else test
            paths = {name: next(iter(Path(small_demo).rglob(f'{part}/{name}'))).resolve() for name in files}
            by_path = {(folder / 'images' / name).resolve(): classes for name, classes in found.items()}
            assert by_path == {paths[name]: labels[name] & kept for name in files}
        drawn = {path.name for path in names if path.parent.name == 'train'}
        assert drawn == set(order)


def test_settings_are_chosen_on_training_photos_that_no_folder_has(study, small_demo, tmp_path):
    train = annotated(small_demo, 'train')
    tests = []
    for seed in (1, 2):
        folder = draw_folder(replace(study, min_positives=3), seed, small_demo, 0.3, tmp_path / f'{seed}')
        paths = {name: (folder / 'images' / name).resolve() for name in table(folder / 'test.csv')}
        assert {path.parent.name for path in paths.values()} == {'train'}
        tests.append({path.name for path in paths.values()})
        own = {path.resolve().name for path in (folder / 'images').rglob('*.jpg')} - tests[-1]
        assert len(own) == PHOTOS
    assert tests[0] == tests[1]
    assert len(tests[0]) == int(0.3 * len(train))


def test_too_few_photos_are_one_line(study, small_demo, tmp_path):
    study.own_photos['photos'] = 120
    with pytest.raises(DataError, match='own_photos: found 120 training images in .*, expected more than 120'):
        draw_folder(study, 1, small_demo, None, tmp_path / 'out')


@pytest.mark.cli
def test_each_seed_of_the_study_trains_on_its_folder(run_toy, small_demo, tmp_path):
    (tmp_path / 'mine.py').write_text(STUDY)
    overrides = {'view.size': 64, 'default_hooks.calibration.folds': 0, 'accept': 'all'}
    out = tmp_path / 'out'
    summary = run_toy(str(tmp_path / 'mine.py'), out, seeds=[1, 2], tower='demo', overrides=overrides)
    assert summary['failures'] == {}
    classes = [len((out / f'photos-{seed}' / 'classes.txt').read_text().split()) for seed in (1, 2)]
    results = {path.parent.name: json.loads(path.read_text()) for path in out.glob('*/result.json')}
    assert len(results) == 6
    for name, result in results.items():
        assert len(result['AP']) == classes[int(name[-1]) - 1]  # those without a labelled photo, too
        labels = table(out / f'photos-{name[-1]}' / 'labels.csv').values()
        counts = {word: sum(word in shown for shown in labels) for word in result['labelled_positives']}
        assert result['labelled_positives'] == counts
    stamps = {path: path.stat().st_mtime_ns for path in out.glob('*/result.json')}
    again = run_toy(str(tmp_path / 'mine.py'), out, seeds=[1, 2], tower='demo', overrides=overrides)
    assert again == summary
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert 'Paired difference of each seed' in (out / 'table.md').read_text()


def test_the_shipped_study_starts_from_the_shipped_config_as_it_is():
    study = load_study('own_photos')
    assert study.own_photos == dict(source='cssa_voc_p05', photos=300, labelled=30)
    assert [(row.config, dict(row.options)) for row in study.rows] == [
        ('labelled_only_table', {}),
        ('labelled_only_table', {}),
        (None, {}),
    ]
    assert study.config == 'cssa_table'
