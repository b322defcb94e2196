"""Photos without labels: a folder of them, or a list, which stands beside labelled ones in a ConcatDataset."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from mmpretrain.registry import DATASETS

from cssa_mm.datasets.base import SemiMultiLabelDataset
from cssa_mm.datasets.checks import names_on_disk, refuse_doubled_ids
from cssa_mm.datasets.image_table import UNKNOWN, Annotations
from cssa_mm.datasets.images.image_folder import list_images
from cssa_mm.errors import DataError


@DATASETS.register_module()
class UnlabelledDataset(SemiMultiLabelDataset):
    """Images of a folder, or of a text file with one a line, none of which is labelled. It knows no classes.

    Args:
        img_dir: Directory of the images, below ``data_root``.
        **base_options: The keys of :class:`SemiMultiLabelDataset`; ``ann_file`` is the list, if there is one.
    """

    def __init__(self, img_dir: str = '', **base_options: Any) -> None:
        self.img_dir = img_dir
        super().__init__(**base_options)

    def read_annotations(self) -> Annotations:
        """The images in sorted order, or in that of the list."""
        root = self.in_root(self.img_dir)
        if self.ann_file:
            source = self.in_root(self.ann_file)
            lines = self.read_text(source, 'a text file with an image a line').splitlines()
            image_ids = [line.strip() for line in lines if line.strip()]
            paths = [self.image_path(self.img_dir, name, source) for name in image_ids]
            paths = names_on_disk(paths) if self.is_local else paths
        else:
            source, folder = root, list_images(self.backend(root), root)
            image_ids = sorted(folder.image_ids)
            paths = [os.path.join(root, folder.path_of(image_id)) for image_id in image_ids]
        if not image_ids:
            raise DataError(f'{source}: found no image, expected at least one; check data_root and img_dir.')
        refuse_doubled_ids(image_ids, source)
        return Annotations(image_ids, paths, np.full((len(image_ids), len(self.class_names)), UNKNOWN, dtype=np.int8))
