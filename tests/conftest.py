"""What many tests share: tiny CLIP models on disk, a tiny data set, and the shipped configs cut down to both."""

import itertools
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import cssa_mm  # noqa: F401 - registers the components
from cssa_mm.demo.clip import VOCABULARY

CONFIGS = Path(__file__).parents[1] / 'configs'
CLASS_NAMES = ['dog', 'cat', 'traffic light', 'red bicycle', 'table', 'window frame']
VISION = {
    'tiny-rn': dict(layers=[1, 1, 1, 1], width=16, head_width=64, image_size=64),
    'tiny-vit': dict(layers=2, width=32, head_width=16, patch_size=16, image_size=64),
    'tiny-timm': dict(
        timm_model_name='resnet10t', timm_model_pretrained=False, timm_pool='avg', timm_proj='linear', image_size=64
    ),
}
_runs = itertools.count()


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
            model.context_head.assignment.copy_(torch.arange(len(CLASS_NAMES)) % 2)
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
def two_ranks():
    """two_ranks(program, *arguments): run a program in two processes that gloo joins, on the CPU."""

    def run(program: str, *arguments: object) -> None:
        with socket.socket() as listener:
            listener.bind(('127.0.0.1', 0))
            address = dict(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(listener.getsockname()[1]))
        # An object that outlives gloo's threads aborts the process: see compat.
        program = f"import torch\ntorch.distributed.init_process_group('gloo')\n{program}\nimport os\nos._exit(0)"
        command = [sys.executable, '-c', program, *map(str, arguments)]
        root = Path(__file__).parents[1]
        processes = []
        for rank in range(2):
            group = dict(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE='2', OMP_NUM_THREADS='1')
            environment = os.environ | address | group | dict(CUDA_VISIBLE_DEVICES='')
            pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            processes.append(subprocess.Popen(command, cwd=root, env=environment, **pipes))
        try:
            outputs = [process.communicate(timeout=240)[0] for process in processes]
        finally:
            for process in processes:
                process.kill()
        assert [process.returncode for process in processes] == [0, 0], '\n'.join(outputs)[-3000:]

    return run
