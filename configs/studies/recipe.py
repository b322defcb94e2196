"""The paper's recipe as it is configured, and what a user would do instead."""

config = 'cssa_voc_p05'  # or --config cssa_coco_p05
# The average precision of classes with fewer photos in either set is mostly noise.
min_positives = 5
labelled_only = {'train_cfg.semi_epochs': 0, 'model.context_head': None}
rows = dict(
    zero_shot=dict(title='zero-shot CLIP, label-specific', kind='zero_shot'),
    linear_probe=dict(title='linear probe, global feature', kind='linear_probe'),
    warm_up=dict(title='labelled-only, the 12 warm-up passes', options=labelled_only),
    labelled_only=dict(title='labelled-only, 100 passes', options={**labelled_only, 'train_cfg.warmup_epochs': 100}),
    cssa=dict(title='CSSA'),
    oracle=dict(title='CSSA, oracle: true labels for all', options={'default_hooks.pseudo_labels.oracle': True}),
)
baseline = 'warm_up'
references = ('zero_shot', 'warm_up')
ceiling = 'oracle'
