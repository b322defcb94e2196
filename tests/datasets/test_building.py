import pytest
from mmengine.config import ConfigDict

from cssa_mm.datasets import COCOMultiLabelDataset
from cssa_mm.datasets.building import build_dataset
from cssa_mm.errors import ConfigError


def test_a_section_becomes_a_data_set_that_has_read_nothing(coco_options):
    options = ConfigDict(type='COCOMultiLabelDataset', **{**coco_options, 'ann_file': 'nowhere.json'})
    dataset = build_dataset(options, 'train_dataloader.dataset')
    assert isinstance(dataset, COCOMultiLabelDataset)
    assert not hasattr(dataset, 'image_ids')
    assert 'lazy_init' not in options


def test_a_foreign_data_set_is_refused_in_one_line(coco_root):
    options = dict(type='CustomDataset', data_root=str(coco_root))
    with pytest.raises(ConfigError) as caught:
        build_dataset(options, 'val_dataloader.dataset')
    assert str(caught.value) == (
        'val_dataloader.dataset: found a CustomDataset, expected a data set of cssa_mm, whose labels a split can hide.'
    )
