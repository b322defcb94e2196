"""What many tests share: tiny CLIP models on disk, a tiny data set, and the shipped configs cut down to both."""

import functools
import itertools
import json
import os
import socket
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import cssa_mm  # noqa: F401 - registers the components
from cssa_mm.demo.clip import VOCABULARY
from tests.forking import ForkServer

EXPORTING = 'tests/apis/exporting/'
CONFIGS = Path(__file__).parents[1] / 'configs'
CLASS_NAMES = ['dog', 'cat', 'traffic light', 'red bicycle', 'table', 'window frame']
VISION = {
    'tiny-rn': dict(layers=[1, 1, 1, 1], width=16, head_width=64, image_size=64),
    'tiny-vit': dict(layers=2, width=32, head_width=16, patch_size=16, image_size=64),
    'tiny-timm': dict(
        timm_model_name='resnet10t', timm_model_pretrained=False, timm_pool='avg', timm_proj='linear', image_size=64
    ),
}
# A config file as a user writes it.
USER_CONFIG = """
_base_ = {base!r}
sample = dict(type='PackInputs', meta_keys=('image_id', 'is_labelled', 'flip'))
view = dict(type='View', size=None)
plain_view = [view, sample]
# Nothing of this view can be cached: the tower sees every augmented image.
strong_view = [
    view,
    dict(type='RandomFlip', prob=0.5),
    dict(type='Cutout', shape=16, prob=0.5),
    dict(type='RandAugment', policies='timm_increasing', num_policies=2, total_level=10, magnitude_level=9),
    sample,
]
loader = dict(batch_size=8, num_workers=0, persistent_workers=False)
test = dict(data_root={data!r}, class_names={names!r}, ann_file='test.json', img_dir='test', pipeline=plain_view)
train = dict(test, ann_file='train.json', img_dir='train', pipeline=strong_view, split=dict(proportion=0.4, seed=1))
train_dataloader = dict(loader, dataset=train, sampler=dict(labelled_per_batch=2))
val_dataloader = dict(loader, dataset=test)
test_dataloader = dict(loader, dataset=test)
del sample, plain_view, strong_view, loader, test, train
model = dict(
    backbone={backbone!r},
    class_names={names!r},
    head=dict(prompts=dict(num_context=2, initial_words='a'), temperature=15.0),
    context_head=dict(num_contexts=2),
    loss=dict(gamma_negative=0.0, clip=0.0),
)
# With seed 1 a cell lies on a threshold to within rounding: two processes label it in other ways than one.
randomness = dict(seed=2)
train_cfg = dict(warmup_epochs=1, semi_epochs=2, val_begin=3)
default_hooks = dict(
    logger=dict(interval=1),
    checkpoint=dict(max_keep_ckpts=-1),
    pseudo_labels=dict(num_workers=0),
    calibration=dict(folds=2),
)
log_processor = dict(window_size=1)
"""
_runs = itertools.count()


def pytest_collection_modifyitems(items):
    """Files with slow tests come first, so that two processes end at about the same time; long ones are left out."""
    weight = {}
    for item in items:
        if item.get_closest_marker('long') and 'CSSA_LONG' not in os.environ:
            item.add_marker(pytest.mark.skip(reason='takes minutes: bash tools/acceptance.sh long'))
        own = 2 * (item.get_closest_marker('slow') is not None) + (item.get_closest_marker('cli') is not None)
        weight[item.path] = max(weight.get(item.path, 0), own)
    items.sort(key=lambda item: -weight[item.path])


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config, log):
    """With --dist loadfile, the files of a folder whose models take long to export go to one process."""
    if config.getvalue('dist') != 'loadfile':
        return None
    from xdist.scheduler import LoadFileScheduling

    class LoadFilesTogether(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return EXPORTING if nodeid.startswith(EXPORTING) else super()._split_scope(nodeid)

    return LoadFilesTogether(config, log)


@pytest.fixture(autouse=True, scope='session')
def one_thread():
    torch.set_num_threads(1)


def _wake_up(model: torch.nn.Module) -> None:
    """Weights that hide no mistake: fresh ones have a batch norm of 0 and hardly look at image or words."""
    for module in model.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            torch.nn.init.kaiming_normal_(module.weight)
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)


@pytest.fixture(scope='session')
def clip_dir(tmp_path_factory) -> Path:
    """A folder with the model JSON and the weights (NAME.pt) of tiny-rn, tiny-vit, tiny-timm and tiny-custom."""
    import open_clip

    folder = tmp_path_factory.mktemp('clip')
    vocab_size = open_clip.SimpleTokenizer(str(VOCABULARY)).vocab_size
    text = dict(context_length=48, vocab_size=vocab_size, width=32, heads=2, layers=2)
    text['tokenizer_kwargs'] = dict(bpe_path=str(VOCABULARY))
    for name, vision in VISION.items():
        model = dict(embed_dim=16, vision_cfg=vision, text_cfg=text)
        (folder / f'{name}.json').write_text(json.dumps(model))
    custom = dict(embed_dim=16, vision_cfg=VISION['tiny-rn'], text_cfg=text | dict(proj_bias=True), custom_text=True)
    (folder / 'tiny-custom.json').write_text(json.dumps(custom))
    open_clip.add_model_config(folder)
    for seed, name in enumerate([*VISION, 'tiny-custom']):
        torch.manual_seed(seed)
        model = open_clip.create_model(name)
        _wake_up(model)
        torch.save(model.state_dict(), folder / f'{name}.pt')
    return folder


@pytest.fixture(scope='session')
def backbone_config(clip_dir):
    """backbone_config('tiny-rn', dense='attention') -> config of an OpenCLIPBackbone."""

    def make(name: str = 'tiny-rn', **options) -> dict:
        weights = str(clip_dir / f'{name}.pt')
        base = dict(type='OpenCLIPBackbone', model_name=name, pretrained=weights, config_dir=str(clip_dir))
        return base | options

    return make


@pytest.fixture(scope='session')
def encoder(backbone_config):
    """The text tower of tiny-rn."""
    from mmpretrain.registry import MODELS

    from cssa_mm.models.text_encoder import TextEncoder

    return TextEncoder(MODELS.build(backbone_config()).clip)


@pytest.fixture(scope='session')
def make_model(backbone_config):
    """make_model(seed=0, **overrides) -> a CSSAClassifier on a tiny CLIP, six classes, two contexts."""
    from mmpretrain.registry import MODELS

    def make(seed: int = 0, **overrides):
        torch.manual_seed(seed)
        config = dict(
            type='CSSAClassifier',
            backbone=backbone_config(),
            class_names=CLASS_NAMES,
            head=dict(prompts=dict(num_context=2, initial_words='a')),
            context_head=dict(num_contexts=2),
        )
        model = MODELS.build(config | overrides)
        if model.context_head is not None:
            model.context_head.assignment.copy_(torch.arange(len(model.class_names)) % 2)
        return model

    return make


@pytest.fixture(scope='session')
def toy_data(tmp_path_factory) -> Path:
    """40 training and 12 test images of 64 x 64 in COCO form, `train.json` and `test.json`."""
    root = tmp_path_factory.mktemp('toy')
    rng = np.random.default_rng(0)
    categories = [dict(id=index + 1, name=name) for index, name in enumerate(CLASS_NAMES)]
    for part, count, first in (('train', 40, 100), ('test', 12, 500)):
        (root / part).mkdir()
        images, annotations = [], []
        for image_id in range(first, first + count):
            pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((64, 64)).save(root / part / f'{image_id}.png')
            images.append(dict(id=image_id, file_name=f'{image_id}.png'))
            shown = rng.choice(len(CLASS_NAMES), size=rng.integers(1, 4), replace=False)
            annotations += [dict(image_id=image_id, category_id=int(c) + 1, iscrowd=0) for c in shown]
        content = dict(images=images, annotations=annotations, categories=categories)
        (root / f'{part}.json').write_text(json.dumps(content))
    return root


@pytest.fixture(scope='session')
def write_config(clip_dir, toy_data, backbone_config):
    """write_config(path, tower='tiny-rn', data=toy_data) -> the path of a config file on the toy data."""
    names = [category['name'] for category in json.loads((toy_data / 'train.json').read_text())['categories']]

    def write(path: Path, tower: str = 'tiny-rn', data: Path = toy_data) -> Path:
        base = str(CONFIGS / 'cssa_coco_p05.py')
        path.write_text(USER_CONFIG.format(base=base, data=str(data), names=names, backbone=backbone_config(tower)))
        return path

    return write


@pytest.fixture(scope='session')
def config(write_config, tmp_path_factory) -> Path:
    """A config file as a user writes it: the shipped one by inheritance, with data, tower and schedule of its own."""
    return write_config(tmp_path_factory.mktemp('config') / 'toy.py')


@pytest.fixture
def tiny_config(backbone_config, toy_data, tmp_path):
    """tiny_config(**overrides) -> the shipped COCO config on the toy data and tiny-rn; keys may be dotted."""
    from mmengine.config import Config

    def make(**overrides) -> Config:
        config = Config.fromfile(CONFIGS / 'cssa_coco_p05.py')
        view, pack = (
            dict(type='View', size=None),
            dict(type='PackInputs', meta_keys=('image_id', 'is_labelled', 'flip')),
        )
        for name, part in (('train', 'train'), ('val', 'test'), ('test', 'test')):
            loader = config[f'{name}_dataloader']
            loader.update(num_workers=0, persistent_workers=False, batch_size=8)
            loader.dataset.update(
                data_root=str(toy_data),
                ann_file=f'{part}.json',
                img_dir=part,
                class_names=CLASS_NAMES,
                pipeline=[view, pack],
            )
        config.train_dataloader.dataset.split = dict(proportion=0.4, seed=1)
        config.train_dataloader.dataset.pipeline = [view, dict(type='RandomFlip', prob=0.5), pack]
        config.train_dataloader.sampler.labelled_per_batch = 2
        config.merge_from_dict(
            {
                'view': dict(view, _delete_=True),
                'model.backbone': dict(backbone_config(), _delete_=True),
                'model.class_names': CLASS_NAMES,
                'model.head.prompts.num_context': 2,
                'model.head.prompts.initial_words': 'a',
                'model.context_head.num_contexts': 2,
                'train_cfg.warmup_epochs': 1,
                'train_cfg.semi_epochs': 2,
                'train_cfg.val_begin': 3,
                'default_hooks.pseudo_labels.num_workers': 0,
                'default_hooks.calibration.folds': 2,
                'work_dir': str(tmp_path / 'run'),
                'experiment_name': f'tiny_{next(_runs)}',
            }
            | overrides
        )
        return config

    return make


@pytest.fixture
def make_sample():
    """make_sample(image_id, labels, is_labelled) -> a DataSample as the data sets pack it."""
    from mmpretrain.structures import DataSample

    def make(image_id: str, labels, is_labelled: bool = True) -> DataSample:
        sample = DataSample(metainfo=dict(image_id=image_id, is_labelled=is_labelled))
        return sample.set_gt_score(torch.as_tensor(labels, dtype=torch.float32))

    return make


@pytest.fixture
def make_dataset():
    """make_dataset(3, 10) -> what a sampler needs to know: 3 labelled and 10 unlabelled indices, interleaved."""

    def make(num_labelled: int, num_unlabelled: int) -> SimpleNamespace:
        order = np.random.RandomState(0).permutation(num_labelled + num_unlabelled)
        return SimpleNamespace(
            labelled_indices=np.sort(order[:num_labelled]), unlabelled_indices=np.sort(order[num_labelled:])
        )

    return make


@pytest.fixture
def record():
    """An epoch of three classes as a run writes it to `pseudo_labels.jsonl`."""
    return dict(
        epoch=7,
        class_names=['sun', 'traffic light', 'dog'],
        labelled_positives=[12, 3, 5],
        positive_thresholds=[0.75, None, 0.5],
        negative_thresholds=[0.25, None, 0.125],
        positives=[20, 0, 9],
        negatives=[70, 0, 81],
        masked=[10, 100, 10],
        precision=[0.9, None, 0.5],
        recall=[0.8, 0.0, 0.25],
        F1=[0.85, 0.0, 1 / 3],
        CF1=0.4,
        micro_precision=0.78,
        micro_recall=0.55,
        masked_share=0.4,
        calibration_error=[0.02, 0.5, 0.1],
        overall_calibration_error=0.21,
        reliability=dict(
            count=[200, 0, 0, 0, 40, 0, 0, 0, 0, 60],
            score=[0.04] + [None] * 3 + [0.45] + [None] * 4 + [0.97],
            positive=[0.1] + [None] * 3 + [0.4] + [None] * 4 + [0.7],
        ),
    )


@pytest.fixture
def truthless_record(record):
    """The same where nobody knows the truth of the unlabelled images."""
    none = dict.fromkeys(('precision', 'recall', 'F1', 'calibration_error'), [None] * 3)
    none |= dict.fromkeys(('CF1', 'micro_precision', 'micro_recall', 'overall_calibration_error'))
    return record | none | dict(reliability=dict(count=[0] * 10, score=[None] * 10, positive=[None] * 10))


@pytest.fixture(scope='session')
def fork_server(tmp_path_factory):
    """A process that has done the imports: `run` forks scripts from it."""
    server = ForkServer(tmp_path_factory.mktemp('forked'))
    yield server
    server.close()


@pytest.fixture(scope='session')
def in_ranks(fork_server):
    """in_ranks(4, script, *arguments) -> its four finished processes, started as torchrun would, on the CPU."""

    def run(count: int, *command: object) -> list:
        with socket.socket() as listener:
            listener.bind(('127.0.0.1', 0))
            port = str(listener.getsockname()[1])
        group = dict(MASTER_ADDR='127.0.0.1', MASTER_PORT=port, WORLD_SIZE=str(count), CUDA_VISIBLE_DEVICES='')
        return fork_server.run(command, [group | dict(RANK=str(rank), LOCAL_RANK=str(rank)) for rank in range(count)])

    return run


@pytest.fixture
def in_two_ranks(in_ranks):
    """in_two_ranks(script, *arguments) -> its two finished processes."""
    return functools.partial(in_ranks, 2)


@pytest.fixture
def two_ranks(in_two_ranks, tmp_path):
    """two_ranks(program, *arguments): run a program in two processes that gloo joins."""

    def run(program: str, *arguments: object) -> None:
        # An object that outlives gloo's threads aborts the process: see compat.
        start, end = "import torch\ntorch.distributed.init_process_group('gloo')\n", '\nimport os\nos._exit(0)'
        (tmp_path / 'two_ranks.py').write_text(f'{start}{program}{end}')
        done = in_two_ranks(tmp_path / 'two_ranks.py', *arguments)
        assert [each.returncode for each in done] == [0, 0], '\n'.join(each.stderr for each in done)[-3000:]

    return run
