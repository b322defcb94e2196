"""What a user would do instead, on the same frozen features."""

config = 'cssa_demo'
plus = 'cssa_plus_demo'
oracle = {'default_hooks.pseudo_labels.oracle': True}
rows = dict(
    zero_shot=dict(title='zero-shot CLIP, label-specific', kind='zero_shot'),
    linear_probe=dict(title='linear probe, global feature', kind='linear_probe'),
    labelled_only=dict(title='labelled-only prompts', config='labelled_only_demo'),
    cssa=dict(title='CSSA'),
    cssa_plus=dict(title='cssa_plus', config=plus),
    oracle=dict(title='CSSA, oracle: true labels for all', options=oracle),
    oracle_plus=dict(title='cssa_plus, oracle', config=plus, options=oracle),
)
baseline = 'labelled_only'
references = ('zero_shot', 'labelled_only')
ceiling = 'oracle'
