"""What keeping features costs: half precision, and strong views that are drawn once in place of new ones each epoch."""

config = 'cssa_demo'
cache = 'default_hooks.pseudo_labels.feature_cache'
fill = [122, 116, 104]
# The paper's operations that leave the icons whole; the demo's own configs draw the plain view and its mirror image.
operations = [
    dict(type='AutoContrast'),
    dict(type='Equalize'),
    dict(type='Rotate', magnitude_range=(0, 30)),
    dict(type='Posterize', magnitude_range=(8, 4)),
    dict(type='ColorTransform', magnitude_range=(0, 0.9)),
    dict(type='Contrast', magnitude_range=(0, 0.9)),
    dict(type='Brightness', magnitude_range=(0, 0.9)),
    dict(type='Sharpness', magnitude_range=(0, 0.9)),
    dict(type='Shear', magnitude_range=(0, 0.3), direction='horizontal'),
    dict(type='Shear', magnitude_range=(0, 0.3), direction='vertical'),
]
strong = {
    'train_dataloader.dataset.pipeline': [
        dict(type='View', size=None),
        dict(type='RandomFlip', prob=0.5),
        dict(
            type='RandAugment',
            policies=operations,
            num_policies=2,
            total_level=10,
            magnitude_level=10,
            magnitude_std='inf',
            hparams=dict(pad_val=fill, interpolation='bicubic'),
        ),
        dict(
            type='PackInputs',
            meta_keys=('image_id', 'is_labelled', 'img_path', 'ori_shape', 'img_shape', 'flip'),
        ),
    ]
}
rows = dict(
    float32=dict(title='plain and mirrored views, float32'),
    float16=dict(title='plain and mirrored views, float16', options={f'{cache}.dtype': 'float16'}, baseline='float32'),
    drawn_anew=dict(title='new strong views in each epoch', options=strong),
    strong_2=dict(title='2 strong views', options={**strong, f'{cache}.strong_views': 2}),
    strong_4=dict(title='4 strong views', options={**strong, f'{cache}.strong_views': 4}),
    strong_8=dict(title='8 strong views', options={**strong, f'{cache}.strong_views': 8}),
    strong_16=dict(title='16 strong views', options={**strong, f'{cache}.strong_views': 16}),
    strong_32=dict(title='32 strong views', options={**strong, f'{cache}.strong_views': 32}),
    strong_4_float16=dict(
        title='4 strong views, float16', options={**strong, f'{cache}.strong_views': 4, f'{cache}.dtype': 'float16'}
    ),
)
baseline = 'drawn_anew'
