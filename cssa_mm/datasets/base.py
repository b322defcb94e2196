"""The base of all data sets: a multi-label image list of which a split hides a part of the labels.

A new data set is one method::

    @DATASETS.register_module()
    class PetsDataset(SemiMultiLabelDataset):
        METAINFO = dict(classes=('cat', 'dog'))

        def load_images(self):
            path = self.in_root(self.ann_file)
            rows = csv.reader(self.read_text(path, 'a CSV file: file name, classes').splitlines())
            return [
                ImageRecord(name, self.in_root(name), self.class_index.labels(classes.split(), path))
                for name, classes in rows
            ]
"""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from mmengine import fileio
from mmengine.dataset import Compose
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import TRANSFORMS

from cssa_mm.datasets.checks import (
    refuse_doubled_ids,
    refuse_missing_images,
    warn_about_classes_without_positives,
)
from cssa_mm.datasets.class_index import ClassIndex
from cssa_mm.datasets.split_option import SplitOption, resolve_split
from cssa_mm.errors import ConfigError, DataError, SplitError, nearest
from cssa_mm.semi.sample_key import SampleKey, seeded
from cssa_mm.semi.split import Split

PARTS = ('all', 'labelled', 'unlabelled')
UNKNOWN = -1


class ImageRecord(NamedTuple):
    """One image of a data set: id, path, and labels int8 of shape (C,) with 1, 0 or -1 (unknown)."""

    image_id: str
    img_path: str
    labels: np.ndarray


class SemiMultiLabelDataset(BaseDataset):
    """A multi-label data set whose labels are known for a part of its images only.

    Subclasses implement :meth:`load_images`. C is the number of classes, n that of the images of ``part``.
    An image of which no label is known at all is unlabelled, whatever the split.

    Args:
        data_root: Directory that relative paths start from.
        ann_file: Annotation file, for the data sets that have one.
        split: Which images are labelled. None: all of them (a test set, full supervision); a path: a split
            file, looked up below ``data_root``, then as it is; ``dict(proportion=.05, seed=1)``: drawn.
        part: 'all', 'labelled' or 'unlabelled': the images to keep, once the split has been made.
        class_names: The C classes as words that a prompt can hold, or a file with one a line. Defaults to
            the ``METAINFO`` of the data set.
        pipeline: Transforms (or their configs) that turn an item into what the model reads.
        test_mode: True for test sets: no warning of classes without labelled positives.
        backend_args: Storage backend of the annotations, as in MMEngine. Images are read by the pipeline,
            whose loader has a ``backend_args`` of its own.
        lazy_init: Read nothing until :meth:`full_init`; until then the attributes below don't exist.

    Attributes:
        image_ids (list[str]): The n image ids.
        labels (np.ndarray): What training may know, int8 (n, C); rows of unlabelled images are all -1.
        hidden_labels (np.ndarray): The truth, int8 (n, C), -1 where nobody knows it. It measures
            pseudo-labels and serves the oracle; no item carries it.
        is_labelled (np.ndarray): bool (n,).
        split (Split | None): The split in force.

    Raises:
        ConfigError: An unknown part, a part without images, or a split of the wrong form.
        DataError: Annotations, images or class names that are missing or don't fit.
        SplitError: A split that does not fit the data.
    """

    def __init__(
        self,
        data_root: str = '',
        ann_file: str = '',
        split: SplitOption = None,
        part: str = 'all',
        class_names: Sequence[str] | str | None = None,
        pipeline: Sequence = (),
        test_mode: bool = False,
        backend_args: dict | None = None,
        lazy_init: bool = False,
    ):
        if part not in PARTS:
            raise ConfigError(f"part: found '{part}', expected one of {', '.join(PARTS)}.{nearest(part, PARTS)}")
        super().__init__(ann_file='', serialize_data=False, test_mode=test_mode, lazy_init=True)
        self.data_root = os.path.expanduser(data_root)
        self.ann_file = ann_file
        self.part = part
        self.backend_args = backend_args
        self.pipeline = _build_pipeline(pipeline)
        self._split_option = split
        if class_names is not None:
            self._metainfo['classes'] = self._read_class_names(class_names)
        if not lazy_init:
            self.full_init()

    def load_images(self) -> list[ImageRecord]:
        """Read the annotations: every image of the set, in the order in which splits count them."""
        raise NotImplementedError(f'{type(self).__name__} must implement load_images()')

    def in_root(self, *parts: str) -> str:
        """The path of ``parts`` below the data root; absolute parts stay as they are."""
        return os.path.join(self.data_root, *parts)

    def read_text(self, path: str, expected: str) -> str:
        """The content of an annotation file; the DataError of one that can't be read says ``expected``."""
        try:
            return fileio.get(path, self.backend_args).decode('utf-8')
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, 'strerror', None) or error
            raise DataError(
                f'{path}: cannot be read ({reason}), expected {expected}; check data_root '
                f"('{self.data_root}') and the file's name."
            ) from error

    def full_init(self) -> None:
        """Read the annotations, apply the split and keep the images of ``part``."""
        if self._fully_initialized:
            return
        source = self.in_root(self.ann_file)
        if not self.class_names:
            raise ConfigError(f'class_names: {source} comes without any, expected a list, or a file with one a line.')
        self.class_index = ClassIndex(self.class_names)
        records = self.load_images()
        if not records:
            raise DataError(f'{source}: found no image, expected at least one; check data_root and annotation.')
        self.image_ids = [record.image_id for record in records]
        self.img_paths = [record.img_path for record in records]
        self.hidden_labels = np.stack([record.labels for record in records]).astype(np.int8, copy=False)
        refuse_doubled_ids(self.image_ids, source)
        refuse_missing_images(self.img_paths)

        self.split = resolve_split(
            self._split_option, self.image_ids, self.hidden_labels, self.class_names, self._locate
        )
        self.is_labelled = self._mark_labelled(self.split)
        self.labels = np.where(self.is_labelled[:, None], self.hidden_labels, np.int8(UNKNOWN))
        if not self.test_mode and self.split is not None:
            warn_about_classes_without_positives(self.labels, self.class_names, type(self).__name__)
        if self.part != 'all':
            self._keep(np.flatnonzero(self.is_labelled == (self.part == 'labelled')))
        if not self.image_ids:
            raise ConfigError(f"part: found '{self.part}', but no image is {self.part}; give a split, or part='all'.")
        self._fully_initialized = True

    def _mark_labelled(self, split: Split | None) -> np.ndarray:
        has_labels = (self.hidden_labels != UNKNOWN).any(axis=1)
        if split is None:
            return has_labels
        chosen = set(split.image_ids)
        in_split = np.array([image_id in chosen for image_id in self.image_ids])
        blank = np.flatnonzero(in_split & ~has_labels)
        if blank.size:
            raise SplitError(
                f"split: found image id '{self.image_ids[blank[0]]}' as labelled, but the annotation has no "
                f'label for it ({blank.size} such ids), expected annotated images; split those only.'
            )
        return in_split

    def _read_class_names(self, class_names: Sequence[str] | str) -> tuple[str, ...]:
        if isinstance(class_names, str):
            text = self.read_text(self._locate(class_names), 'a text file with one class name a line')
            class_names = [line.strip() for line in text.splitlines() if line.strip()]
        return tuple(class_names)

    def _locate(self, path: str) -> str:
        below_root = self.in_root(os.path.expanduser(path))
        return below_root if os.path.exists(below_root) else path

    @property
    def class_names(self) -> list[str]:
        """The C class names."""
        return list(self._metainfo.get('classes', ()))

    @property
    def labelled_indices(self) -> np.ndarray:
        """Indices of the labelled images, int64, ascending."""
        return np.flatnonzero(self.is_labelled)

    @property
    def unlabelled_indices(self) -> np.ndarray:
        """Indices of the unlabelled images, int64, ascending."""
        return np.flatnonzero(~self.is_labelled)

    def positive_rates(self) -> np.ndarray:
        """Share of positives among the known cells of each class, float64 (C,).

        Labelled images only; a class without any known cell has rate 0.
        """
        known = (self.labels != UNKNOWN).sum(axis=0)
        positives = (self.labels == 1).sum(axis=0)
        return positives / np.maximum(known, 1)

    def with_pipeline(
        self, pipeline: Sequence, indices: Sequence[int] | None = None, test_mode: bool = True
    ) -> SemiMultiLabelDataset:
        """A light copy with another pipeline, restricted to ``indices`` (all images when None).

        It scores the unlabelled images on the weak view, for one.
        """
        self.full_init()
        other = copy.copy(self)
        other.pipeline = _build_pipeline(pipeline)
        other.test_mode = test_mode
        if indices is not None:
            other._keep(np.asarray(indices, dtype=np.int64))
        return other

    def get_subset(self, indices: int | Sequence[int]) -> SemiMultiLabelDataset:
        """A light copy with some images; an int n stands for the first n, or the last -n where negative."""
        subset = self.with_pipeline(self.pipeline.transforms, test_mode=self.test_mode)
        subset.get_subset_(indices)
        return subset

    def get_subset_(self, indices: int | Sequence[int]) -> None:
        """Keep only some images, as :meth:`get_subset` does."""
        positions = np.arange(len(self))
        if isinstance(indices, (int, np.integer)):
            self._keep(positions[:indices] if indices >= 0 else positions[indices:])
        else:
            self._keep(positions[np.asarray(indices, dtype=np.int64)])

    def _keep(self, indices: np.ndarray) -> None:
        self.image_ids = [self.image_ids[i] for i in indices]
        self.img_paths = [self.img_paths[i] for i in indices]
        self.labels = self.labels[indices]
        self.hidden_labels = self.hidden_labels[indices]
        self.is_labelled = self.is_labelled[indices]

    def get_data_info(self, idx: int) -> dict:
        """The item before the pipeline: everything that a model may know about image ``idx``."""
        labels = self.labels[idx]
        return dict(
            img_path=self.img_paths[idx],
            image_id=self.image_ids[idx],
            sample_idx=int(idx) % len(self),
            gt_score=labels.astype(np.float32),
            gt_label=np.flatnonzero(labels == 1),
            is_labelled=bool(self.is_labelled[idx]),
        )

    def get_cat_ids(self, idx: int) -> list[int]:
        """Known positive classes of image ``idx``."""
        return np.flatnonzero(self.labels[idx] == 1).tolist()

    def __len__(self) -> int:
        """The number n of images."""
        self.full_init()
        return len(self.image_ids)

    def __getitem__(self, key: int | SampleKey) -> dict:
        """Item of an index or a :class:`SampleKey`; with a key, its seed alone decides the augmentation."""
        self.full_init()
        if not isinstance(key, SampleKey):
            return self._run_pipeline(key)
        with seeded(key.seed):
            return self._run_pipeline(key.index)

    def _run_pipeline(self, index: int) -> dict:
        item = self.pipeline(self.get_data_info(index))
        if item is None:
            raise DataError(
                f'{self.img_paths[index]}: the pipeline returned nothing for this image, expected an item; '
                f'mend or remove the image (another is never taken in its place).'
            )
        return item

    def extra_repr(self) -> list[str]:
        """Lines of the printed form."""
        lines = [f'Data root: \t{self.data_root}']
        if self._fully_initialized:
            lines.append(f'Labelled images: \t{int(self.is_labelled.sum())}')
        return lines


def _build_pipeline(pipeline: Sequence) -> Compose:
    return Compose([TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline])
