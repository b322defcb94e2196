# Loaders for photos at 224 x 224, without a data set: coco.py, voc.py, nus.py and table.py add theirs.
fill = [122, 116, 104]  # CLIP's mean colour
# The plain view: what is scored for pseudo-labels, kept as frozen features, and tested. Training augments it. Two more
# keys say how files become pixels of 8 bits:
# bits=None: of images with more than 8 bits a colour: 8, 10, 12, 14 or 16, whose greatest value is white, or 'float'
#   for float data from 0 to 1; None goes by what each file says, or else by its data. 8-bit images are left alone.
# transparency='white': the colour below transparent pixels: 'white', 'mean' (CLIP's mean colour) or [red, green, blue].
view = dict(type='View', size=224, interpolation='bicubic', backend='pillow')
# (R) the strong view has CAP's strength: half of each side cut out, then two of 15 operations, each with probability
# .5 and a level that is drawn evenly. Posterize keeps at least 4 bits; the toolbox's preset goes down to 0, all black.
operations = [
    dict(type='AutoContrast'),
    dict(type='Equalize'),
    dict(type='Invert'),
    dict(type='Rotate', magnitude_range=(0, 30)),
    dict(type='Posterize', magnitude_range=(8, 4)),
    dict(type='Solarize', magnitude_range=(256, 0)),
    dict(type='ColorTransform', magnitude_range=(0, 0.9)),
    dict(type='Contrast', magnitude_range=(0, 0.9)),
    dict(type='Brightness', magnitude_range=(0, 0.9)),
    dict(type='Sharpness', magnitude_range=(0, 0.9)),
    dict(type='Shear', magnitude_range=(0, 0.3), direction='horizontal'),
    dict(type='Shear', magnitude_range=(0, 0.3), direction='vertical'),
    dict(type='Translate', magnitude_range=(0, 0.45), direction='horizontal'),
    dict(type='Translate', magnitude_range=(0, 0.45), direction='vertical'),
    dict(type='Cutout', magnitude_range=(0, 20)),
]
augment = [
    dict(type='RandomFlip', prob=0.5),
    dict(type='Cutout', shape=112, pad_val=fill, prob=1.0),
    dict(
        type='RandAugment',
        policies=operations,
        num_policies=2,
        total_level=10,
        magnitude_level=10,
        magnitude_std='inf',  # evenly from 0 to magnitude_level
        hparams=dict(pad_val=fill, interpolation='bicubic'),
    ),
]
pack = [
    dict(type='PackInputs', meta_keys=('image_id', 'is_labelled', 'img_path', 'ori_shape', 'img_shape', 'flip')),
]
train_dataloader = dict(
    # The global batch: all ranks together, labelled and unlabelled images. Each config adds the proportion of labelled
    # images, dataset.split.proportion, and their number in a batch, sampler.labelled_per_batch.
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='SemiSupervisedSampler'),
    batch_sampler=dict(type='GlobalBatchSampler'),
    # split: dict(proportion, seed) draws one by CAP's rule; a path reads a split file.
    dataset=dict(split=dict(seed=1), pipeline=[view] + augment + pack),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(pipeline=[view] + pack, test_mode=True),
)
test_dataloader = val_dataloader
# CF1 and OF1 are those of the labels that the model gives; a number, or one for each class, replaces its thresholds.
val_evaluator = dict(type='CSSAMetric', threshold=None)
test_evaluator = val_evaluator
# Helpers of this file, not config keys: overriding them would change nothing.
del fill, operations, augment, pack
