# COCO 2014 as the SSMLL papers use it: 82,081 training images with an annotation, tested on the validation set.
dataset_type = 'COCOMultiLabelDataset'
data_root = 'data/coco/'
meta_keys = ('image_id', 'is_labelled', 'img_path', 'ori_shape', 'img_shape', 'flip')
strong_view = [
    dict(type='LoadRGBImage'),
    dict(type='Resize', scale=(224, 224), backend='pillow', interpolation='bicubic'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='Cutout', shape=112, prob=0.5),
    dict(
        type='RandAugment',
        policies='timm_increasing',
        num_policies=2,
        total_level=10,
        magnitude_level=9,
        magnitude_std=0.5,
    ),
    dict(type='PackInputs', meta_keys=meta_keys),
]
plain_view = [
    dict(type='LoadRGBImage'),
    dict(type='Resize', scale=(224, 224), backend='pillow', interpolation='bicubic'),
    dict(type='PackInputs', meta_keys=meta_keys),
]
train_dataloader = dict(
    # The global batch: all ranks together, labelled and unlabelled images.
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='SemiSupervisedSampler', labelled_per_batch=4),
    batch_sampler=dict(type='GlobalBatchSampler'),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instances_train2014.json',
        img_dir='train2014',
        split=dict(proportion=0.05, seed=1),
        pipeline=strong_view,
    ),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instances_val2014.json',
        img_dir='val2014',
        pipeline=plain_view,
        test_mode=True,
    ),
)
val_evaluator = dict(type='CSSAMetric')
test_dataloader = val_dataloader
test_evaluator = val_evaluator
# Names of this file only: overriding them would change nothing, so they are no keys.
del dataset_type, data_root, meta_keys, strong_view, plain_view
