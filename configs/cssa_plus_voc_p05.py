# cssa_plus on Pascal VOC 2012, 5 % labelled: 285 labelled and 5,432 unlabelled images, 2 and 30 a step.
_base_ = ['_base_/datasets/voc.py', '_base_/models/cssa_plus.py', '_base_/schedules/cssa.py', '_base_/runtime.py']
model = dict(class_names='VOCMultiLabelDataset')
train_dataloader = dict(sampler=dict(labelled_per_batch=2), dataset=dict(split=dict(proportion=0.05)))
