"""The settings of cssa_plus on real photos, one changed at a time; to be run with --validation."""

import runpy
from pathlib import Path

photos = runpy.run_path(str(Path(__file__).with_name('real_photos.py')))
config, min_positives = photos['plus'], photos['min_positives']
default = photos['rows']['cssa_plus@84']['options']
changes = {
    'cssa_plus': ('as configured', {}),
    'two_prompts': ('two prompts a class', {'model.head.shared_prompts': False}),
    'tau_2.5': ('tau_s 2.5', {'model.head.attention_temperature': 2.5}),
    'tau_10': ('tau_s 10', {'model.head.attention_temperature': 10.0}),
    'tau_20': ('tau_s 20', {'model.head.attention_temperature': 20.0}),
    'no_anchor': ('anchor 0', {'model.evidence.anchor': 0.0}),
    'anchor_0.25': ('anchor .25', {'model.evidence.anchor': 0.25}),
    'anchor_1': ('anchor 1', {'model.evidence.anchor': 1.0}),
    'no_discriminant': ('no discriminant', {'model.evidence.discriminant': False}),
    'no_prior': ('prior_count 0', {'model.evidence.prior_count': 0.0}),
    'prior_5': ('prior_count 5', {'model.evidence.prior_count': 5.0}),
    'no_floor': ('prior_floor 0', {'model.evidence.prior_floor': 0.0}),
    'floor_5': ('prior_floor 5', {'model.evidence.prior_floor': 5.0}),
    'trust_unseen': ('unseen_weight 1', {'model.evidence.unseen_weight': 1.0}),
    'shrinkage_0.002': ('shrinkage .002', {'model.evidence.shrinkage': 0.002}),
    'shrinkage_0.2': ('shrinkage .2', {'model.evidence.shrinkage': 0.2}),
    'no_pseudo_labels': ('no semi-supervised epochs', {'train_cfg.semi_epochs': 0}),
    'semi_10': ('10 semi-supervised epochs', {'train_cfg.semi_epochs': 10}),
    'lr_double': ('twice the learning rate', {'optim_wrapper.optimizer.lr': 2e-3}),
    'no_global_token': ('no global token', {'model.backbone.global_token': False}),
    'feedback': (
        'contexts fed back',
        {'model.context_head': dict(type='ContextHead', num_contexts=6, feedback=True, _delete_=True)},
    ),
    'dual': ('negative prompt (DualCoOp)', {'model.head.score': 'dual'}),
    'negative_embedding': ('negative vector (PositiveCoOp)', {'model.head.score': 'negative_embedding'}),
}
rows = {name: dict(title=title, options={**default, **options}) for name, (title, options) in changes.items()}
baseline = 'cssa_plus'
