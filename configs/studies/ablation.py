"""What each part adds, and what is lost without it."""

config = 'cssa_demo'
no_context = {'model.context_head': None}
labelled_only, plus = 'labelled_only_demo', 'cssa_plus_demo'
# The passes of labelled_only_demo, for what it leaves out.
labels_alone = {'train_cfg.warmup_epochs': 200, 'train_cfg.semi_epochs': 0}
rows = dict(
    zero_shot=dict(title='zero-shot CLIP, label-specific', kind='zero_shot'),
    global_feature=dict(
        title='labelled-only, global feature',
        config=labelled_only,
        options={'model.head.label_specific': False},
    ),
    labelled_only=dict(title='labelled-only, label-specific', config=labelled_only),
    pseudo_labels=dict(title='+ pseudo-labels', options=no_context),
    cssa=dict(title='+ contexts = CSSA', baseline='pseudo_labels'),
    labelled_one_prompt=dict(
        title='labelled-only, one prompt finds and aligns',
        config=labelled_only,
        options={'model.head.shared_prompts': True},
    ),
    labelled_context=dict(title='labelled-only with contexts', options=labels_alone),
    feedback=dict(title='CSSA, contexts fed back', options={'model.context_head.feedback': True}, baseline='cssa'),
    one_prompt=dict(
        title='CSSA, one prompt finds and aligns', options={'model.head.shared_prompts': True}, baseline='cssa'
    ),
    cssa_plus=dict(title='cssa_plus', config=plus),
)
without = dict(
    two_prompts=('cssa_plus with two prompts', {'model.head.shared_prompts': False}),
    no_anchor=('cssa_plus without anchor', {'model.evidence.anchor': 0.0}),
    no_discriminant=('cssa_plus without discriminant', {'model.evidence.discriminant': False}),
    no_prior=('cssa_plus without prior', {'model.evidence.prior_count': 0.0}),
    no_pseudo_labels=('cssa_plus without pseudo-labels', labels_alone),
)
for name, (title, options) in without.items():
    rows[name] = dict(title=title, config=plus, options=options, baseline='cssa_plus')
baseline = 'labelled_only'
