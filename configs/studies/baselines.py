"""What a user would do instead, on the same frozen features."""

config = 'configs/cssa_demo.py'
# 400 steps: its best number on validation scenes (docs/results.md).
labelled_only = {'train_cfg.warmup_epochs': 200, 'train_cfg.semi_epochs': 0, 'model.context_head': None}
plus = 'configs/cssa_plus_demo.py'
oracle = {'default_hooks.pseudo_labels.oracle': True}
rows = dict(
    zero_shot=dict(title='zero-shot CLIP, label-specific', kind='zero_shot'),
    linear_probe=dict(title='linear probe, global feature', kind='linear_probe'),
    labelled_only=dict(title='labelled-only prompts', options=labelled_only),
    cssa=dict(title='CSSA'),
    cssa_plus=dict(title='cssa_plus', config=plus),
    oracle=dict(title='CSSA, oracle: true labels for all', options=oracle),
    oracle_plus=dict(title='cssa_plus, oracle', config=plus, options=oracle),
)
baseline = 'labelled_only'
references = ('zero_shot', 'labelled_only')
ceiling = 'oracle'
