"""NUS-WIDE: 81 concepts of Flickr photos, from the official text lists or the numpy files of the SSMLL papers."""

from __future__ import annotations

import io
import posixpath
from typing import Any

import numpy as np
from mmpretrain.registry import DATASETS

from cssa_mm.archives import read_array
from cssa_mm.datasets.base import ImageRecord, SemiMultiLabelDataset
from cssa_mm.datasets.checks import refuse_doubled_ids
from cssa_mm.errors import ConfigError, DataError, nearest
from cssa_mm.names import plain_name

NUSWIDE_CLASSES = (
    'airport', 'animal', 'beach', 'bear', 'birds', 'boats', 'book', 'bridge', 'buildings', 'cars', 'castle', 'cat',
    'cityscape', 'clouds', 'computer', 'coral', 'cow', 'dancing', 'dog', 'earthquake', 'elk', 'fire', 'fish', 'flags',
    'flowers', 'food', 'fox', 'frost', 'garden', 'glacier', 'grass', 'harbor', 'horses', 'house', 'lake', 'leaf',
    'map', 'military', 'moon', 'mountain', 'nighttime', 'ocean', 'person', 'plane', 'plants', 'police', 'protest',
    'railroad', 'rainbow', 'reflection', 'road', 'rocks', 'running', 'sand', 'sign', 'sky', 'snow', 'soccer',
    'sports', 'statue', 'street', 'sun', 'sunset', 'surf', 'swimmers', 'tattoo', 'temple', 'tiger', 'tower', 'town',
    'toy', 'train', 'tree', 'valley', 'vehicle', 'water', 'waterfall', 'wedding', 'whales', 'window', 'zebra',
)  # fmt: skip
# What each layout calls the training and the test set.
SUBSETS = {'numpy': dict(train='train', test='val'), 'text': dict(train='Train', test='Test')}


@DATASETS.register_module()
class NUSWIDEMultiLabelDataset(SemiMultiLabelDataset):
    """NUS-WIDE; image ids are the paths below ``img_dir`` with '/', in the order of the list.

    An image without any concept (22 % of them) stays, as a negative of every class.

    Args:
        subset: 'train' or 'test'.
        layout: 'numpy': ``formatted_{train,val}_{images,labels}.npy``, the 150,000 and 60,260 images of the
            SSMLL papers; labels have one column a class, in the order of ``class_names``. 'text': the official
            lists ``ImageList/{Train,Test}Imagelist.txt`` and ``Labels_<concept>_{Train,Test}.txt``.
        img_dir: Directory of the images, below ``data_root``.
        label_dir: Directory of the 81 official label files, below ``data_root``.
        **base_options: The keys of :class:`SemiMultiLabelDataset`; ``class_names`` may choose some of the
            concepts where ``layout`` is 'text'.

    Raises:
        ConfigError: An unknown ``subset`` or ``layout``.
        DataError: Lists and labels that don't match, or labels of other values than 0 and 1.
    """

    METAINFO = dict(classes=NUSWIDE_CLASSES)

    def __init__(
        self,
        subset: str = 'train',
        layout: str = 'numpy',
        img_dir: str = 'Flickr',
        label_dir: str = 'TrainTestLabels',
        **base_options: Any,
    ) -> None:
        for key, value, known in (('layout', layout, SUBSETS), ('subset', subset, SUBSETS['numpy'])):
            if value not in known:
                raise ConfigError(f"{key}: found '{value}', expected one of {', '.join(known)}.{nearest(value, known)}")
        self.subset = subset
        self.layout = layout
        self.img_dir = img_dir
        self.label_dir = label_dir
        super().__init__(**base_options)

    def load_images(self) -> list[ImageRecord]:
        """One record for each line of the list."""
        part = SUBSETS[self.layout][self.subset]
        source, names, labels = self._read_arrays(part) if self.layout == 'numpy' else self._read_lists(part)
        image_ids = [posixpath.normpath(name.replace('\\', '/')) for name in names]
        refuse_doubled_ids(image_ids, source)
        return [
            ImageRecord(image_id, self.image_path(self.img_dir, image_id, source), row)
            for image_id, row in zip(image_ids, labels, strict=True)
        ]

    def _read_arrays(self, part: str) -> tuple[str, list[str], np.ndarray]:
        source = self.in_root(f'formatted_{part}_images.npy')
        names = self._read_array(source, "the image names (layout='text' reads the official lists)")
        if names.ndim != 1 or names.dtype.kind not in 'US':
            raise DataError(
                f'{source}: found an array of shape {names.shape} and type {names.dtype}, expected one of n image '
                f'names; give the images file.'
            )
        path = self.in_root(f'formatted_{part}_labels.npy')
        labels = self._read_array(path, 'the labels')
        expected = (len(names), len(self.class_names))
        if labels.shape != expected:
            raise DataError(
                f'{path}: found labels of shape {labels.shape}, expected {expected} for the images of {source} and '
                f'the class names; correct class_names or take both files from one place.'
            )
        strange = np.argwhere((labels != 0) & (labels != 1) & (labels != -1))
        if len(strange):
            row, column = strange[0]
            raise DataError(
                f"{path}: found the label {labels[row, column]} of image '{names[row]}' in column {column}, expected "
                f'0, 1 or -1 (unknown); write the labels again.'
            )
        return source, names.astype(str).tolist(), labels.astype(np.int8)

    def _read_array(self, path: str, content: str) -> np.ndarray:
        expected = f'a numpy file with {content}'
        stream = io.BytesIO(self.read_bytes(path, expected))
        try:
            return read_array(stream)
        except ValueError as error:
            raise DataError(
                f'{path}: found no readable array ({error}), expected {expected}; write it '
                f'with numpy.save, names as strings and not as objects.'
            ) from error

    def _read_lists(self, part: str) -> tuple[str, list[str], np.ndarray]:
        source = self.in_root('ImageList', f'{part}Imagelist.txt')
        lines = self.read_text(source, "an image list of NUS-WIDE (layout='numpy' reads numpy files)").splitlines()
        names = [line.strip() for line in lines if line.strip()]
        labels = np.empty((len(names), len(self.class_names)), dtype=np.int8)
        for index, name in enumerate(self.class_names):
            labels[:, index] = self._read_column(name, part, source, len(names))
        return source, names, labels

    def _read_column(self, class_name: str, part: str, source: str, num_images: int) -> np.ndarray:
        path = self.in_root(self.label_dir, f'Labels_{plain_name(class_name)}_{part}.txt')
        values = self.read_text(path, f"the labels of class '{class_name}', one 0 or 1 a line").split()
        strange = set(values) - {'0', '1'}
        if strange:
            line = next(index for index, value in enumerate(values, 1) if value in strange)
            raise DataError(f"{path}: found '{values[line - 1]}' as label {line}, expected 0 or 1; restore the file.")
        if len(values) != num_images:
            raise DataError(
                f'{path}: found {len(values)} labels, expected {num_images}, one for each image of {source}; take '
                f'both from one download.'
            )
        return np.array(values, dtype='U1') == '1'
