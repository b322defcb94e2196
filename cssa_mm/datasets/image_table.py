"""The images of a data set with what training may know of their labels, and what it must not."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cssa_mm.errors import DataError, nearest

UNKNOWN = -1


class ImageRecord(NamedTuple):
    """One image of a data set: id, path, and labels int8 of shape (C,) with 1, 0 or -1 (unknown)."""

    image_id: str
    img_path: str
    labels: np.ndarray


class Annotations(NamedTuple):
    """What annotation files say: ids and paths of n images, and their labels, int8 (n, C) with 1, 0 or -1 (unknown)."""

    image_ids: list[str]
    img_paths: list[str]
    labels: np.ndarray


class ImageTable:
    """The columns of a data set: n images in their order, C classes.

    Attributes:
        image_ids (list[str]): The n image ids.
        img_paths (list[str]): The n paths.
        labels (np.ndarray): What training may know, int8 (n, C); rows of unlabelled images are all -1.
        hidden_labels (np.ndarray): The truth, int8 (n, C), -1 where it is unknown. It measures
            pseudo-labels and serves the oracle; no item carries it.
        is_labelled (np.ndarray): bool (n,).
    """

    image_ids: list[str]
    img_paths: list[str]
    labels: np.ndarray
    hidden_labels: np.ndarray
    is_labelled: np.ndarray

    @property
    def labelled_indices(self) -> np.ndarray:
        """Indices of the labelled images, int64, ascending."""
        return np.flatnonzero(self.is_labelled)

    @property
    def unlabelled_indices(self) -> np.ndarray:
        """Indices of the unlabelled images, int64, ascending."""
        return np.flatnonzero(~self.is_labelled)

    def index_of(self, image_id: str) -> int:
        """The index of an image id; DataError with the nearest id where there is none."""
        try:
            return self.image_ids.index(str(image_id))
        except ValueError:
            raise DataError(
                f"image_id: found '{image_id}', expected one of the {len(self.image_ids)} ids of this data set, like "
                f"'{self.image_ids[0]}'.{nearest(image_id, self.image_ids)}"
            ) from None

    def positive_rates(self) -> np.ndarray:
        """The rate of positives among the known cells of each class, float64 (C,).

        Labelled images only; a class without any known cell has rate 0.
        """
        known = (self.labels != UNKNOWN).sum(axis=0)
        positives = (self.labels == 1).sum(axis=0)
        return positives / np.maximum(known, 1)

    def get_cat_ids(self, idx: int) -> list[int]:
        """Known positive classes of image ``idx``."""
        return np.flatnonzero(self.labels[idx] == 1).tolist()

    def _keep(self, indices: np.ndarray) -> None:
        self.image_ids = [self.image_ids[i] for i in indices]
        self.img_paths = [self.img_paths[i] for i in indices]
        self.labels = self.labels[indices]
        self.hidden_labels = self.hidden_labels[indices]
        self.is_labelled = self.is_labelled[indices]
