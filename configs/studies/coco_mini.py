"""COCO mini: 166 training photos and 80 classes, 30 and 80 photos labelled."""

import runpy
from pathlib import Path

photos = runpy.run_path(str(Path(__file__).with_name('real_photos.py')))
config, plus = 'cssa_coco_p05', 'cssa_plus_coco_p05'
x_label = photos['x_label']
# 70 classes have as many in both sets.
min_positives = 2
# Labels: (the share that gives so many, labelled photos in a batch of 32).
labels = {30: (0.183, 6), 80: (0.484, 16)}
files = {
    f'{part}_dataloader.dataset.{key}': name
    for part, year in (('train', 'train2017'), ('test', 'val2017'))
    for key, name in (('ann_file', f'annotations/instances_{year}.json'), ('img_dir', year))
}
methods = {name: photos['methods'][name] for name in ('zero-shot', 'labelled-only', 'CSSA', 'cssa_plus', 'oracle')}
rows = photos['rows_of'](labels, methods, plus, photos['settings'] | files)
baseline = 'labelled-only'
references = ('zero-shot', 'labelled-only')
ceiling = 'oracle'
