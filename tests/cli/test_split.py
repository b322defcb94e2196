import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmpretrain.registry import DATASETS

from cssa_mm.datasets.splits.checks import verify_split
from cssa_mm.datasets.splits.split import load_split

pytestmark = pytest.mark.cli
ROOT = Path(__file__).parents[2]


@pytest.fixture
def annotations_alone(write_config, toy_data, tmp_path):
    """A config on the toy data without any image in the folder, whose CLIP is missing, too."""
    data = tmp_path / 'data'
    (data / 'train').mkdir(parents=True)
    shutil.copy(toy_data / 'train.json', data)
    path = write_config(tmp_path / 'alone.py', data=data)
    path.write_text(path.read_text().replace('tiny-rn.pt', 'nowhere.pt'))
    return path


@pytest.fixture
def split(quick_run, tmp_path):
    """split(config, *arguments) -> the finished process, and the split that it wrote."""

    def call(config, *arguments, fails=False):
        out = tmp_path / 'new' / 'split.txt'
        done = quick_run('tools/split.py', config, '--out', out, *arguments)
        assert done.returncode == (2 if fails else 0), done.stderr[-3000:]
        return done, None if fails else load_split(out)

    return call


@pytest.fixture
def ids(config):
    return DATASETS.build(Config.fromfile(config).train_dataloader.dataset).image_ids


@pytest.mark.parametrize('proportion', [0.1, 0.4])
def test_a_split_by_the_rule_of_cap_needs_the_annotation_alone(split, annotations_alone, ids, tmp_path, proportion):
    """Oracle: the rule, spelled out once more."""
    done, found = split(annotations_alone, '--labelled', proportion, '--seed', 3)
    drawn = np.random.RandomState(3).permutation(40)[: int(proportion * 40)]
    assert set(found.image_ids) == {ids[index] for index in drawn}
    assert (found.rule, found.seed, found.proportion) == ('cap', 3, proportion)
    verify_split(found, ids)
    assert f"{tmp_path}/new/split.txt: {len(drawn)} of 40 images labelled, rule 'cap', seed 3" in done.stdout
    assert f'train_dataloader.dataset.split={tmp_path}/new/split.txt' in done.stdout


def test_training_reads_the_file_and_labels_the_same_images_as_the_drawn_split(split, config, tmp_path):
    _, found = split(config, '--labelled', 0.4)
    options = Config.fromfile(config).train_dataloader.dataset
    drawn = DATASETS.build(options)
    options.split = str(tmp_path / 'new' / 'split.txt')
    loaded = DATASETS.build(options)
    assert loaded.split == drawn.split == found
    np.testing.assert_array_equal(loaded.labels, drawn.labels)


def test_a_stratified_split_names_its_rule_and_the_classes_that_cap_s_leaves_without_a_positive(split, config):
    done, at_random = split(config, '--labelled', 0.05)
    without = [name for name, count in at_random.class_counts.items() if not count]
    assert f'Classes without a labelled positive, {len(without)}: {", ".join(without)}\n--stratified' in done.stdout
    done, found = split(config, '--labelled', 0.15, '--stratified')
    assert found.rule == 'stratified'
    assert min(found.class_counts.values()) >= 1
    assert 'Classes without' not in done.stdout
    _, larger = split(config, '--labelled', 0.3, '--stratified')
    assert set(found.image_ids) < set(larger.image_ids)
    options = Config.fromfile(config).train_dataloader.dataset
    options.split = dict(proportion=0.3, seed=1, stratified=True)
    assert DATASETS.build(options).split == larger


def test_classes_are_made_rare_by_name(split, config, toy_data):
    """Oracle: the labels counted in the annotation file."""
    _, found = split(config, '--labelled', 0.25, '--at-most', 'traffic light=1', 'dog=0')
    assert (found.rule, found.at_most) == ('limited', {'traffic light': 1, 'dog': 0})
    content = json.loads((toy_data / 'train.json').read_text())
    names = {category['id']: category['name'] for category in content['categories']}
    shown = {(str(item['image_id']), names[item['category_id']]) for item in content['annotations']}
    counts = {name: sum(pair == (i, name) for i in found.image_ids for pair in shown) for name in names.values()}
    assert (counts['traffic light'], counts['dog'], len(found.image_ids)) == (1, 0, 10)
    assert counts == found.class_counts


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--labelled', '0.01'], 'error: split: proportion 0.01 of 40 images labels 0, expected at least one labelled'),
        (['--labelled', '1'], 'error: split: found proportion 1.0, expected a number between 0 and 1'),
        (['--labelled', '5'], 'error: split: found proportion 5.0, expected a number between 0 and 1'),
        (['--labelled', '0.4', '--seed', '-1'], 'error: split: found seed -1, expected an integer from 0'),
        (
            ['--labelled', '0.4', '--at-most', 'dog'],
            "error: --at-most: found 'dog', expected NAME=COUNT such as spade=0",
        ),
        (['--labelled', '0.4', '--at-most', 'dog=-1'], "error: --at-most: found 'dog=-1', expected NAME=COUNT"),
        (
            ['--labelled', '0.4', '--at-most', 'dgo=1'],
            "error: split: found class 'dgo' in at_most, expected one of the 6",
        ),
        (
            ['--labelled', '0.4', '--at-most', 'dog=1', '--stratified'],
            'error: split: found both stratified and at_most',
        ),
        (['--labelled', '0.4', '--data-root', 'nowhere'], 'error: nowhere/train.json: cannot be read'),
        (
            ['--labelled', '0.4', '--cfg-options', 'train_dataloader.dataset.class_names=[dog,cat]'],
            'expected one of the 2 class names.',
        ),
    ],
)
def test_what_cannot_be_split_ends_in_one_line(split, config, arguments, message):
    done, _ = split(config, *arguments, fails=True)
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert message in lines[-1]
    assert lines[-1].startswith('error: ')
    assert 'Traceback' not in done.stderr


def test_images_without_labels_are_refused_by_cap_s_rule_and_left_out_by_the_stratified_one(split, toy_data, tmp_path):
    content = json.loads((toy_data / 'train.json').read_text())
    names = {category['id']: category['name'] for category in content['categories']}
    labels = {image['id']: '' for image in content['images']}
    annotated = list(labels)[::4]
    for item in content['annotations']:
        if item['image_id'] in annotated:
            labels[item['image_id']] += f'{names[item["category_id"]]};'
    data = shutil.copytree(toy_data, tmp_path / 'data', ignore=shutil.ignore_patterns('*.json'))
    rows = [f'{image_id}.png,{cell}' for image_id, cell in labels.items()]
    (data / 'labels.csv').write_text('\n'.join(['image,labels', *rows]) + '\n')
    arguments = ['--labelled', '0.2', '--data-root', data]
    arguments += ['--cfg-options', 'train_dataloader.dataset.img_dir=train']
    table = ROOT / 'configs' / 'cssa_table.py'
    done, _ = split(table, *arguments, fails=True)
    assert 'found no label for ' in done.stderr
    assert done.stderr.strip().endswith('or use --stratified, which draws among the annotated ones.')
    _, found = split(table, '--stratified', *arguments)
    assert len(found.image_ids) == 8
    assert set(found.image_ids) <= {f'{image_id}.png' for image_id in annotated}
