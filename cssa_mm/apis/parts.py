"""The training, validation and test images of a config, read for a check."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from mmengine.config import Config

from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.datasets.building import build_dataset
from cssa_mm.datasets.image_table import Annotations
from cssa_mm.datasets.images.image_facts import ImageFacts


@dataclass
class Part:
    """The training, validation or test images with the facts about their files, in the order of the annotation."""

    name: str
    dataset: SemiMultiLabelDataset
    data: Annotations
    is_labelled: np.ndarray
    facts: list[ImageFacts]

    @property
    def is_test(self) -> bool:
        """Whether it is held out of the training."""
        return self.name != 'train'

    @property
    def where(self) -> str:
        """The config key of its data set."""
        return f'{self.name}_dataloader.dataset'

    def names(self, indices: Sequence[int]) -> list[str]:
        """The paths of some images, relative to the data root."""
        root = os.path.join(self.dataset.data_root, '')
        return [self.data.img_paths[index].removeprefix(root) for index in indices]

    def counts(self) -> dict:
        """Images, labelled images, known cells and positives, and the positives of each class: what training knows."""
        labels = self.data.labels[self.is_labelled]
        positives = (labels == 1).sum(axis=0).tolist()
        return dict(
            images=len(self.is_labelled),
            labelled=len(labels),
            known_cells=int((labels >= 0).sum()),
            positives=sum(positives),
            labelled_positives=dict(zip(self.dataset.class_names, positives, strict=True)),
        )


def read_part(name: str, options: Mapping) -> Part:
    """The annotations of a part, as training reads them; its images have not been opened yet.

    Raises:
        ConfigError: an option is wrong.
        DataError: the annotation or the split is, as in training.
    """
    dataset = build_dataset(options, f'{name}_dataloader.dataset')
    data = dataset.read_annotations()
    _, is_labelled = dataset.labelled_part(data.image_ids, data.labels)
    rows = dataset.rows_of_part(is_labelled, data.image_ids)
    kept = Annotations([data.image_ids[i] for i in rows], [data.img_paths[i] for i in rows], data.labels[rows])
    return Part(name, dataset, kept, is_labelled[rows], [])


def sections(config: Config) -> dict[str, dict]:
    """The data sets of a config by the name of their part; validation and test only once if they are the same."""
    found: dict[str, dict] = {}
    for name in ('train', 'val', 'test'):
        options = (config.get(f'{name}_dataloader') or {}).get('dataset')
        if options is not None and not any(_same_images(options, other) for other in found.values()):
            found[name] = options
    return found


def _same_images(options: dict, other: dict) -> bool:
    ignored = ('pipeline', 'test_mode')
    return {k: v for k, v in options.items() if k not in ignored} == {
        k: v for k, v in other.items() if k not in ignored
    }
