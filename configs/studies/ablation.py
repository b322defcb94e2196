"""What each part adds, and what is lost without it."""

config = 'configs/cssa_demo.py'
labelled_only = {'train_cfg.warmup_epochs': 200, 'train_cfg.semi_epochs': 0}  # 400 steps, its best number
no_context = {'model.context_head': None}
plus = 'configs/cssa_plus_demo.py'
rows = dict(
    zero_shot=dict(title='zero-shot CLIP, label-specific', kind='zero_shot'),
    global_feature=dict(
        title='labelled-only, global feature',
        options={**labelled_only, **no_context, 'model.head.label_specific': False},
    ),
    labelled_only=dict(title='labelled-only, label-specific', options={**labelled_only, **no_context}),
    pseudo_labels=dict(title='+ pseudo-labels', options=no_context),
    cssa=dict(title='+ contexts = CSSA'),
    labelled_context=dict(title='labelled-only with contexts', options=labelled_only),
    feedback=dict(title='CSSA, contexts fed back', options={'model.context_head.feedback': True}),
    one_prompt=dict(title='CSSA, one prompt finds and aligns', options={'model.head.shared_prompts': True}),
    cssa_plus=dict(title='cssa_plus', config=plus),
    two_prompts=dict(title='cssa_plus with two prompts', config=plus, options={'model.head.shared_prompts': False}),
    no_anchor=dict(title='cssa_plus without anchor', config=plus, options={'model.evidence.anchor': 0.0}),
    no_discriminant=dict(
        title='cssa_plus without discriminant', config=plus, options={'model.evidence.discriminant': False}
    ),
    no_prior=dict(title='cssa_plus without prior', config=plus, options={'model.evidence.prior_count': 0.0}),
    no_pseudo_labels=dict(title='cssa_plus without pseudo-labels', config=plus, options=labelled_only),
)
baseline = 'labelled_only'
