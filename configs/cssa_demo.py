# CSSA on the embedded demo: 100 labelled and 1,900 unlabelled scenes, with the micro-CLIP of this package.
_base_ = [
    '_base_/datasets/icons.py',
    '_base_/models/cssa.py',
    '_base_/schedules/cssa.py',
    '_base_/runtime.py',
]
model = dict(
    class_names='IconsDataset',
    backbone=dict(model_name='cssa-demo-rn', pretrained='demo'),
    head=dict(prompts=dict(num_context=4), temperature=15.0),
    context_head=dict(num_contexts=5),
    loss=dict(gamma_negative=0.0, clip=0.0),
)
train_cfg = dict(warmup_epochs=75, semi_epochs=12, val_begin=75)
