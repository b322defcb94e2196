# Loaders for photos at 224 x 224, without a data set: coco.py and voc.py add theirs.
fill = [122, 116, 104]  # CLIP's mean colour
load = [
    dict(type='LoadRGBImage'),
    dict(type='Resize', scale=(224, 224), backend='pillow', interpolation='bicubic'),
]
augment = [
    dict(type='RandomFlip', prob=0.5),
    dict(type='Cutout', shape=112, pad_val=fill, prob=1.0),
    dict(
        type='RandAugment',
        policies='timm_increasing',
        num_policies=2,
        total_level=10,
        magnitude_level=9,
        magnitude_std=0.5,
        hparams=dict(pad_val=fill, interpolation='bicubic'),
    ),
]
pack = [
    dict(type='PackInputs', meta_keys=('image_id', 'is_labelled', 'img_path', 'ori_shape', 'img_shape', 'flip')),
]
train_dataloader = dict(
    # The global batch: all ranks together, labelled and unlabelled images.
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='SemiSupervisedSampler', labelled_per_batch=4),
    batch_sampler=dict(type='GlobalBatchSampler'),
    # split: dict(proportion, seed) draws one by CAP's rule; a path reads a split file.
    dataset=dict(split=dict(proportion=0.05, seed=1), pipeline=load + augment + pack),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(pipeline=load + pack, test_mode=True),
)
test_dataloader = val_dataloader
# CF1 and OF1 at a score of .5; the AP of every class goes to the log.
val_evaluator = dict(type='CSSAMetric', threshold=0.5)
test_evaluator = val_evaluator
# Names of this file only: overriding them would change nothing, so they are no keys.
del fill, load, augment, pack
