"""What training refuses before its first step, the check finds, and nothing else: by breaking data."""

import itertools
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.hooks import Hook
from PIL import Image

from cssa_mm.apis.checking import check
from cssa_mm.apis.config import load_config
from cssa_mm.apis.training import build_runner
from cssa_mm.errors import CSSAError, OpenQuestionsError

NAMES = ['cat', 'dog', 'red bus']
_runs = itertools.count()


class StartedError(Exception):
    """The first step has come."""


class StopAtTheFirstStep(Hook):
    priority = 'HIGHEST'

    def before_train_iter(self, *arguments, **options):
        raise StartedError


def write_table(path, rows):
    path.write_text('image,labels\n' + ''.join(f'{name},{labels}\n' for name, labels in rows))


@pytest.fixture
def photos(tmp_path):
    """24 photos of noise: 8 labelled in labels.csv, 4 in test.csv, 12 in neither."""
    root = tmp_path / 'photos'
    (root / 'images').mkdir(parents=True)
    for n in range(24):
        pixels = np.random.default_rng(n).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((64, 64)).save(root / 'images' / f'p{n:02d}.png')
    rows = ['cat', 'dog;cat', 'red bus', 'none', 'dog', 'cat;red bus', 'dog', 'cat']
    write_table(root / 'labels.csv', [(f'p{n:02d}.png', labels) for n, labels in enumerate(rows)])
    write_table(root / 'test.csv', [(f'p{20 + n}.png', labels) for n, labels in enumerate(rows[:4])])
    return root


@pytest.fixture
def both(photos, backbone_config, tmp_path):
    """both(**overrides) -> the report of check, and what training raises before its first step (None: it starts)."""

    def call(**overrides):
        common = {
            'model.backbone': dict(backbone_config(), _delete_=True),
            'model.head.prompts.num_context': 2,
            'model.head.prompts.initial_words': 'a',
            'view.size': None,
            'train_dataloader.num_workers': 0,
            'val_dataloader.num_workers': 0,
            'train_dataloader.batch_size': 8,
            'train_dataloader.sampler.labelled_per_batch': 2,
            'default_hooks.bad_images.num_workers': 0,
            'default_hooks.pseudo_labels.num_workers': 0,
            'default_hooks.pseudo_labels.feature_cache.gib': 0.0,
            'train_cfg.warmup_epochs': 1,
            'experiment_name': f'agree_{next(_runs)}',
        }
        options = dict(config='cssa_table', data_root=photos, overrides=common | overrides)
        try:
            report = check(**options, num_workers=1)
        except CSSAError as error:
            report = SimpleNamespace(trains=False, text=f'fix: {error}'.__str__, asked=[])
        return report, refusal(options, tmp_path / 'run')

    return call


def refusal(options, folder):
    try:
        runner = build_runner(load_config(**options), folder)
        runner.register_hook(StopAtTheFirstStep())
        runner.train()
    except StartedError:
        return None
    except CSSAError as error:
        return error
    raise AssertionError('training neither started nor refused')


def rows_of(path):
    return [line.split(',') for line in path.read_text().splitlines()[1:]]


def relabel(name, change):
    def spoil(root):
        write_table(root / name, [(image, change(n, labels)) for n, (image, labels) in enumerate(rows_of(root / name))])

    return spoil


def add_row(name, row):
    def spoil(root):
        write_table(root / name, [*rows_of(root / name), row])

    return spoil


def keep_labelled_photos(root):
    for n in range(8, 20):
        (root / 'images' / f'p{n:02d}.png').unlink()


def write_groups(root):
    rows = rows_of(root / 'labels.csv')
    lines = [f'{image},{labels},{"ab"[n % 2]}' for n, (image, labels) in enumerate(rows)]
    (root / 'labels.csv').write_text('\n'.join(['image,labels,film', *lines]) + '\n')
    lines = [f'{image},{labels},b' for image, labels in rows_of(root / 'test.csv')]
    (root / 'test.csv').write_text('\n'.join(['image,labels,film', *lines]) + '\n')


def write_class_file(root):
    (root / 'classes.txt').write_text('\n'.join(NAMES))


def nothing(root):
    pass


LONG = 'a very long name of a class that no text tower reads to its end ' * 8
DATASET = 'train_dataloader.dataset'
# What is broken -> how, the overrides, and the words of training's line; None where it starts.
BREAKS = {
    'nothing': (nothing, {}, None),
    'a listed image is missing': (lambda root: (root / 'images' / 'p03.png').unlink(), {}, 'no such image'),
    'a test image is missing': (lambda root: (root / 'images' / 'p22.png').unlink(), {}, 'no such image'),
    'a name that the tokenizer cuts': (
        relabel('labels.csv', lambda n, x: x if x == 'none' else f'{x};{LONG}'),
        {},
        'tokens, expected at',
    ),
    'more contexts than classes': (
        nothing,
        {'model.context_head': dict(type='ContextHead', num_contexts=9)},
        None,
    ),
    'a proportion that labels no image': (nothing, {f'{DATASET}.split': dict(proportion=0.001)}, 'labels 0, expected'),
    'a split that is drawn among images with labels': (nothing, {f'{DATASET}.split': dict(proportion=0.9)}, None),
    'no unlabelled image': (
        keep_labelled_photos,
        {},
        'found no unlabelled image, expected some; add photos without labels, train on labels alone with '
        'train_cfg.semi_epochs=0, or, for a study, hide labels with train_dataloader.dataset.split.proportion=0.1',
    ),
    'no unlabelled image, on labels alone': (keep_labelled_photos, {'train_cfg.semi_epochs': 0}, None),
    'no unlabelled image, with a split': (keep_labelled_photos, {f'{DATASET}.split': dict(proportion=0.5)}, None),
    'no label at all': (relabel('labels.csv', lambda n, x: ''), {}, 'no label in any'),
    'a photo of the test set under another name': (
        lambda root: shutil.copy(root / 'images' / 'p21.png', root / 'images' / 'p09.png'),
        {},
        'found 1 images that are in the training set, too, such as',
    ),
    'a photo in both tables': (add_row('test.csv', ('p00.png', 'cat')), {}, 'no image in both training and test'),
    'no positive in the test set': (
        relabel('test.csv', lambda n, x: 'none'),
        {},
        'found no class with a positive among the 4 test images',
    ),
    'no negative in the test set': (
        relabel('test.csv', lambda n, x: 'cat;dog;red bus'),
        {},
        'question: val: none of the 4 labelled images says of any class that it is not shown: an mAP over it',
    ),
    'another class in the test set': (add_row('test.csv', ('p19.png', 'zebra')), {}, "found class 'zebra'"),
    'classes of the model in another order': (
        nothing,
        {'model.class_names': NAMES[::-1]},
        'expected those of',
    ),
    'more labelled images in a batch than it holds': (
        nothing,
        {'train_dataloader.sampler.labelled_per_batch': 8},
        'labelled_per_batch: found 8, expected 1 to 7',
    ),
    'more labelled images in a batch than there are': (
        lambda root: write_table(root / 'labels.csv', [('p00.png', 'cat'), ('p01.png', 'dog;red bus')]),
        {'train_dataloader.sampler.labelled_per_batch': 5},
        None,
    ),
    'numbers as classes': (
        relabel('labels.csv', lambda n, x: f'{x if n != 3 else NAMES[0]};{n % 3}'),
        {},
        "question: train: each of the 3 class names '0', '1', '2' is only a number",
    ),
    'numbers as classes, accepted': (
        relabel('labels.csv', lambda n, x: f'{x if n != 3 else NAMES[0]};{n % 3}'),
        {'accept': ['names_are_numbers']},
        None,
    ),
    'numbers as classes, another kind accepted': (
        relabel('labels.csv', lambda n, x: f'{x if n != 3 else NAMES[0]};{n % 3}'),
        {'accept': ['codes']},
        'accept=[names_are_numbers]',
    ),
    'one label an image': (
        relabel('labels.csv', lambda n, x: NAMES[n % 3]),
        {},
        'question: train: each of the 8 labelled images has exactly one of the 3 classes',
    ),
    'one label an image, all accepted': (relabel('labels.csv', lambda n, x: NAMES[n % 3]), {'accept': 'all'}, None),
    'a group in both sets': (
        write_groups,
        {f'{DATASET}.group_column': 'film'},
        "question: val: the group 'b' of group_column",
    ),
    'a group column that is not there': (nothing, {f'{DATASET}.group_column': 'film'}, "no column 'film'"),
    'an accept of another form': (nothing, {'accept': 3}, 'the kinds of questions, which cssa check prints'),
    'a class that the class file lacks': (
        lambda root: (write_class_file(root), add_row('labels.csv', ('p09.png', 'zebra'))(root)),
        {},
        "found class 'zebra'",
    ),
}


@pytest.mark.parametrize('case', BREAKS)
def test_training_refuses_what_the_check_finds_and_nothing_else(case, photos, both):
    spoil, overrides, words = BREAKS[case]
    spoil(photos)
    report, error = both(**overrides)
    text = report.text()
    assert (error is None) == report.trains, f'{error}\n{text}'
    assert (error is None) == (words is None), f'{error}\n{text}'
    if words is not None:
        assert words in str(error)
        # The check says it in the same words, or names what is wrong as a finding.
        assert words in text or 'fix: ' in text
    if isinstance(error, OpenQuestionsError):
        lines = [line for line in str(error).splitlines() if line.startswith('question: ')]
        assert lines == [line for line in text.splitlines() if line.startswith('question: ')]
        assert str(error).splitlines()[-1] in text


def test_contexts_that_are_adapted_are_said(both):
    report, _ = both(**{'model.context_head': dict(type='ContextHead', num_contexts=9)})
    assert (
        'note: model: 1 option that is adapted to the classes: model.context_head.num_contexts: 3 in' in report.text()
    )


def test_everything_that_is_understood_is_in_the_json(both):
    report, _ = both()
    found = json.loads(json.dumps(report.as_dict()))['parts']['train']['understood']
    assert found['format'] == 'csv'
    assert (found['annotated'], found['unlabelled'], found['none_of_the_classes']) == (8, 12, 1)
    assert found['classes'] == {
        'cat': dict(positives=4, negatives=4, unknown=0),
        'dog': dict(positives=3, negatives=5, unknown=0),
        'red bus': dict(positives=2, negatives=6, unknown=0),
    }
    assert found['rows'] == {'p01.png': 'cat, dog', 'p05.png': 'cat, red bus', 'p03.png': 'none of the classes'}
