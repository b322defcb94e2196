"""The part of a data set that knows which of its images are labelled, which are kept, and how often each is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cssa_mm.datasets.class_naming import ClassNaming
from cssa_mm.datasets.image_table import ImageTable
from cssa_mm.datasets.splits.draws import draw_counts
from cssa_mm.datasets.splits.folds import kept_by_fold
from cssa_mm.datasets.splits.option import SplitOption, labelled_by, resolve_split
from cssa_mm.datasets.splits.split import Split
from cssa_mm.errors import ConfigError


class LabelledImages(ImageTable, ClassNaming):
    """Labelled images by ``split``, images kept by ``part`` and ``fold``, labelled images drawn by ``oversample``."""

    part: str
    groups: dict[str, str] | None
    _split_option: SplitOption
    _fold: Mapping | None
    _oversample: Sequence[Mapping]

    def labelled_part(self, image_ids: Sequence[str], labels: np.ndarray) -> tuple[Split | None, np.ndarray]:
        """The split of n annotated images, and which of them are labelled, bool (n,)."""
        groups = self._groups_of(image_ids)
        split = resolve_split(self._split_option, image_ids, labels, self.class_names, self.locate, groups)
        return split, labelled_by(split, image_ids, labels)

    def rows_of_part(self, is_labelled: np.ndarray, image_ids: Sequence[str]) -> np.ndarray:
        """Indices of the images that ``part`` and ``fold`` keep.

        Args:
            is_labelled: Which of n images are labelled, bool (n,).
            image_ids: Their ids.

        Raises:
            ConfigError: None is kept.
        """
        is_kept = np.ones_like(is_labelled)
        if self.part in ('labelled', 'unlabelled'):
            is_kept = is_labelled == (self.part == 'labelled')
        if self._fold is not None:
            is_kept &= kept_by_fold(self._fold, is_labelled, self._groups_of(image_ids))
        if not is_kept.any():
            raise ConfigError(f"part: found '{self.part}', but no image is {self.part}; give a split, or part='all'.")
        return np.flatnonzero(is_kept)

    @property
    def splits_images(self) -> bool:
        """Whether a split hides labels."""
        return self._split_option is not None

    @property
    def labelled_draws(self) -> np.ndarray:
        """Indices of the labelled images, int64, ascending, each as often as one pass draws it."""
        labelled = self.labelled_indices
        return np.repeat(labelled, self.draws_of(labelled))

    def draws_of(self, labelled: np.ndarray) -> np.ndarray:
        """How often one pass draws each labelled image of these indices, int64."""
        return draw_counts(self._oversample, self.labels[labelled], np.ones(len(labelled), dtype=np.int64))

    def _groups_of(self, image_ids: Sequence[str]) -> list[str | None] | None:
        return None if self.groups is None else [self.groups.get(image_id) for image_id in image_ids]


def drawn_images(dataset: Any) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the labelled images, as often as one pass draws each, and those of the unlabelled images.

    Raises:
        ConfigError: The data set does not know which of its images are labelled.
    """
    labelled = getattr(dataset, 'labelled_draws', getattr(dataset, 'labelled_indices', None))
    if labelled is None or not hasattr(dataset, 'unlabelled_indices'):
        raise ConfigError(
            f'train_dataloader.dataset: found a {type(dataset).__name__}, which does not know which of its images are '
            'labelled, expected a data set of cssa_mm, such as TableDataset, or one with the attributes '
            'labelled_indices and unlabelled_indices'
        )
    return np.asarray(labelled), np.asarray(dataset.unlabelled_indices)
