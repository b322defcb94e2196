# The embedded demo: scenes of pictographs, drawn at the first use.
# The plain view: what is scored for pseudo-labels, kept as frozen features, and tested. None: the size of the scenes.
view = dict(type='View', size=None)
meta_keys = ('image_id', 'is_labelled', 'img_path', 'ori_shape', 'img_shape', 'flip')
train_dataloader = dict(
    batch_size=64,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='SemiSupervisedSampler', labelled_per_batch=4),
    batch_sampler=dict(type='GlobalBatchSampler'),
    dataset=dict(
        type='IconsDataset',
        data_root='data/icons/',
        subset='train',
        split=dict(proportion=0.05, seed=1),
        # No cutout: it would hide whole icons and make their labels false.
        pipeline=[
            view,
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackInputs', meta_keys=meta_keys),
        ],
    ),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='IconsDataset',
        data_root='data/icons/',
        subset='test',
        pipeline=[view, dict(type='PackInputs', meta_keys=meta_keys)],
        test_mode=True,
    ),
)
test_dataloader = val_dataloader
# None: the labels that the model gives, by its own thresholds; a number or one for each class takes their place.
val_evaluator = dict(type='CSSAMetric', threshold=None)
test_evaluator = val_evaluator
del meta_keys  # a helper of this file, not a config key
