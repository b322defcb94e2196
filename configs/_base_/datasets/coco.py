# COCO 2014 as papers on this task use it: the 82,081 training images with an annotation, tested on the validation set.
_base_ = 'photos_224.py'
train = dict(
    type='COCOMultiLabelDataset',
    data_root='data/coco/',
    ann_file='annotations/instances_train2014.json',
    img_dir='train2014',
)
held_out = dict(train, ann_file='annotations/instances_val2014.json', img_dir='val2014')
train_dataloader = dict(dataset=train)
val_dataloader = dict(dataset=held_out)
test_dataloader = val_dataloader
del train, held_out
