# CSSA on the embedded demo: 100 labelled and 1,900 unlabelled scenes, with the micro-CLIP of this package.
_base_ = ['_base_/datasets/icons.py', '_base_/models/cssa.py', '_base_/schedules/cssa.py', '_base_/runtime.py']
# What differs from the photos' configs was chosen on validation scenes (docs/results.md).
model = dict(
    class_names='IconsDataset',
    backbone=dict(model_name='cssa-demo-rn', pretrained='demo'),
    # This CLIP knows captions of a few words only.
    head=dict(prompts=dict(num_context=4), attention_temperature=40.0, temperature=30.0, learn_temperature=False),
    context_head=dict(num_contexts=5),
    # Binary cross-entropy: the asymmetric loss lost 6 mAP here.
    loss=dict(gamma_negative=0.0, clip=0.0),
    context_weight=0.1,
)
# A warm-up epoch is two steps: 300 steps, then 12 x 32.
train_cfg = dict(warmup_epochs=150, semi_epochs=12, val_begin=150, val_interval=3)
optim_wrapper = dict(
    optimizer=dict(lr=2e-3),
    paramwise_cfg=dict(
        custom_keys={
            'head.bias': dict(lr_mult=10.0),
            'context_head': dict(lr_mult=5.0),
        }
    ),
)
default_hooks = dict(checkpoint=dict(interval=6))
