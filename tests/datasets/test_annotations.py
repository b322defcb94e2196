from mmengine.config import ConfigDict
from mmpretrain.registry import DATASETS

from cssa_mm.datasets.annotations import read_annotations


def test_a_split_is_drawn_from_the_images_that_training_will_have(small_demo):
    """What validation holds out is no candidate for a label."""
    options = ConfigDict(type='IconsDataset', data_root=str(small_demo), validation=dict(proportion=0.25))
    found = read_annotations(options, 'train_dataloader.dataset')
    assert len(found.image_ids) == len(found.labels) == 90
    assert found.image_ids == DATASETS.build(options).image_ids
