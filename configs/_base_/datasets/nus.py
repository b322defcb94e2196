# NUS-WIDE as papers on this task use it: 150,000 training and 60,260 test images, from their numpy files.
_base_ = 'photos_224.py'
# layout='text' with label_dir='TrainTestLabels' reads the official lists instead: more images, other splits.
train = dict(
    type='NUSWIDEMultiLabelDataset', data_root='data/nuswide/', subset='train', layout='numpy', img_dir='Flickr'
)
held_out = dict(train, subset='test')
train_dataloader = dict(dataset=train)
val_dataloader = dict(dataset=held_out)
test_dataloader = val_dataloader
del train, held_out
