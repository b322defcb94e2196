# Your own photos: a folder of images, and a file that labels some of them (cssa_mm/datasets/table.py, docs/formats.md).
# What is said of the training set serves validation, test and the model's class names, too. None: found by content.
# Several folders: dataset=dict(_delete_=True, type='ConcatDataset', datasets=[A, B]), where A and B are copies of
# _base_.train_dataloader.dataset with a data_root each. RepeatDataset and ClassBalancedDataset draw labelled images more
# often, KFoldDataset leaves out a fold of them, for val_dataloader.
_base_ = 'photos_224.py'
pack = _base_.val_dataloader.dataset.pipeline[1]
train_dataloader = dict(
    batch_size=32,
    num_workers=2,
    sampler=dict(labelled_per_batch=8),
    dataset=dict(
        type='TableDataset',
        data_root='data/photos/',
        ann_file=None,  # labels.csv, or the one label file that is there
        img_dir=None,  # beside the label file, else images/, JPEGImages/ or data_root
        format=None,  # docs/formats.md lists them
        image_column=None,
        label_column=None,  # also Label Studio's question; where there is none, each column is a class
        label_separators=None,  # each of these characters
        none_word='none',  # or several words: labelled, but none of the classes
        unknown_word=(),  # unlabelled, beside blank, nan, N/A and -
        blank=None,  # 'unknown' or 'no' in a column a class
        minus_one=None,  # 'unknown' or 'no' there
        delimiter=None,
        encoding=None,
        ignore_columns=(),  # columns that are no class
        group_column=None,  # a column of videos, patients or bursts, which a split keeps together
        unannotated=None,  # images without annotation: 'unlabelled' in training, 'negative' in a test set, or 'drop'
        subset=None,  # part of a file that holds several
        class_names=None,  # a list, or a file
        classes_from=None,  # classes.csv (name,prompt), classes.txt (one name a line), or the label file
        include_unlisted=True,  # images that no row mentions are unlabelled
        held_out=None,  # the test images, which are never trained on
        split=None,  # labelled is what has labels
        # (R) Views are only mirrored: their features are computed once, so that training takes minutes. For the strong
        # views of the paper, add a Cutout or RandAugment.
        pipeline=[_base_.view, dict(type='RandomFlip', prob=0.5), pack],
    ),
)
# test.csv, or the part that is called valid or test. Where there is none, nothing is validated.
val_dataloader = dict(num_workers=2, dataset=dict(type='TableDataset', ann_file=None))
test_dataloader = val_dataloader
del pack
