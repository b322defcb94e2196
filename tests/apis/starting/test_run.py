"""From photos to labels: what is done without labels and with them, that commands fit, and that a call goes on."""

import csv
import shlex
import shutil
from dataclasses import replace

import pytest

from cssa_mm.apis.starting import run, steps
from cssa_mm.apis.starting.project import Project
from cssa_mm.apis.starting.rounds import Rounds
from cssa_mm.apis.starting.run import start
from cssa_mm.cli.main import module_of
from cssa_mm.demo.scenes import generate_demo
from cssa_mm.errors import ConfigError, DataError

SHORT = {
    'view.size': 96,
    'train_cfg.warmup_epochs': 2,
    'train_cfg.semi_epochs': 1,
    'train_dataloader.num_workers': 0,
    'default_hooks.pseudo_labels.num_workers': 0,
    'default_hooks.bad_images.num_workers': 0,
}


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    """Photos of the demo, and answers for twelve of them."""
    root = tmp_path_factory.mktemp('scenes')
    generate_demo(root / 'icons', num_train=2, num_test=24)
    (root / 'icons' / 'test').rename(root / 'photos')
    names = sorted(path.name for path in (root / 'photos').iterdir())
    rows = [(name, ('sun', 'anchor', 'sun;anchor')[number % 3]) for number, name in enumerate(names[:12])]
    rows[3] = (rows[3][0], 'none')
    with (root / 'answers.csv').open('w', newline='') as file:
        csv.writer(file).writerows([('image', 'labels'), *rows])
    return root


@pytest.fixture(scope='module')
def first(scenes):
    """The first call, without labels: what it returned and said."""
    said = []
    common = dict(photos=scenes / 'photos', out=scenes / 'out', overrides=SHORT, device='cpu', say=said.append)
    return start(classes='sun, anchor', tower='demo', **common), '\n'.join(said), common


@pytest.fixture(scope='module')
def second(scenes, first):
    """The second call, with answers."""
    said = first[2]['say'].__self__
    said.clear()
    return start(labels=scenes / 'answers.csv', **first[2]), '\n'.join(said)


def test_without_labels_photos_are_labelled_and_a_page_asks_for_more(first, scenes):
    result, said, _ = first
    assert result.checkpoint is None
    assert result.folder.name == 'no_labels'
    assert result.page.read_text().startswith('<!doctype html>') or '<html' in result.page.read_text()
    assert len((result.folder / 'predictions' / 'predictions.csv').read_text().splitlines()) == 1 + 24
    assert '2 steps, about ' in said
    assert f'open {result.page}' in said


def test_answers_are_merged_a_model_is_trained_and_labels_the_rest(second, scenes):
    result, said = second
    assert (scenes / 'photos' / 'labels.csv').is_file()
    assert result.project.labelled == 12
    assert result.checkpoint.is_file()
    assert result.folder.name == '12_labelled'
    assert len((result.folder / 'predictions' / 'predictions.csv').read_text().splitlines()) == 1 + 24
    with (result.folder / 'suggestions' / 'suggestions.csv').open() as file:
        suggested = [row[0] for row in csv.reader(file)][1:]
    labelled = {line.split(',')[0] for line in (scenes / 'photos' / 'labels.csv').read_text().splitlines()}
    assert len(suggested) == 12
    assert not labelled & set(suggested)
    assert f'--checkpoint {result.checkpoint}' in said


def test_each_step_prints_a_command_that_its_parser_takes(first, second):
    from importlib import import_module

    commands = [line.strip() for line in (first[1] + '\n' + second[1]).splitlines() if line.startswith('  cssa ')]
    assert [command.split()[1] for command in commands] == [
        'predict',
        'suggest',
        'check',
        'train',
        'predict',
        'suggest',
    ]
    for command in commands:
        _, name, *words = shlex.split(command)
        import_module(module_of(name)).parser().parse_args(words)


def test_a_second_call_trains_no_more(second, first, monkeypatch):
    def no_training(**options):
        raise RuntimeError('it trains again')

    monkeypatch.setattr(steps, 'train', no_training)
    again = start(**first[2])
    assert again.checkpoint == second[0].checkpoint


def shards(folder):
    return {path: path.stat().st_mtime_ns for path in folder.glob('*/*.safetensors')}


def test_trainings_of_later_rounds_find_the_features_of_the_photos(second, first, scenes, tmp_path):
    assert f'default_hooks.pseudo_labels.feature_cache.folder={scenes / "out" / "features"}' in second[1]
    kept = shards(scenes / 'out' / 'features')
    assert kept
    copied = tmp_path / 'work'  # the round is one of its own
    shutil.copytree(scenes / 'out', copied, copy_function=shutil.copy2)
    photos = sorted(path.name for path in (scenes / 'photos').glob('*.jpg'))
    before = (scenes / 'photos' / 'labels.csv').read_bytes()
    (tmp_path / 'more.csv').write_text(f'image,labels\n{photos[12]},sun\n')
    try:
        found = start(labels=tmp_path / 'more.csv', **first[2] | dict(out=copied))
    finally:
        (scenes / 'photos' / 'labels.csv').write_bytes(before)
    assert found.folder.name == '13_labelled'
    assert sorted(shards(copied / 'features').values()) == sorted(kept.values())  # nothing was added


def test_features_that_would_fill_the_disk_are_kept_in_memory(first, scenes, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(run, 'MOST_GIB', 1e-6)
    monkeypatch.setattr(run, 'steps_of', lambda project, rounds, options: seen.append(options.of_training()) or [])
    said = []
    run.start(**first[2] | dict(out=tmp_path / 'out', tower='demo', say=said.append))
    assert seen[0].features is None
    assert dict(seen[0].overrides) == SHORT


@pytest.mark.parametrize('are_kept', [True, False])
def test_the_estimate_counts_the_encoding_of_photos_whose_features_are_gone(
    second, first, scenes, tmp_path, monkeypatch, are_kept
):
    shutil.copytree(scenes / 'out', tmp_path / 'out')
    if not are_kept:
        shutil.rmtree(tmp_path / 'out' / 'features')
    seen = []
    monkeypatch.setattr(run, 'steps_of', lambda *_: [])
    monkeypatch.setattr(run, '_plan', lambda *given: seen.append(given[-1]) or '')
    run.start(**first[2] | dict(out=tmp_path / 'out', say=lambda text: None))
    assert seen == [are_kept]


def test_answers_that_contradict_labels_change_nothing(second, first, scenes):
    before = (scenes / 'photos' / 'labels.csv').read_bytes()
    name = before.decode().splitlines()[1].split(',')[0]
    (scenes / 'other.csv').write_text(f'image,labels\n{name},anchor\n')
    with pytest.raises(DataError, match='conflict: '):
        start(labels=scenes / 'other.csv', **first[2])
    assert (scenes / 'photos' / 'labels.csv').read_bytes() == before


def test_other_photos_are_refused(first, second, scenes, tmp_path):
    (tmp_path / 'photos').mkdir()
    for path in list((scenes / 'photos').glob('*.jpg'))[:2]:
        (tmp_path / 'photos' / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ConfigError, match='expected those of'):
        start(**first[2] | dict(photos=tmp_path / 'photos', classes='sun'))


def test_of_many_photos_a_part_is_looked_at_for_suggestions(tmp_path):
    many = Project(tmp_path, 100_000, ('sun', 'anchor'))
    options = steps.Options('demo', 'cpu', None, {}, 0)
    rounds = Rounds(tmp_path / 'out', str(tmp_path))
    assert [step.photos for step in steps.steps_of(many, rounds, options)] == [100_000, 4_096]
    few = replace(many, images=300)
    assert [step.photos for step in steps.steps_of(few, rounds, options)] == [300, 0]
    labelled = replace(many, labelled=10, positives={'sun': 5}, digest='a')
    assert [step.photos for step in steps.steps_of(labelled, rounds, options)] == [0, 200_000, 100_000, 4_096]
