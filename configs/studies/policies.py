"""Who decides what a pseudo-label is: policies of the field and ours, all else alike."""

config = 'cssa_demo'
policies = dict(
    cat=('class-distribution-aware (CAP)', dict()),
    fixed=('fixed thresholds .95 / .05', dict()),
    top_k=('top 3 of each image', dict(k=3)),
    mat=('metric-adaptive (D2L)', dict()),
    calibrated=('calibrated weights (DiCaP)', dict()),
    instance_adaptive=('instance-adaptive', dict()),
    interval=('intervals of the rates', dict()),
)
rows = dict(labelled_only=dict(title='labelled-only', config='labelled_only_demo'))
for name, (title, options) in policies.items():
    policy = dict(name=name, _delete_=True, **options)
    rows[name] = dict(title=title, options={'default_hooks.pseudo_labels.policy': policy})
rows['cssa_plus'] = dict(title='cssa_plus', config='cssa_plus_demo')
baseline = 'cat'
