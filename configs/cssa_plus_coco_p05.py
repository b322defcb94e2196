# cssa_plus on COCO 2014, 5 % labelled: 4,104 labelled and 77,977 unlabelled images, 4 and 60 a step.
_base_ = ['_base_/datasets/coco.py', '_base_/models/cssa_plus.py', '_base_/schedules/cssa.py', '_base_/runtime.py']
model = dict(class_names='COCOMultiLabelDataset')
train_dataloader = dict(sampler=dict(labelled_per_batch=4), dataset=dict(split=dict(proportion=0.05)))
