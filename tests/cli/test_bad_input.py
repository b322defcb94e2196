"""Each mistake of a user ends in exit status 2 and one line that says file, found, expected, fix."""

import json
import shutil
import sys

import pytest
import torch

from cssa_mm.datasets.splits.split import Split, hash_ids, labelled_indices, save_split

pytestmark = pytest.mark.cli


@pytest.fixture
def refused(quick_run, tmp_path):
    """refused('train.py', *arguments) -> the one line that the tool ends in."""

    def call(name: str, *arguments) -> str:
        done = quick_run(f'tools/{name}', *arguments, '--work-dir', tmp_path / 'run')
        assert done.returncode == 2, done.stdout[-1500:] + done.stderr[-3000:]
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        assert [line for line in lines if line.startswith('error: ')] == lines[-1:]
        assert 'Traceback' not in done.stderr + done.stdout
        assert not list((tmp_path / 'run').glob('*.pth'))
        return lines[-1].removeprefix('error: ')

    return call


@pytest.fixture
def copied(write_config, toy_data, tmp_path):
    """The toy data to spoil, and a config file that reads it."""
    shutil.copytree(toy_data, tmp_path / 'data')
    return write_config(tmp_path / 'copied.py', data=tmp_path / 'data'), tmp_path / 'data'


def rewrite(path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


# -- configs ---------------------------------------------------------------------------------------------------


@pytest.mark.smoke
def test_a_missing_config(run, refused):
    expected = (
        "config: found no file 'configs/cssa_dem.py', expected one such as configs/cssa_demo.py, the name of a "
        'shipped config such as cssa_demo, or a folder of photos'
    )
    assert refused('train.py', 'configs/cssa_dem.py') == expected
    done = run(sys.executable, 'tools/train.py', 'configs/cssa_dem.py')
    assert (done.returncode, done.stderr) == (2, f'error: {expected}\n')


def test_a_config_that_cannot_be_read(refused, tmp_path):
    path = tmp_path / 'broken.py'
    path.write_text('model = dict(type="CSSAClassifier"\n')
    line = refused('train.py', path)
    assert line.startswith(f'{path}: found no usable config (SyntaxError: ')
    assert line.endswith('expected one such as configs/cssa_demo.py; correct it')


@pytest.mark.parametrize(
    ('override', 'start', 'end'),
    [
        (
            'model.unlabeled_weight=2',
            "config: found the unknown key 'model.unlabeled_weight', expected one of ",
            " known keys. Did you mean 'unlabelled_weight'?",
        ),
        (
            'model.type=CSSAClasifier',
            "config: found the unknown component 'CSSAClasifier' as model.type, expected ",
            "registered one. Did you mean 'CSSAClassifier'?",
        ),
        ('model', "--cfg-options: found 'model', ", "expected key=value; write no spaces around '='"),
        (
            'train_dataloader.dataset.pipeline.9.prob=1',
            '--cfg-options: found an override that does not fit ',
            'expected key.of.the.config=value; correct the key',
        ),
    ],
)
def test_overrides_that_mean_nothing(refused, config, override, start, end):
    line = refused('train.py', config, '--cfg-options', override)
    assert line.startswith(start)
    assert line.endswith(end)


def test_openai_s_resnet_weights_under_the_wrong_name(refused, config):
    options = ['model.backbone.model_name=RN50', 'model.backbone.pretrained=openai']
    assert refused('train.py', config, '--cfg-options', *options).startswith(
        "backbone.model_name: found 'RN50' with the weights 'openai', which were trained with QuickGELU: expected "
        "'RN50-quickgelu'"
    )


# -- checkpoints -----------------------------------------------------------------------------------------------


def test_a_missing_checkpoint(refused, config, tmp_path):
    expected = "checkpoint: found no file 'nothing.pth', expected one that training wrote; correct the path"
    assert refused('test.py', config, 'nothing.pth', '--out', tmp_path / 'out.pkl') == expected
    assert not (tmp_path / 'out.pkl').exists()
    assert refused('train.py', config, '--resume', 'nothing.pth') == expected


def test_an_unreadable_checkpoint(refused, config, trained, tmp_path):
    torn = tmp_path / 'torn.pth'
    torn.write_bytes(trained.checkpoint.read_bytes()[:-2000])
    text = tmp_path / 'text.pth'
    text.write_text('no checkpoint')
    out = tmp_path / 'out.json'
    line = refused('test.py', config, torn, '--out', out, '--out-item', 'metrics')
    assert line.startswith(f"checkpoint: found '{torn}' that cannot be loaded as plain data (")
    assert line.endswith('expected a file that training wrote; copy it again or take another')
    assert not out.exists()
    (tmp_path / 'run').mkdir(exist_ok=True)
    (tmp_path / 'run' / 'last_checkpoint').write_text(str(text))
    assert refused('train.py', config, '--resume').startswith(f"checkpoint: found '{text}' that cannot be loaded")


def test_a_checkpoint_that_holds_too_little_to_go_on_from(refused, config, trained, state_of, tmp_path):
    torch.save(dict(state_dict=state_of(trained.checkpoint)), tmp_path / 'weights.pth')
    assert refused('train.py', config, '--resume', tmp_path / 'weights.pth') == (
        f"checkpoint: found '{tmp_path / 'weights.pth'}' without 'meta', expected all that a resume needs; to start "
        'from its weights only, drop --resume and add --cfg-options load_from=...'
    )


def test_a_checkpoint_of_another_tower(refused, write_config, trained, tmp_path):
    other = write_config(tmp_path / 'other.py', tower='tiny-vit')
    line = refused('test.py', other, trained.checkpoint, '--out', tmp_path / 'out.pkl')
    assert line.startswith('checkpoint: found a model trained with tower.model_name "tiny-rn", expected "tiny-vit"; ')
    assert line.endswith('build the model from the config that it was trained with')
    assert not (tmp_path / 'out.pkl').exists()


def test_a_checkpoint_of_another_program(refused, config, tmp_path):
    torch.save(dict(state_dict=torch.nn.Linear(2, 2).state_dict()), tmp_path / 'linear.pth')
    assert refused('test.py', config, tmp_path / 'linear.pth') == (
        'checkpoint: found 2 entries that are not of a CSSAClassifier, expected a checkpoint that training wrote; take '
        'another file'
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason='mixed precision is right where there is CUDA')
def test_mixed_precision_without_cuda(refused, config):
    assert refused('train.py', config, '--amp') == (
        '--amp: found no CUDA device, expected one; leave it out, or set model.backbone.precision'
    )


def test_results_that_could_not_be_written(refused, config):
    assert refused('test.py', config, 'none', '--out-item', 'metrics') == (
        '--out-item: found no --out, expected the file to write to; add it'
    )
    assert refused('test.py', config, 'none', '--out', 'predictions.csv') == (
        "--out: found 'predictions.csv', expected a name that ends with .pkl or .pickle; metrics go into .json with "
        '--out-item metrics'
    )


# -- data ------------------------------------------------------------------------------------------------------


def test_a_missing_image(refused, copied):
    config, data = copied
    (data / 'train' / '107.png').unlink()
    line = refused('train.py', config)
    assert line.startswith(f'{data}/train/107.png: found no such image (1 of 40 are missing), expected every image ')


@pytest.mark.parametrize('num_workers', [0, 2])
def test_an_unreadable_image(refused, copied, tmp_path, num_workers):
    config, data = copied
    (data / 'test' / '505.png').write_text('no image')
    options = ['--cfg-options', f'test_dataloader.num_workers={num_workers}']
    assert refused('test.py', config, 'none', '--out', tmp_path / 'out.pkl', *options) == (
        f'{data}/test/505.png: found no readable image (unknown format), expected a format that Pillow reads (JPEG, '
        'PNG, WebP, ...); restore or remove it.'
    )
    assert not (tmp_path / 'out.pkl').exists()


def test_an_unreadable_image_in_training_with_workers(refused, copied):
    config, data = copied
    (data / 'train' / '120.png').write_bytes(b'')
    options = ['train_dataloader.num_workers=2', 'default_hooks.pseudo_labels.num_workers=2']
    options += ['default_hooks.bad_images.max_share=0']
    line = refused('train.py', config, '--cfg-options', *options)
    assert line.endswith(
        'bad_images.txt: found 1 bad images among 40 training images, expected at most 0 (default_hooks.bad_images.'
        'max_share=0); restore or remove the images that it names; cssa check finds all of them at once.'
    )


def test_a_missing_annotation(refused, copied):
    config, data = copied
    (data / 'train.json').unlink()
    assert refused('train.py', config) == (
        f'{data}/train.json: cannot be read (No such file or directory), expected an instances JSON in COCO form; '
        f"check data_root ('{data}') and the file's name."
    )


def test_an_annotation_that_is_no_json(refused, copied):
    config, data = copied
    (data / 'train.json').write_text('{"images": [')
    line = refused('train.py', config)
    assert line.startswith(f'{data}/train.json: found no valid JSON (')
    assert 'expected an instances JSON in COCO form; download or write it again' in line


def test_a_class_list_that_disagrees_with_the_annotation(refused, copied):
    config, data = copied
    rewrite(data / 'train.json', lambda content: content['categories'][3].update(name='blue bicycle'))
    assert refused('train.py', config) == (
        f"{data}/train.json: found class 'blue bicycle', expected one of the 6 class names. Did you mean 'red "
        "bicycle'? Correct class_names or the annotation."
    )


def test_a_split_that_names_unknown_ids(refused, config, toy_data, tmp_path):
    ids = tuple(str(image_id) for image_id in range(100, 140))
    save_split(Split(('100', '999'), 1, 0.05, hash_ids(ids), {}), tmp_path / 'split.txt')
    options = ['--cfg-options', f'train_dataloader.dataset.split={tmp_path / "split.txt"}']
    assert refused('train.py', config, *options) == (
        f"{tmp_path / 'split.txt'}: found image id '999' that is not in the training set (1 such ids), expected ids "
        "like '100'; use the split of this data."
    )


def test_test_images_among_the_training_images(refused, copied):
    config, data = copied
    other = json.loads((data / 'train.json').read_text())

    def overlap(content):
        content['images'] += other['images'][:3]
        content['annotations'] += [item for item in other['annotations'] if item['image_id'] < 103]

    rewrite(data / 'test.json', overlap)
    for image in other['images'][:3]:
        shutil.copy(data / 'train' / image['file_name'], data / 'test')
    assert refused('train.py', config) == (
        f'val_dataloader.dataset: found 3 images that are in the training set, too, such as {data}/test/100.png (the '
        f'same bytes as {data}/train/100.png), expected no image in both; remove them from one.'
    )


def test_a_class_without_labelled_positives_is_announced_once_and_gets_no_pseudo_label(
    tool, copied, read_run, tmp_path
):
    config, data = copied
    labelled = set((100 + labelled_indices(40, 0.4, 1)).tolist())

    def hide(content):
        content['annotations'] = [
            item for item in content['annotations'] if item['category_id'] != 6 or item['image_id'] not in labelled
        ]

    rewrite(data / 'train.json', hide)
    options = ['train_dataloader.dataset.keep_empty=True', 'train_dataloader.num_workers=2']
    done = tool('train.py', config, '--work-dir', tmp_path, '--cfg-options', *options)
    message = 'no labelled image shows 1 of the 6 classes: window frame.'
    assert (done.stdout + done.stderr).count(message) == 1
    epochs = read_run(tmp_path).pseudo_labels
    assert len(epochs) == 2
    for epoch in epochs:
        masked = dict(zip(epoch['class_names'], epoch['masked'], strict=True))
        assert masked.pop('window frame') == 24
        assert max(masked.values()) < 12
