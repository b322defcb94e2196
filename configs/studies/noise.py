"""What wrong labels cost: in the labelled set, and forced into the pseudo-labels."""

config = 'configs/cssa_demo.py'
x_label = 'share of wrong positives'
places = {
    'labels': 'train_dataloader.dataset.wrong_labels',
    'pseudo-labels': 'default_hooks.pseudo_labels.wrong_labels',
}
methods = {
    'CAT': ('configs/cssa_demo.py', {}),
    'calibrated': (
        'configs/cssa_demo.py',
        {'default_hooks.pseudo_labels.policy': dict(name='calibrated', _delete_=True)},
    ),
    'cssa_plus': ('configs/cssa_plus_demo.py', {}),
}
rows = dict()
for place, key in places.items():
    for method, (path, options) in methods.items():
        for share in (0.0, 0.1, 0.2, 0.3, 0.4):
            rows[f'{method}-{place}@{share}'] = dict(
                line=f'{method}, wrong {place}',
                x=share,
                config=path,
                options={**options, key: share},
                baseline=f'CAT, wrong {place}',
            )
since_first = True
