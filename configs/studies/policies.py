"""Who decides what a pseudo-label is: policies of the field, all else alike."""

config = 'configs/cssa_demo.py'
policies = dict(
    cat=('class-distribution-aware (CAP)', dict()),
    fixed=('fixed thresholds .95 / .05', dict()),
    top_k=('top 3 of each image', dict(k=3)),
    mat=('metric-adaptive (D2L)', dict()),
    calibrated=('calibrated weights (DiCaP)', dict()),
    instance_adaptive=('instance-adaptive', dict()),
)
rows = dict(
    labelled_only=dict(
        title='labelled-only',
        options={'train_cfg.warmup_epochs': 200, 'train_cfg.semi_epochs': 0, 'model.context_head': None},
    )
)
for name, (title, options) in policies.items():
    policy = dict(name=name, _delete_=True, **options)
    rows[name] = dict(title=title, options={'default_hooks.pseudo_labels.policy': policy})
rows['cssa_plus'] = dict(title='cssa_plus', config='configs/cssa_plus_demo.py')
baseline = 'cat'
