"""Data sets whose labels are known for a part of their images, and the transforms that load images."""

from cssa_mm.datasets.base import ImageRecord, SemiMultiLabelDataset
from cssa_mm.datasets.coco import COCOMultiLabelDataset
from cssa_mm.datasets.concat import ConcatMultiLabelDataset
from cssa_mm.datasets.nuswide import NUSWIDEMultiLabelDataset
from cssa_mm.datasets.scaled_view import ScaledView
from cssa_mm.datasets.table import TableDataset
from cssa_mm.datasets.transforms import LoadRGBImage
from cssa_mm.datasets.unlabelled import UnlabelledDataset
from cssa_mm.datasets.view import View
from cssa_mm.datasets.voc import VOCMultiLabelDataset

__all__ = [
    'COCOMultiLabelDataset',
    'ConcatMultiLabelDataset',
    'ImageRecord',
    'LoadRGBImage',
    'NUSWIDEMultiLabelDataset',
    'ScaledView',
    'SemiMultiLabelDataset',
    'TableDataset',
    'UnlabelledDataset',
    'VOCMultiLabelDataset',
    'View',
]
