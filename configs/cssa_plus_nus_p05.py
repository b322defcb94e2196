# cssa_plus on NUS-WIDE, 5 % labelled: 7,500 labelled and 142,500 unlabelled images, 4 and 60 a step.
_base_ = ['_base_/datasets/nus.py', '_base_/models/cssa_plus.py', '_base_/schedules/cssa.py', '_base_/runtime.py']
model = dict(class_names='NUSWIDEMultiLabelDataset')
train_dataloader = dict(sampler=dict(labelled_per_batch=4), dataset=dict(split=dict(proportion=0.05)))
