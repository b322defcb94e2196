# CSSA on Pascal VOC 2012, 5 % labelled: 285 labelled and 5,432 unlabelled images.
_base_ = ['_base_/datasets/voc.py', '_base_/models/cssa.py', '_base_/schedules/cssa.py', '_base_/runtime.py']
model = dict(class_names='VOCMultiLabelDataset')
