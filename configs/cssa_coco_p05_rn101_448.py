# CSSA on COCO 2014, 5 % labelled, with CLIP RN101 on 448 x 448 pixels: 197 local features an image instead of 50.
_base_ = ['_base_/datasets/coco.py', '_base_/models/cssa.py', '_base_/schedules/cssa.py', '_base_/runtime.py']
model = dict(class_names='COCOMultiLabelDataset', backbone=dict(model_name='RN101-quickgelu'))
# The views of 224 pixels, resized and cut out at twice the length.
view = dict(size=448)
larger = dict(View=view, Cutout=dict(shape=224))
strong, plain = (
    [step | larger.get(step.type, {}) for step in loader.dataset.pipeline]
    for loader in (_base_.train_dataloader, _base_.val_dataloader)
)
train_dataloader = dict(sampler=dict(labelled_per_batch=4), dataset=dict(split=dict(proportion=0.05), pipeline=strong))
val_dataloader = dict(dataset=dict(pipeline=plain))
test_dataloader = val_dataloader
del larger, strong, plain
