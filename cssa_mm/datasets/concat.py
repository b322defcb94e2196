"""Several data sets as one: the photos of all parts with the labels of each, over the classes of all."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from mmpretrain.registry import DATASETS

from cssa_mm.datasets.base import SemiMultiLabelDataset
from cssa_mm.datasets.class_index import ClassIndex
from cssa_mm.datasets.class_words import ClassWords
from cssa_mm.datasets.image_table import UNKNOWN, ImageRecord
from cssa_mm.datasets.joining_parts import PartRows, join_rows_of_parts, joined_understanding, joined_words
from cssa_mm.datasets.splits.draws import draw_counts
from cssa_mm.datasets.splits.split import Split
from cssa_mm.datasets.table import TableDataset
from cssa_mm.datasets.toolbox.own_sets import class_of
from cssa_mm.errors import ConfigError, DataError
from cssa_mm.names import plain_name


@DATASETS.register_module()
class ConcatMultiLabelDataset(SemiMultiLabelDataset):
    """What a ConcatDataset of our data sets becomes.

    Each part is read as it would be alone: with its own files, ``split``, ``validation``, ``part`` and ``fold``. The
    image ids of the first part begin with '1/', those of the second with '2/'. A photo that stands in several parts, by
    its path, is one image, of the first that knows labels of it: labelled if one of them labels it, with the labels of
    those that do.

    The classes are those of the parts by name, in the order of their first appearance, unless ``class_names`` lists
    them. Of a class that the files of a part don't know, the labels of its images are unknown.

    Args:
        datasets: The parts: data sets of this package, or their configs.
        classes_from: Config of the data set that tells the classes, as the training set does for a test set. A
            TableDataset without ``classes_from`` of its own is labelled for all of these; one with is for those and
            what its table shows.
        **base_options: The keys of :class:`SemiMultiLabelDataset` except ``data_root``, ``ann_file``. ``split`` and
            ``validation`` draw from all images together; they, or the parts, may have them.

    Raises:
        ConfigError: No part, one that is no data set of this package, or options of parts that contradict each other.
        DataError: Two parts say the opposite of a photo, or what a part raises.
    """

    def __init__(self, datasets: Sequence, classes_from: Mapping | None = None, **base_options: Any) -> None:
        if not isinstance(datasets, Sequence) or isinstance(datasets, str) or not datasets:
            raise ConfigError(f'datasets: found {datasets!r}, expected a list of data sets.')
        self._given = list(datasets)
        self._classes_from = classes_from
        super().__init__(**base_options)

    @cached_property
    def parts(self) -> list[SemiMultiLabelDataset]:
        """The data sets, which have read nothing yet."""
        found = [self._built(options, f'datasets.{number}') for number, options in enumerate(self._given)]
        for number, part in enumerate(found):
            if part.wrong_labels:
                raise ConfigError(
                    f'datasets.{number}.wrong_labels: found {part.wrong_labels}, expected it beside '
                    'datasets, for all parts; move it there'
                )
            if part.splits_images and self.splits_images:
                raise ConfigError(
                    f'datasets.{number}.split: found one beside that of all parts together, expected '
                    'one of the two; leave one out'
                )
        return found

    @property
    def class_names(self) -> list[str]:
        """The C class names, from the parts where none were given."""
        if not self._metainfo.get('classes'):
            words = self._words_of_all()
            self._metainfo['classes'] = words.names
            self._prompts = dict(zip(words.names, words.prompts, strict=True))
        return super().class_names

    @property
    def splits_images(self) -> bool:
        """Whether a split hides labels, of all parts or of one."""
        return self._split_option is not None or any(part.splits_images for part in self.__dict__.get('parts', ()))

    @property
    def is_local(self) -> bool:
        """Whether all images lie on disks of this machine."""
        return all(part.is_local for part in self.parts)

    def load_images(self) -> list[ImageRecord]:
        """The records of all parts, each photo once."""
        index = ClassIndex(self.class_names)
        rows = [self._rows_of(number, part, index) for number, part in enumerate(self.parts, start=1)]
        found = join_rows_of_parts(rows, self.is_local)
        self._labelled = frozenset(found.image_ids[row] for row in np.flatnonzero(found.is_labelled))
        self._counts = dict(zip(found.image_ids, found.counts.tolist(), strict=True))
        groups = [(number, part.groups) for number, part in enumerate(self.parts, start=1) if part.groups is not None]
        if groups:
            written = [(f'{number}/{name}', group) for number, each in groups for name, group in each.items()]
            self.groups = {found.same.get(image_id, image_id): group for image_id, group in reversed(written)}
        named = [part.named_ids for part in self.parts]
        if any(each is not None for each in named):
            self.named_ids = frozenset(
                f'{number}/{name}'
                for number, (each, part) in enumerate(zip(named, rows, strict=True), start=1)
                for name in (part.own_ids if each is None else each)
            )
        self.understanding = joined_understanding(self.parts, rows, found, self.class_names, self.test_mode)
        return list(map(ImageRecord, found.image_ids, found.img_paths, found.labels))

    def labelled_part(self, image_ids: Sequence[str], labels: np.ndarray) -> tuple[Split | None, np.ndarray]:
        """The split of n annotated images, and which of them are labelled, bool (n,): by ``split``, or by the parts."""
        if self._split_option is not None:
            return super().labelled_part(image_ids, labels)
        return None, np.array([image_id in self._labelled for image_id in image_ids], dtype=bool)

    def draws_of(self, labelled: np.ndarray) -> np.ndarray:
        """How often one pass draws each labelled image of these indices: as the parts say, then as this set does."""
        counts = np.array([self._counts[self.image_ids[index]] for index in labelled], dtype=np.int64)
        return draw_counts(self._oversample, self.labels[labelled], counts)

    def _built(self, options: Any, where: str) -> SemiMultiLabelDataset:
        kind = class_of(options) if isinstance(options, Mapping) else type(options)
        if not isinstance(kind, type) or not issubclass(kind, SemiMultiLabelDataset):
            name = options.get('type') if isinstance(options, Mapping) else kind.__name__
            raise ConfigError(f'{where}: found a {name}, expected a data set of cssa_mm, such as TableDataset.')
        if isinstance(options, Mapping):
            known: dict[str, Any] = {}
            if issubclass(kind, TableDataset) and self._classes_from is not None and options.get('class_names') is None:
                known = dict(class_names=self._known_to(options))
            common = {key: options.get(key, getattr(self, key)) for key in ('test_mode', 'backend_args')}
            if self.part == 'validation':
                common['split'] = None
            options = DATASETS.build(dict(options) | common | known | dict(lazy_init=True, pipeline=[]))
        return options

    def _known_to(self, options: Mapping) -> list[str]:
        """The classes that the files of a test table know: those of its training set, and those of its own."""
        if options.get('classes_from') is None:
            return self.class_names
        own = dict(ann_file=options['ann_file'], subset=options.get('subset'))
        tables = [dict(options, lazy_init=True), dict(options, classes_from=[own], lazy_init=True)]
        names = {plain_name(name) for table in tables for name in DATASETS.build(table).class_names}
        return [name for name in self.class_names if plain_name(name) in names]

    def _words_of_all(self) -> ClassWords:
        if self._classes_from is not None:
            return DATASETS.build(dict(self._classes_from, lazy_init=True)).class_words
        words = joined_words([part.class_words for part in self.parts])
        if not words.names:
            raise DataError('datasets: found no part that knows a class, expected one with labels.')
        return words

    def _rows_of(self, number: int, part: SemiMultiLabelDataset, index: ClassIndex) -> PartRows:
        data = part.read_annotations()
        _, is_labelled = part.labelled_part(data.image_ids, data.labels)
        kept = part.rows_of_part(is_labelled, data.image_ids)
        source = source_of(part)
        labels = np.full((len(kept), len(index.class_names)), UNKNOWN, dtype=np.int8)
        labels[:, [index.find(name, source) for name in part.class_names]] = data.labels[kept]
        counts = np.ones(len(kept), dtype=np.int64)
        part.image_ids, part.labels = [data.image_ids[row] for row in kept], data.labels[kept]
        labelled = np.flatnonzero(is_labelled[kept])
        counts[labelled] = part.draws_of(labelled)
        return PartRows(
            number, source, part.image_ids, [data.img_paths[row] for row in kept], labels, is_labelled[kept], counts
        )


def source_of(part: SemiMultiLabelDataset) -> str:
    """The file that tells the labels of a part, or its folder."""
    found = part.understanding
    return os.path.normpath(part.in_root(part.ann_file)) if found is None else found.source
