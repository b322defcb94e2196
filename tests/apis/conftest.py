"""One tiny training of each kind, shared by the tests of what can be done with its checkpoint."""

import itertools
import pickle
from types import SimpleNamespace

import pytest

import cssa_mm

NAMES = ['dog', 'cat', 'traffic light', 'red bicycle', 'table', 'window frame']
_runs = itertools.count()


@pytest.fixture(scope='session')
def tiny_overrides(clip_dir, toy_data):
    """tiny_overrides(**{'dotted.key': value}) -> overrides that cut a COCO config down to tiny-rn and the toy data."""

    def make(**more):
        pack = dict(type='PackInputs', meta_keys=('image_id', 'is_labelled', 'img_path', 'flip'))
        overrides = {
            'view.size': None,
            'model.backbone.model_name': 'tiny-rn',
            'model.backbone.pretrained': str(clip_dir / 'tiny-rn.pt'),
            'model.backbone.config_dir': str(clip_dir),
            'model.class_names': NAMES,
            'model.head.prompts.num_context': 2,
            'model.head.prompts.initial_words': 'a',
            'train_cfg.warmup_epochs': 1,
            'train_cfg.semi_epochs': 1,
            'train_cfg.val_begin': 1,
            'train_cfg.val_interval': 1,
            'train_dataloader.dataset.split.proportion': 0.4,
            'train_dataloader.dataset.pipeline': [
                dict(type='View', size=224),
                dict(type='RandomFlip', prob=0.5),
                pack,
            ],
            'train_dataloader.sampler.labelled_per_batch': 2,
            'default_hooks.bad_images.num_workers': 0,
            'default_hooks.pseudo_labels.num_workers': 0,
            # A name of its own: runs of the same second would share their logs.
            'experiment_name': f'api_{next(_runs)}',
        }
        for name, part in (('train', 'train'), ('val', 'test'), ('test', 'test')):
            overrides |= {
                f'{name}_dataloader.num_workers': 0,
                f'{name}_dataloader.batch_size': 8,
                f'{name}_dataloader.dataset.ann_file': f'{part}.json',
                f'{name}_dataloader.dataset.img_dir': part,
                f'{name}_dataloader.dataset.class_names': NAMES,
            }
        return overrides | more

    return make


@pytest.fixture(scope='session')
def plainly_written():
    """Runners write their config several times, and most of their time would go into beautiful line breaks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmengine.config.config.FormatCode', lambda text, **style: (text, True), raising=False)
        yield


def _run(config, overrides, toy_data, folder) -> SimpleNamespace:
    common = dict(config=config, overrides=overrides, data_root=toy_data, work_dir=folder, device='cpu')
    result = cssa_mm.train(**common)
    metrics = cssa_mm.test(**common, checkpoint=result.checkpoint, out=folder / 'predictions.pkl')
    predictions = pickle.loads((folder / 'predictions.pkl').read_bytes())
    return SimpleNamespace(result=result, metrics=metrics, predictions=predictions, model=result.runner.model.eval())


@pytest.fixture(scope='session')
def run(tiny_overrides, toy_data, tmp_path_factory, plainly_written):
    """A training of the paper's method: `result` of train, `metrics` and `predictions` of test, the `model`."""
    overrides = tiny_overrides(**{'model.context_head.num_contexts': 2})
    return _run('cssa_coco_p05', overrides, toy_data, tmp_path_factory.mktemp('run'))


@pytest.fixture(scope='session')
def plus_run(tiny_overrides, toy_data, tmp_path_factory, plainly_written):
    """The same of cssa_plus, with fitted evidence and neighbours."""
    overrides = tiny_overrides(
        **{
            'model.head.shared_prompts': True,
            'model.context_head': None,
            'model.evidence': dict(type='DiscriminantEvidence'),
            'model.neighbours': dict(type='Neighbours', k=4),
        }
    )
    return _run('cssa_coco_p05', overrides, toy_data, tmp_path_factory.mktemp('plus'))


@pytest.fixture
def save(tmp_path):
    """save(model) -> the path of a checkpoint that holds its state dict."""
    import torch

    def write(model, name: str = 'model.pth'):
        torch.save(dict(state_dict=model.state_dict()), tmp_path / name)
        return tmp_path / name

    return write
