import copy
from pathlib import Path

import pytest
from mmengine.config import Config

from cssa_mm import load_config
from cssa_mm.engine.config.guard import check_config
from cssa_mm.errors import ConfigError

LOADER = 'train_dataloader'
CONFIGS = sorted((Path(__file__).parents[3] / 'configs').glob('*.py'))


@pytest.fixture(scope='module')
def loaded():
    return Config.fromfile(next(path for path in CONFIGS if path.stem == 'cssa_coco_p05'))


@pytest.fixture
def config(loaded):
    return copy.deepcopy(loaded)


@pytest.mark.smoke
@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_config_passes(path):
    check_config(Config.fromfile(path))


@pytest.mark.parametrize(
    ('key', 'nearest'),
    [
        ('train_cgf', 'train_cfg'),
        ('randomnes', 'randomness'),
        ('model.unlabeled_weight', 'unlabelled_weight'),
        ('model.backbone.pretrain', 'pretrained'),
        ('model.head.renormalize', 'renormalise'),
        ('model.head.prompts.num_contexts', 'num_context'),
        ('model.context_head.num_context', 'num_contexts'),
        ('model.loss.gamma_neg', 'gamma_negative'),
        ('model.ema.warmup', 'warm_up'),
        ('model.neighbours.max_image', 'max_images'),
        ('model.neighbours.num_readings', None),  # the classifier's to say
        ('train_dataloader.batchsize', 'batch_size'),
        ('train_dataloader.sampler.labeled_per_batch', 'labelled_per_batch'),
        ('train_dataloader.dataset.ann_files', 'ann_file'),
        ('train_dataloader.dataset.keep_emtpy', 'keep_empty'),
        ('train_dataloader.dataset.split.proportions', 'proportion'),
        ('train_cfg.warmup_epoch', 'warmup_epochs'),
        ('val_cfg.fp61', 'fp16'),
        ('optim_wrapper.paramwise_cgf', 'paramwise_cfg'),
        ('optim_wrapper.clip_gradient', 'clip_grad'),
        ('optim_wrapper.optimizer.learning_rate_', None),
        ('optim_wrapper.optimizer.weight_decays', 'weight_decay'),
        ('optim_wrapper.optimizer.paramwise_cfg', None),
        ('optim_wrapper.paramwise_cfg.norm_decay', 'norm_decay_mult'),
        ('optim_wrapper.paramwise_cfg.custom_keys.head.lr_mul', 'lr_mult'),
        ('default_hooks.pseudo_labels.policies', 'policy'),
        ('default_hooks.pseudo_labels.policy.eta_positiv', 'eta_positive'),
        ('default_hooks.pseudo_labels.policy.labelled_scores', None),
        ('default_hooks.pseudo_labels.policy.penalti', 'penalty'),
        ('default_hooks.pseudo_labels.wrong_label', 'wrong_labels'),
        ('train_dataloader.dataset.wrong_label', 'wrong_labels'),
        ('default_hooks.pseudo_labels.calibrate', 'calibrate_bias'),
        ('model.head.centring.wieght', 'weight'),
        ('default_hooks.pseudo_labels.evidence_image', 'evidence_images'),
        ('default_hooks.pseudo_labels.feature_cache.folders', 'folder'),
        ('view.sizes', 'size'),
        ('model.view.sizes', 'size'),
        ('default_hooks.pseudo_label.oracle', None),
        ('default_hooks.guard.strict', None),
        ('default_hooks.logger.intervall', 'interval'),
        ('randomness.sed', 'seed'),
        ('env_cfg.mp_cfg.mp_start_methods', 'mp_start_method'),
        ('log_processor.windowsize', 'window_size'),
        ('visualizer.vis_backend', 'vis_backends'),
        ('model_wrapper_cfg.broadcast_buffer', 'broadcast_buffers'),
    ],
)
def test_an_unknown_key_anywhere_is_refused_in_one_line_with_the_nearest_known_one(config, key, nearest):
    config.merge_from_dict({key: 1})
    with pytest.raises(ConfigError) as error:
        check_config(config)
    message = str(error.value)
    assert '\n' not in message
    if key.startswith('default_hooks.pseudo_label.'):  # the whole hook is unknown
        key, nearest = 'default_hooks.pseudo_label', 'pseudo_labels'
    assert message.startswith(f"config: found the unknown key '{key}', expected one of ")
    if nearest is not None:
        assert message.endswith(f" Did you mean '{nearest}'?")


@pytest.mark.parametrize('name', ['data_root', 'dataset_type', 'meta_keys', 'strong_view', 'plain_view'])
def test_helper_names_of_a_config_file_are_no_keys(config, name):
    assert name not in config
    config.merge_from_dict({name: 'elsewhere'})
    with pytest.raises(ConfigError, match=f"unknown key '{name}'"):
        check_config(config)


@pytest.mark.parametrize(
    ('step', 'nearest'),
    [
        (dict(type='RandomFlip', probb=0.5), 'prob'),
        (dict(type='Resize', scales=(224, 224)), 'scale'),
        (dict(type='Cutout', shape=112, prop=0.5), 'prob'),
        (dict(type='PackInputs', meta_key=()), 'meta_keys'),
        (dict(type='LoadRGBImage', backend_arg=None), 'backend_args'),
        (dict(type='View', sizes=224), 'size'),
    ],
)
def test_the_toolbox_s_own_transforms_are_checked_too(config, step, nearest):
    config.train_dataloader.dataset.pipeline[2] = step
    with pytest.raises(ConfigError) as error:
        check_config(config)
    assert "'train_dataloader.dataset.pipeline[2]." in str(error.value)
    assert str(error.value).endswith(f"Did you mean '{nearest}'?")


@pytest.mark.parametrize(
    'change',
    [
        {'model.head': dict(_delete_=True, prompts=dict(num_context=2), scores='dual')},
        {'model.loss': dict(_delete_=True, reductions='mean')},
        {'model.context_head': dict(_delete_=True, contexts=5)},
        {'model.data_preprocessor': dict(means=[0, 0, 0])},
    ],
)
def test_parts_of_the_model_are_checked_without_a_type(config, change):
    config.merge_from_dict(change)
    with pytest.raises(ConfigError, match='unknown key'):
        check_config(config)


@pytest.mark.parametrize(
    'key', ['head.class_names', 'head.encoder', 'context_head.num_classes', 'head.prompts.encoder']
)
def test_what_the_classifier_gives_to_its_parts_is_no_key_of_theirs(config, key):
    config.merge_from_dict({f'model.{key}': 3})
    with pytest.raises(ConfigError, match=f"unknown key 'model.{key}'"):
        check_config(config)


@pytest.mark.parametrize(
    'change',
    [
        {'custom_hooks': [dict(type='EarlyStoppingHook', monitor='ema/mAP', patience=3)]},
        {'auto_scale_lr': dict(base_batch_size=64, enable=False)},
        {'train_dataloader.pin_memory': True, 'train_dataloader.collate_fn': dict(type='default_collate')},
        {'optim_wrapper.type': 'AmpOptimWrapper', 'optim_wrapper.loss_scale': 'dynamic'},
        {'optim_wrapper.optimizer': dict(type='SGD', lr=0.002, momentum=0.9, _delete_=True)},
        {'optim_wrapper.clip_grad': dict(max_norm=1.0), 'optim_wrapper.accumulative_counts': 2},
        {'optim_wrapper.constructor': 'DefaultOptimWrapperConstructor'},
        {'param_scheduler': [dict(type='LinearLR', start_factor=0.1, end=5, convert_to_iter_based=True)]},
        {'default_hooks.checkpoint.save_best': 'ema/mAP', 'default_hooks.visualization.enable': True},
        {'default_hooks.timer': None, 'default_hooks.sampler_seed': None},
        {'device': 'cpu', 'view.size': 448},
        {'default_hooks.pseudo_labels.feature_cache': None},
        {'train_dataloader.dataset.split': 'splits/mine.txt'},
        {'model.context_head': None},
        {'resume': True, 'load_from': 'a.pth', 'work_dir': 'w', 'launcher': 'none', 'experiment_name': 'x'},
        {'default_hooks.pseudo_labels.policy': dict(name='top_k', k=3, _delete_=True)},
    ],
)
def test_known_keys_that_the_configs_do_not_use_pass(config, change):
    config.merge_from_dict(change)
    check_config(config)


def test_a_class_in_place_of_its_name_is_checked(config):
    from cssa_mm.models import ContextHead

    config = config.to_dict()
    config['model']['context_head'] = dict(type=ContextHead, num_contexts=3, inputs='logits')
    with pytest.raises(ConfigError, match="Did you mean 'input'"):
        check_config(config)


@pytest.mark.parametrize(
    ('key', 'kind', 'nearest'),
    [
        ('model', 'CSSAClasifier', 'CSSAClassifier'),
        ('model.backbone', 'OpenClipBackbone', 'OpenCLIPBackbone'),
        ('train_dataloader.sampler', 'SemisupervisedSampler', 'SemiSupervisedSampler'),
        ('train_dataloader.dataset', 'COCOMultilabelDataset', 'COCOMultiLabelDataset'),
        ('default_hooks.pseudo_labels', 'PseudoLabelHoook', 'PseudoLabelHook'),
        ('view', 'Veiw', 'View'),
        ('optim_wrapper.optimizer', 'AdamWW', 'AdamW'),
        ('val_evaluator', 'CSSAMetrics', 'CSSAMetric'),
    ],
)
def test_an_unknown_component_is_refused_with_the_nearest_registered_one(config, key, kind, nearest):
    config.merge_from_dict({f'{key}.type': kind})
    with pytest.raises(ConfigError) as error:
        check_config(config)
    assert str(error.value) == (
        f"config: found the unknown component '{kind}' as {key}.type, expected the name of a registered one. "
        f"Did you mean '{nearest}'?"
    )


@pytest.mark.parametrize('collate', ['default_collate', 'pseudo_collate'])
def test_the_toolbox_s_functions_are_components_too(config, collate):
    config.train_dataloader.collate_fn = dict(type=collate)
    check_config(config)


@pytest.mark.parametrize('key', ['image_id', 'is_labelled'])
def test_training_samples_that_lack_what_training_reads_are_refused(config, key):
    keys = ('image_id', 'is_labelled', 'flip')
    steps = config.train_dataloader.dataset.pipeline
    steps[-1].meta_keys = tuple(name for name in keys if name != key)
    where = f'train_dataloader.dataset.pipeline\\[{len(steps) - 1}\\]'
    with pytest.raises(ConfigError, match=f"found {where}.meta_keys without '{key}'.*; add '{key}'$"):
        check_config(config)
    del steps[-1].meta_keys  # the toolbox's own keys hold neither
    with pytest.raises(ConfigError, match="meta_keys without 'image_id'"):
        check_config(config)


@pytest.mark.parametrize('loader', ['val_dataloader', 'test_dataloader'])
def test_the_metric_needs_the_image_id_only(config, loader):
    config[loader].dataset.pipeline[-1].meta_keys = ('image_id',)
    check_config(config)
    config[loader].dataset.pipeline[-1].meta_keys = ('is_labelled',)
    with pytest.raises(ConfigError, match=f"found {loader}.dataset.pipeline.*.meta_keys without 'image_id'"):
        check_config(config)


@pytest.mark.parametrize(
    ('key', 'value', 'found', 'now'),
    [
        ('feature_cache.gib', 0, 'feature_cache', 'default_hooks.pseudo_labels.feature_cache'),
        ('feature_cache', None, 'feature_cache', 'default_hooks.pseudo_labels.feature_cache'),
        ('feature_cache', dict(type='FeatureCacheHook'), 'feature_cache', 'default_hooks.pseudo_labels.feature_cache'),
        (
            'statistics.seed',
            1,
            'statistics',
            'default_hooks.pseudo_labels (calibrate_bias, mask_unseen_classes, context_seed)',
        ),
        ('evidence.max_images', 9, 'evidence', 'default_hooks.pseudo_labels (evidence_images, evidence_seed)'),
        ('teacher', None, 'teacher', 'a part of default_hooks.pseudo_labels'),
        ('pseudo_labels.pipeline', [], 'pseudo_labels.pipeline', 'view'),
    ],
)
def test_a_key_of_an_earlier_version_names_the_one_that_took_its_place(config, key, value, found, now):
    config.merge_from_dict({f'default_hooks.{key}': value})
    with pytest.raises(ConfigError) as error:
        check_config(config)
    message = str(error.value)
    assert message.startswith(f"config: found the unknown key 'default_hooks.{found}', expected one of ")
    assert message.endswith(f' known keys. It is {now} now.')


@pytest.mark.parametrize(
    'path',
    [
        'model',
        'model.backbone',
        'train_cfg',
        'auto_scale_lr',
        'default_hooks',
        'val_dataloader',
        'train_dataloader.dataset',
    ],
)
@pytest.mark.parametrize('value', [3, 'abc', [1]])
def test_a_section_that_is_no_dict_is_one_line(path, value):
    with pytest.raises(ConfigError, match=rf'^{path}: found .*, expected a dict or None'):
        load_config('cssa_demo', overrides={path: value}, tower='demo')
