# Pascal VOC 2012 as papers on this task use it: 5,717 training images, tested on val. Half of COCO's batch.
_base_ = 'photos_224.py'
train = dict(type='VOCMultiLabelDataset', data_root='data/VOC2012/', image_set='train')
held_out = dict(train, image_set='val')
train_dataloader = dict(batch_size=32, dataset=train)
val_dataloader = dict(dataset=held_out)
test_dataloader = val_dataloader
del train, held_out
