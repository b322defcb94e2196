"""What wrong labels cost: in the labelled set, and forced into the pseudo-labels."""

config = 'cssa_demo'
x_label = 'share of wrong positives'
places = {
    'labels': 'train_dataloader.dataset.wrong_labels',
    'pseudo-labels': 'default_hooks.pseudo_labels.wrong_labels',
}
methods = {
    'CAT': ('cssa_demo', {}),
    'calibrated': (
        'cssa_demo',
        {'default_hooks.pseudo_labels.policy': dict(name='calibrated', _delete_=True)},
    ),
    'cssa_plus': ('cssa_plus_demo', {}),
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
