# CSSA on the embedded demo: 100 labelled and 1,900 unlabelled scenes, with the micro-CLIP of this package.
_base_ = ['_base_/datasets/icons.py', '_base_/models/cssa.py', '_base_/schedules/demo.py', '_base_/runtime.py']
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
default_hooks = dict(checkpoint=dict(interval=54))
