"""The embedded demo as a data set, which generates its images if they are missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmengine import dist
from mmpretrain.registry import DATASETS

from cssa_mm.datasets.base import ImageRecord
from cssa_mm.datasets.coco import COCOMultiLabelDataset
from cssa_mm.demo.scenes import CLASS_NAMES, GENERATOR_VERSION, generate_demo
from cssa_mm.errors import ConfigError, DataError, nearest

SUBSETS = ('train', 'test')


@DATASETS.register_module()
class IconsDataset(COCOMultiLabelDataset):
    """Scenes of pictographs (:mod:`cssa_mm.demo.scenes`), generated at the first use.

    Args:
        subset: 'train' or 'test'.
        data_root: Directory of the demo data; it is created if it is missing.
        distractors: Number of made-up class names, which no scene shows, after the real ones: a large label space.
        **base_options: The keys of :class:`COCOMultiLabelDataset` except ``ann_file`` and ``img_dir``.

    Raises:
        ConfigError: An unknown ``subset``.
        DataError: The directory holds something else, or scenes of another version of the generator.
    """

    METAINFO = dict(classes=CLASS_NAMES)

    def __init__(
        self, subset: str = 'train', data_root: str = 'data/icons', distractors: int = 0, **base_options: Any
    ) -> None:
        if subset not in SUBSETS:
            raise ConfigError(
                f"subset: found '{subset}', expected one of {', '.join(SUBSETS)}.{nearest(subset, SUBSETS)}"
            )
        if distractors:
            base_options['class_names'] = [*CLASS_NAMES, *(f'thing {number}' for number in range(distractors))]
        elif base_options.get('class_names') is None:
            base_options['class_names'] = CLASS_NAMES  # known before the scenes are there
        super().__init__(data_root=data_root, ann_file=f'annotations/{subset}.json', img_dir=subset, **base_options)

    def load_images(self) -> list[ImageRecord]:
        """One record for each scene; rank 0 draws the scenes first if they are missing."""
        meta = Path(self.in_root('meta.json'))
        if dist.is_main_process() and not meta.is_file():
            generate_demo(self.data_root)
        dist.barrier()
        version = json.loads(meta.read_text('utf-8'))['generator_version']
        if version != GENERATOR_VERSION:
            raise DataError(
                f'{meta}: found scenes of generator version {version}, expected {GENERATOR_VERSION}; remove '
                f"'{self.data_root}' to have them drawn again."
            )
        return super().load_images()

    def declared(self, names: list[str]) -> list[str]:
        """The names of the categories, and those that were made up."""
        return [*names, *self.class_names[len(CLASS_NAMES) :]]
