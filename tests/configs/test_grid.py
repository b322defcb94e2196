"""Every shipped config: what it says, and that it trains."""

import ast
import copy
import inspect
import re
from pathlib import Path

import open_clip
import pytest
import torch
import yaml
from mmengine.config import Config

from cssa_mm.apis.config import load_config
from cssa_mm.apis.training import build_runner
from cssa_mm.models.evidence import DiscriminantEvidence
from cssa_mm.models.neighbours import Neighbours

FOLDER = Path(__file__).parents[2] / 'configs'
CONFIGS = sorted(FOLDER.glob('*.py'))
PARTS = sorted((FOLDER / '_base_').rglob('*.py'))
GRID = [
    FOLDER / f'cssa_{data}_p{percent}.py' for data in ('coco', 'voc', 'nus') for percent in ('05', '10', '15', '20')
]
NUM_IMAGES = dict(coco=82081, voc=5717, nus=150000)
# Labelled and unlabelled images of a step (method of the field's papers); on VOC half of it.
RATIOS = {5: (4, 60), 10: (8, 56), 15: (12, 52), 20: (16, 48)}


def name_of(path: Path) -> str:
    return path.stem


def bases_of(path: Path) -> list[Path]:
    found = re.search(r'^_base_ = (.+?)$', path.read_text(), re.MULTILINE)
    names = ast.literal_eval(found[1]) if found else []
    return [path.parent / name for name in ([names] if isinstance(names, str) else names)]


def leaves(value, path: str = '') -> dict:
    if not isinstance(value, dict) or not value:
        return {path: value}
    return {key: leaf for name, item in value.items() for key, leaf in leaves(item, f'{path}.{name}').items()}


def own_and_inherited(path: Path) -> tuple[dict, dict]:
    """What a config file sets itself, and what its bases have set before it."""
    inherited = {}
    for base in bases_of(path):
        inherited |= Config.fromfile(base)._cfg_dict
    program = ast.parse(path.read_text())
    program.body = [line for line in program.body if not ast.unparse(line).startswith('_base_ =')]
    scope = {'_base_': Config(copy.deepcopy(inherited))._cfg_dict}
    exec(compile(program, path, 'exec'), scope)
    return {key: value for key, value in scope.items() if not key.startswith('__') and key != '_base_'}, inherited


def test_the_twelve_settings_of_the_paper_are_there():
    assert set(GRID) <= set(CONFIGS)


@pytest.mark.parametrize('path', GRID, ids=name_of)
def test_a_setting_has_its_proportion_and_its_labelled_images_per_step(path):
    data, percent = re.fullmatch(r'cssa_(\w+)_p(\d\d)', path.stem).groups()
    proportion = int(percent) / 100
    config = Config.fromfile(path)
    assert config.train_dataloader.dataset.split == dict(proportion=proportion, seed=1)
    labelled, unlabelled = (number // (1 + (data == 'voc')) for number in RATIOS[int(percent)])
    assert config.train_dataloader.sampler.labelled_per_batch == labelled
    assert config.train_dataloader.batch_size == labelled + unlabelled
    num_labelled = int(proportion * NUM_IMAGES[data])
    head = path.read_text().splitlines()[0]
    assert f'{num_labelled:,} labelled and {NUM_IMAGES[data] - num_labelled:,} unlabelled images' in head
    assert head.endswith(f'{labelled} and {unlabelled} a step.')


@pytest.mark.parametrize('path', GRID, ids=name_of)
def test_settings_of_one_data_set_differ_in_the_proportion_alone(path):
    first = path.with_name(re.sub(r'p\d\d', 'p05', path.name))
    config, reference = Config.fromfile(path), Config.fromfile(first)
    for each in (config, reference):
        del each.train_dataloader.dataset.split['proportion'], each.train_dataloader.sampler['labelled_per_batch']
    assert config.to_dict() == reference.to_dict()


@pytest.mark.parametrize('path', GRID, ids=name_of)
def test_settings_of_different_data_sets_differ_in_the_data_alone(path):
    config, reference = (Config.fromfile(file).to_dict() for file in (path, FOLDER / 'cssa_coco_p05.py'))
    for each in (config, reference):
        assert each['model'].pop('class_names') == each['train_dataloader']['dataset']['type']
        for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
            each[loader] = each[loader]['dataset']['pipeline']
    assert config == reference


@pytest.mark.parametrize('path', CONFIGS + PARTS, ids=name_of)
def test_no_file_sets_a_key_to_what_it_inherits(path):
    own, inherited = own_and_inherited(path)
    before = leaves(inherited)
    twice = [key for key, value in leaves(own).items() if key in before and before[key] == value]
    assert twice == []


@pytest.mark.parametrize('path', CONFIGS + PARTS, ids=name_of)
def test_no_file_assigns_a_name_twice(path):
    targets = [
        name.id
        for line in ast.parse(path.read_text()).body
        if isinstance(line, ast.Assign)
        for target in line.targets
        for name in ast.walk(target)
        if isinstance(name, ast.Name)
    ]
    assert sorted(targets) == sorted(set(targets))


@pytest.mark.parametrize('path', CONFIGS, ids=name_of)
def test_inheritance_is_at_most_two_levels_deep(path):
    def depth(file: Path) -> int:
        return max((1 + depth(base) for base in bases_of(file)), default=0)

    assert depth(path) <= 2


DEMO_TOWER = dict(
    type='OpenCLIPBackbone',
    model_name='cssa-demo-rn',
    pretrained='demo',
    config_dir=None,
    dense='value',
    global_token=True,
    precision='fp32',
    activation=None,
    allow_torchscript=False,
)
DEMO_HEAD = dict(
    type='LabelAlignmentHead',
    prompts=dict(num_context=4, initial_words='a photo of a', class_specific=True),
    label_specific=True,
    shared_prompts=False,
    renormalise=True,
    attention_temperature=40.0,
    temperature=30.0,
    learn_temperature=False,
    score='sigmoid',
    bias=True,
    centring=dict(weight=0.0, vocabulary=None),
)
DEMO_MODEL = dict(
    type='CSSAClassifier',
    class_names='IconsDataset',
    backbone=DEMO_TOWER,
    head=DEMO_HEAD,
    loss=dict(type='MaskedAsymmetricLoss', gamma_negative=0.0, gamma_positive=0.0, clip=0.0, reduction='sum'),
    unlabelled_weight=1.0,
    context_weight=0.1,
    ema=dict(decay=0.9997, warm_up=True),
)


def defaults(part: type) -> dict:
    parameters = inspect.signature(part).parameters.items()
    return {name: value.default for name, value in parameters if value.default is not value.empty}


def test_the_published_models_of_the_demo_are_what_they_were():
    """The values in force when docs/results.md was measured, before the configs shared their definitions."""
    plus = Config.fromfile(FOLDER / 'cssa_plus_demo.py').model.to_dict()
    evidence, neighbours = plus.pop('evidence'), plus.pop('neighbours')
    assert plus == DEMO_MODEL | dict(head=DEMO_HEAD | dict(shared_prompts=True), context_head=None)
    assert evidence.pop('type') == 'DiscriminantEvidence'
    # Measured with dict(shrinkage=0.002, prior_count=2.0), the rest by default.
    assert evidence == defaults(DiscriminantEvidence) | dict(shrinkage=0.002, prior_count=2.0)
    assert neighbours.pop('type') == 'Neighbours'
    # Measured by default.
    assert neighbours == {name: defaults(Neighbours)[name] for name in ('k', 'weight', 'shrinkage', 'max_images')}
    alone = Config.fromfile(FOLDER / 'labelled_only_demo.py')
    assert alone.model.to_dict() == DEMO_MODEL | dict(context_head=None)
    cssa = Config.fromfile(FOLDER / 'cssa_demo.py')
    contexts = cssa.model.pop('context_head')
    assert cssa.model.to_dict() == DEMO_MODEL
    assert (contexts.num_contexts, contexts.method, contexts.affinity) == (5, 'spectral', 'conditional')


def test_the_schedules_of_the_demo_are_what_they_were():
    loop = dict(type='SemiSupervisedTrainLoop')
    multipliers = {
        'head.bias': dict(lr_mult=10.0),
        'head.log_temperature': dict(lr_mult=20.0),
        'context_head': dict(lr_mult=5.0),
        'semantic_prompts': dict(lr_mult=0.3),
    }
    for name in ('cssa_demo', 'cssa_plus_demo', 'labelled_only_demo'):
        config = Config.fromfile(FOLDER / f'{name}.py')
        assert config.optim_wrapper.to_dict() == dict(
            accumulative_counts=1,
            optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.0),
            paramwise_cfg=dict(custom_keys=multipliers),
        )
        assert config.param_scheduler == [dict(type='CosineAnnealingLR', by_epoch=False, eta_min_ratio=0.01)]
        alone = dict(warmup_epochs=200, semi_epochs=0, val_begin=40, val_interval=40)
        both = dict(warmup_epochs=150, semi_epochs=12, val_begin=150, val_interval=3)
        assert config.train_cfg.to_dict() == loop | (alone if name == 'labelled_only_demo' else both)
        assert config.default_hooks.checkpoint.interval == (50 if name == 'labelled_only_demo' else 54)


@pytest.mark.parametrize('name', ['coco_p05', 'voc_p05', 'nus_p05', 'demo'])
def test_cssa_plus_differs_from_cssa_in_the_model_alone(name):
    plus, cssa = (Config.fromfile(FOLDER / f'{method}_{name}.py').to_dict() for method in ('cssa_plus', 'cssa'))
    assert plus.pop('model') != cssa.pop('model')
    assert plus == cssa


def test_labelled_only_on_a_table_has_the_head_and_the_loss_of_cssa_plus_and_nothing_else_of_it():
    alone, plus = (Config.fromfile(FOLDER / f'{name}.py') for name in ('labelled_only_table', 'cssa_table'))
    assert alone.train_cfg.semi_epochs == 0
    assert alone.train_dataloader.dataset.include_unlisted is False
    assert 'evidence' not in alone.model
    assert 'neighbours' not in alone.model
    assert alone.model.head.to_dict() == plus.model.head.to_dict() | dict(shared_prompts=False)
    for key in ('loss', 'context_head', 'class_names', 'backbone'):
        assert alone.model[key] == plus.model[key]


@pytest.mark.parametrize('path', CONFIGS, ids=name_of)
def test_a_tower_has_the_weights_that_its_config_names(path):
    backbone = Config.fromfile(path).model.backbone
    if backbone.pretrained != 'demo':
        assert backbone.pretrained in open_clip.list_pretrained_tags_by_model(backbone.model_name)
        # Weights that were trained with QuickGELU are silently wrong in a tower without.
        wanted = open_clip.get_pretrained_cfg(backbone.model_name, backbone.pretrained).get('quick_gelu', False)
        assert open_clip.get_model_config(backbone.model_name).get('quick_gelu', False) == wanted


def test_the_larger_variant_sees_448_pixels_and_cuts_out_half_of_each_side():
    config = Config.fromfile(FOLDER / 'cssa_coco_p05_rn101_448.py')
    strong = {step.type: step for step in config.train_dataloader.dataset.pipeline}
    assert config.view.size == strong['View'].size == 448
    assert strong['Cutout'].shape == 224
    for loader in (config.val_dataloader, config.test_dataloader):
        assert loader.dataset.pipeline[0].size == 448
    smaller = Config.fromfile(FOLDER / 'cssa_coco_p05.py')
    assert [step.type for step in smaller.train_dataloader.dataset.pipeline] == list(strong)
    assert smaller.val_dataloader.dataset.pipeline[0].size == smaller.view.size == 224


def test_the_metafile_lists_each_config_once_and_claims_no_results():
    models = yaml.safe_load((FOLDER / 'metafile.yml').read_text())['Models']
    assert sorted(model['Name'] for model in models) == [path.stem for path in CONFIGS]
    for model in models:
        assert model['Config'] == f'configs/{model["Name"]}.py'
        assert model['Results'] == [dict(Task='Image Classification', Dataset='none', Metrics={})]


@pytest.fixture
def tiny_run(tiny_data, backbone_config, tmp_path, monkeypatch):
    """tiny_run(path) -> the runner of a config on twelve tiny images and a tiny tower: a warm-up step, and another.

    The second one is semi-supervised; labelled-only configs have none.
    """
    # The runner writes the config down six times, and most of its time would go into beautiful line breaks.
    monkeypatch.setattr('mmengine.config.config.FormatCode', lambda text, **style: (text, True), raising=False)

    def build(path: Path):
        kind = Config.fromfile(path).train_dataloader.dataset.type
        tower = 'tiny-vit' if 'vit' in path.stem else 'tiny-rn'
        options = {
            'model.backbone': dict(backbone_config(tower), _delete_=True),
            'train_dataloader.batch_size': 8,
            'train_dataloader.sampler.labelled_per_batch': 2,
            'train_cfg.warmup_epochs': 1,
            'train_cfg.val_begin': 2,
            'experiment_name': f'grid_{path.stem}',
        }
        options |= {f'{loader}_dataloader.num_workers': 0 for loader in ('train', 'val', 'test')}
        options |= {f'default_hooks.{hook}.num_workers': 0 for hook in ('pseudo_labels', 'bad_images')}
        if not path.stem.startswith('labelled_only'):
            options['train_cfg.semi_epochs'] = 1
        if kind != 'TableDataset':
            options['train_dataloader.dataset.split.proportion'] = 0.5
        config = load_config(path, overrides=options, data_root=tiny_data(kind))
        return build_runner(config, str(tmp_path))

    return build


@pytest.mark.parametrize('path', CONFIGS, ids=name_of)
def test_every_config_trains_for_two_iterations(path, tiny_run):
    runner = tiny_run(path)
    head = runner.model.head
    before = {name: value.clone() for name, value in head.named_parameters()}
    runner.train()
    uses_unlabelled = not path.stem.startswith('labelled_only')
    assert runner.iter == 1 + uses_unlabelled
    assert len(runner.train_dataloader.dataset.unlabelled_indices) == (0 if path.stem == 'labelled_only_table' else 6)
    assert Path(runner.work_dir, 'pseudo_labels.jsonl').is_file() == uses_unlabelled
    for name, value in head.named_parameters():
        assert torch.isfinite(value).all(), name
        assert torch.equal(value, before[name]) is not value.requires_grad, name
