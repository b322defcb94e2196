# Your own photos: a folder of images, and a table that labels some of them (cssa_mm/datasets/table.py).
_base_ = 'photos_224.py'
table = dict(
    type='TableDataset',
    data_root='data/photos/',
    img_dir='images',
    ann_file='labels.csv',  # CSV or TSV, JSON of mmpretrain or Label Studio, or a directory with a folder a class
    format=None,  # by the extension and content; or 'csv', 'mmpretrain', 'label_studio', 'folders'
    image_column='image',
    label_column='labels',  # a header without it has one column a class: 1, 0, blank for unknown
    label_separators=';,|',  # each of these characters
    none_word='none',  # labelled: none of the classes; a blank cell is unlabelled
    delimiter=None,  # found in the header
    classes_from=['classes.txt', 'labels.csv'],  # the first that exists: one name a line, or the classes of a table
)
pack = _base_.val_dataloader.dataset.pipeline[1]
train_dataloader = dict(
    batch_size=32,
    num_workers=2,
    sampler=dict(labelled_per_batch=8),
    dataset=dict(
        table,
        include_unlisted=True,  # images that no row mentions are unlabelled
        held_out='test.csv',  # its images are never trained on
        split=None,  # labelled is what has labels
        # (R) Views are only mirrored: their features are computed once, so that training takes minutes. For the strong
        # views of the paper, add a Cutout or RandAugment.
        pipeline=[_base_.view, dict(type='RandomFlip', prob=0.5), pack],
    ),
)
val_dataloader = dict(num_workers=2, dataset=dict(table, ann_file='test.csv'))
test_dataloader = val_dataloader
del table, pack
