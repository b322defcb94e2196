# The embedded demo: scenes of pictographs, drawn at the first use.
dataset_type = 'IconsDataset'
data_root = 'data/icons/'
meta_keys = ('image_id', 'is_labelled', 'img_path', 'ori_shape', 'img_shape', 'flip')
# No cutout: it hides whole icons, and the label becomes false.
weak_view = [
    dict(type='LoadRGBImage'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackInputs', meta_keys=meta_keys),
]
plain_view = [
    dict(type='LoadRGBImage'),
    dict(type='PackInputs', meta_keys=meta_keys),
]
train_dataloader = dict(
    batch_size=64,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='SemiSupervisedSampler', labelled_per_batch=4),
    batch_sampler=dict(type='GlobalBatchSampler'),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        subset='train',
        split=dict(proportion=0.05, seed=1),
        pipeline=weak_view,
    ),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type=dataset_type, data_root=data_root, subset='test', pipeline=plain_view, test_mode=True),
)
val_evaluator = dict(type='CSSAMetric')
test_dataloader = val_dataloader
test_evaluator = val_evaluator
# Names of this file only: overriding them would change nothing, so they are no keys.
del dataset_type, data_root, meta_keys, weak_view, plain_view
