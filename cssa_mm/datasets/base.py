"""The base of all data sets: a list of images with several labels each, some of which a split hides.

A new data set is one method::

    @DATASETS.register_module()
    class PetsDataset(SemiMultiLabelDataset):
        METAINFO = dict(classes=('cat', 'dog'))

        def load_images(self):
            path = self.in_root(self.ann_file)
            rows = csv.reader(self.read_text(path, 'a CSV file: file name, classes').splitlines())
            return [
                ImageRecord(name, self.image_path('', name, path), self.class_index.labels(classes.split(), path))
                for name, classes in rows
            ]
"""

from __future__ import annotations

import copy
import os
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated

import numpy as np
from mmpretrain.datasets import BaseDataset

from cssa_mm.datasets.bad_images import BadImages
from cssa_mm.datasets.checks import (
    names_on_disk,
    refuse_doubled_ids,
    refuse_missing_images,
    warn_about_classes_without_positives,
)
from cssa_mm.datasets.class_index import ClassIndex
from cssa_mm.datasets.image_table import UNKNOWN, Annotations, ImageRecord
from cssa_mm.datasets.labelled_images import LabelledImages
from cssa_mm.datasets.pipeline import build_pipeline
from cssa_mm.datasets.readers.understanding import Understanding
from cssa_mm.datasets.sample_key import SampleKey, read_keys
from cssa_mm.datasets.splits.draws import checked_oversampling
from cssa_mm.datasets.splits.folds import checked_fold
from cssa_mm.datasets.splits.option import SplitOption, validation_part
from cssa_mm.datasets.wrong_labels import checked_share, move_positives
from cssa_mm.errors import ConfigError, DataError
from cssa_mm.evaluation.pointing_game import ImageBoxes
from cssa_mm.values import OneOf, Share, check_values

PARTS = ('all', 'labelled', 'unlabelled', 'validation')


class SemiMultiLabelDataset(LabelledImages, BaseDataset):
    """A multi-label data set whose labels are known for some of its images only.

    Subclasses implement :meth:`load_images`. C is the number of classes, n that of the images of ``part``.
    An image without any known label is unlabelled.

    Args:
        data_root: Directory, or address in a storage (s3://bucket/x), that relative paths start from.
        ann_file: Annotation file, for the data sets that have one.
        split: Which images are labelled. None: all of them (a test set, full supervision); a path: a split
            file, looked up below ``data_root``, then as it is; ``dict(proportion=.05, seed=1)``: drawn.
        part: 'all', 'labelled' or 'unlabelled': the images to keep, once the split has been made. 'validation': those
            that ``validation`` holds out, with their labels and without a split.
        validation: ``dict(proportion=.3, seed=0)`` holds images out, drawn before the split, to choose settings on.
        class_names: The C classes as words that a prompt can hold; a dict name -> prompt or prompts; or a file, see
            :func:`~cssa_mm.datasets.class_words.read_class_words`. Defaults to the ``METAINFO`` of the data set.
        pipeline: Transforms (or their configs) that turn an item into what the model reads.
        test_mode: True for test sets: no warning of classes without labelled positives.
        backend_args: Storage backend of the annotations, as in MMEngine, and of the images unless the loader
            in ``pipeline`` has ``backend_args`` of its own.
        lazy_init: Read nothing until :meth:`full_init`; until then the attributes below don't exist.
        wrong_labels: Fraction of the labelled images' positives that are moved to a wrong class, for studies of label
            noise; drawn by the seed of the split. ``hidden_labels`` stay true.
        fold: ``dict(fold=0, num_splits=5, seed=None, test_mode=False)``, what a KFoldDataset says: training leaves out
            the labelled images of this fold, ``test_mode=True`` keeps them alone.
        oversample: What RepeatDataset and ClassBalancedDataset say, inner before outer: ``dict(times=3)``,
            ``dict(oversample_thr=.1)``. Labelled images are drawn more often; no statistic counts that.

    Attributes:
        split (Split | None): The split in force; those of :class:`ImageTable` beside it.
        understanding (Understanding | None): How the annotation was understood.
        named_ids (Collection | None): The image ids that the annotation names, where the set holds others, too.
        groups (dict | None): Image id -> group, which no split cuts and ``validation`` keeps together.
        bad_images (BadImages | None): Where set, bad images become neutral items; None raises.

    Raises:
        ConfigError: An unknown part, a part without images, or a split of the wrong form.
        DataError: Annotations, images or class names that are missing or don't fit.
        SplitError: A split that does not fit the data.
    """

    bad_images: BadImages | None = None
    understanding: Understanding | None = None
    named_ids: Collection[str] | None = None
    groups: dict[str, str] | None = None
    _fully_initialized: bool

    def __init__(
        self,
        data_root: str = '',
        ann_file: str = '',
        split: SplitOption = None,
        part: Annotated[str, OneOf(PARTS)] = 'all',
        validation: dict | None = None,
        class_names: Sequence[str] | Mapping | str | None = None,
        pipeline: Sequence = (),
        test_mode: bool = False,
        backend_args: dict | None = None,
        lazy_init: bool = False,
        wrong_labels: Share = 0.0,
        fold: dict | None = None,
        oversample: Sequence[dict] | dict | None = None,
    ) -> None:
        check_values(SemiMultiLabelDataset.__init__, locals())
        super().__init__(ann_file='', serialize_data=False, test_mode=test_mode, lazy_init=True)
        self.data_root = os.path.expanduser(data_root)
        self.ann_file = ann_file
        self.part = part
        self.backend_args = backend_args
        self.pipeline = build_pipeline(pipeline, backend_args)
        self._split_option = None if part == 'validation' else split
        self._validation = validation
        self.wrong_labels = checked_share('dataset', wrong_labels)
        self._fold, self._oversample = checked_fold(fold), checked_oversampling(oversample)
        if class_names is not None:
            self.set_classes(class_names)
        if not lazy_init:
            self.full_init()

    def load_images(self) -> list[ImageRecord]:
        """Read the annotations: every image of the set, in the order in which splits count them."""
        raise NotImplementedError(f'{type(self).__name__} must implement load_images()')

    def read_annotations(self) -> Annotations:
        """Read the annotation files alone, whether the images are there or not, less what ``validation`` holds out."""
        source = self.in_root(self.ann_file)
        if not self.class_names:
            raise ConfigError(f'class_names: found none for {source}, expected a list, or a file with one a line.')
        self.class_index = ClassIndex(self.class_names)
        records: Sequence[ImageRecord] = self.load_images()
        if not records:
            raise DataError(f'{source}: found no image, expected at least one; check data_root and annotation.')
        records = validation_part(self._validation, records, self.part == 'validation', self.groups)
        image_ids, img_paths, labels = zip(*records, strict=True)
        refuse_doubled_ids(image_ids, source)
        img_paths = names_on_disk(img_paths) if self.is_local else list(img_paths)
        return Annotations(list(image_ids), img_paths, np.stack(labels).astype(np.int8, copy=False))

    def full_init(self) -> None:
        """Read the annotations, apply the split and keep the images of ``part``."""
        if self._fully_initialized:
            return
        self.image_ids, self.img_paths, self.hidden_labels = self.read_annotations()
        if self.is_local:
            refuse_missing_images(self.img_paths)

        self.split, self.is_labelled = self.labelled_part(self.image_ids, self.hidden_labels)
        self.labels = np.where(self.is_labelled[:, None], self.hidden_labels, np.int8(UNKNOWN))
        if self.wrong_labels:
            self.labels = move_positives(self.labels, self.wrong_labels, self.split.seed if self.split else 0)
        if not self.test_mode and self.split is not None:
            warn_about_classes_without_positives(self.labels, self.class_names, type(self).__name__)
        self._keep(self.rows_of_part(self.is_labelled, self.image_ids))
        self._fully_initialized = True

    def with_pipeline(
        self, pipeline: Sequence, indices: Sequence[int] | np.ndarray | None = None, test_mode: bool = True
    ) -> SemiMultiLabelDataset:
        """A light copy with another pipeline, restricted to ``indices`` (all images when None)."""
        self.full_init()
        other = copy.copy(self)
        other.pipeline = build_pipeline(pipeline, self.backend_args)
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

    def __len__(self) -> int:
        """The number n of images."""
        self.full_init()
        return len(self.image_ids)

    def __getitem__(self, key: int | SampleKey) -> dict:
        """Item of an index or a :class:`SampleKey`; with a key, its seed alone decides the augmentation."""
        return self._items([key])[0]

    def __getitems__(self, keys: Sequence[int | SampleKey]) -> list[dict]:
        """The items of several indices or keys; PyTorch's loaders ask for a batch at a time."""
        if type(self).__getitem__ is not SemiMultiLabelDataset.__getitem__:  # a subclass has an item of its own
            return [self[key] for key in keys]
        return self._items(keys)

    def _items(self, keys: Sequence[int | SampleKey]) -> list[dict]:
        self.full_init()
        return read_keys(self._run_pipeline, keys)

    def _run_pipeline(self, index: int) -> dict:
        info = self.get_data_info(index)
        item = self.pipeline(info) if self.bad_images is None else self.bad_images.item(self.pipeline, info)
        if item is None:
            raise DataError(
                f'{self.img_paths[index]}: the pipeline returned nothing for this image, expected an item; '
                f'repair or remove the image (no other image takes its place).'
            )
        return item

    def boxes(self) -> list[ImageBoxes]:
        """The boxes of each image; ``ConfigError`` where the annotations of such a set hold none."""
        raise ConfigError(
            f'dataset: found a {type(self).__name__}, whose annotations hold no boxes, expected one in VOC or COCO form'
        )

    def extra_repr(self) -> list[str]:
        """Lines of the printed form."""
        lines = [f'Data root: \t{self.data_root}']
        if self._fully_initialized:
            lines.append(f'Labelled images: \t{int(self.is_labelled.sum())}')
        return lines
