"""Real photos with a long tail: does tuning on few labels do harm?"""

config, plus = 'cssa_voc_p05', 'cssa_plus_voc_p05'
x_label = 'number of labelled photos'
# Labels of the 1,682 training photos of the VOC subset: (the share that gives so many, labelled photos in a batch).
labels = {30: (0.018, 2), 84: (0.05, 2), 168: (0.10, 4), 336: (0.20, 8)}
# The average precision of classes with fewer photos in either set is mostly noise.
min_positives = 5
pack = dict(type='PackInputs', meta_keys=('image_id', 'is_labelled', 'img_path', 'ori_shape', 'img_shape', 'flip'))
view = dict(type='View', size=224)
# The settings of configs/cssa_table.py rather than the paper's recipe.
settings = {
    'train_dataloader.dataset.pipeline': [view, dict(type='RandomFlip', prob=0.5), pack],
    'train_dataloader.batch_size': 32,
    'model.loss.gamma_negative': 0.0,
    'model.loss.clip': 0.0,
    'model.head.prompts.num_context': 4,
    'model.head.attention_temperature': 5.0,
    'model.context_weight': 0.1,
    'train_cfg.warmup_epochs': 12,
    'train_cfg.semi_epochs': 4,
    'optim_wrapper.optimizer.lr': 1e-3,
}
neighbours, centring = {'model.neighbours.type': 'Neighbours'}, {'model.head.centring.weight': 'auto'}
methods = {
    'zero-shot': ('zero_shot', {}),
    'linear probe': ('linear_probe', {}),
    'labelled-only, global': (
        'train',
        {'train_cfg.semi_epochs': 0, 'model.context_head': None, 'model.head.label_specific': False},
    ),
    'labelled-only': ('train', {'train_cfg.semi_epochs': 0, 'model.context_head': None}),
    'with pseudo-labels': ('train', {'model.context_head': None}),
    'CSSA': ('train', {}),
    'cssa_plus': ('train', {}),
    'oracle': ('train', {'default_hooks.pseudo_labels.oracle': True}),
    # What needs no label, and cssa_plus with and without each of its parts.
    'zero-shot + neighbours': ('zero_shot', neighbours),
    'zero-shot + centring': ('zero_shot', centring),
    'zero-shot + both': ('zero_shot', neighbours | centring),
    'cssa_plus without neighbours': ('train', {'model.neighbours': None}),
    'cssa_plus without discriminant': ('train', {'model.evidence.discriminant': False}),
    'cssa_plus without anchor': ('train', {'model.evidence.anchor': 0.0}),
    'cssa_plus without tuned prompts': ('train', {'model.evidence.anchor': 1.0}),
    'cssa_plus without pseudo-labels': ('train', {'train_cfg.semi_epochs': 0}),
    'cssa_plus + centring': ('train', centring),
    'cssa_plus, interval': ('train', {'default_hooks.pseudo_labels.policy.name': 'interval'}),
    'cssa_plus, oracle': ('train', {'default_hooks.pseudo_labels.oracle': True}),
}


def rows_of(labels: dict, methods: dict, plus: str, common: dict) -> dict:
    """A row for each number of labels and each method, with options that all have."""
    return {
        f'{method.replace(" ", "_").replace(",", "")}@{number}': dict(
            line=method,
            x=number,
            config=plus if method.startswith('cssa_plus') else None,
            kind=kind,
            options={
                **common,
                **options,
                'train_dataloader.dataset.split.proportion': share,
                'train_dataloader.sampler.labelled_per_batch': labelled,
            },
        )
        for number, (share, labelled) in labels.items()
        for method, (kind, options) in methods.items()
    }


rows = rows_of(labels, methods, plus, settings)
baseline = 'labelled-only'
references = ('zero-shot', 'labelled-only')
ceiling = 'oracle'
