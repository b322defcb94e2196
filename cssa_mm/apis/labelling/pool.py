"""The photos that wait for a label: those of a folder, or of the training set of a config, but the labelled ones."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mmengine.config import Config
from mmpretrain.registry import DATASETS

from cssa_mm.apis.config import is_photo_folder, load_config
from cssa_mm.apis.predicting.sources import ImageList, Images, find_images, natural
from cssa_mm.datasets.discovery import LocalFiles, label_files
from cssa_mm.datasets.readers import read_labels
from cssa_mm.datasets.readers.matching.joining import images_of
from cssa_mm.datasets.readers.source import LabelSource, ReadOptions
from cssa_mm.datasets.table import TableDataset
from cssa_mm.errors import ConfigError, DataError
from cssa_mm.files import shipped_config

LABELS = 'labels.csv'


@dataclass(frozen=True)
class Pool:
    """Photos without a label.

    Attributes:
        images: the photos, named as `labels.csv` would name them.
        labelled: the number of photos that have labels.
        config: the config whose training set it is; None where nothing is labelled.
        labels: where answers belong: the label file, or the place of `labels.csv` where there is none.
        notes: what to know.
    """

    images: ImageList
    labelled: int = 0
    config: Config | None = None
    labels: str = LABELS
    notes: list[str] = field(default_factory=list)


def pool_of(
    images: Images | Config,
    *,
    labels: str | None = None,
    data_root: str | os.PathLike | None = None,
    tower: str | os.PathLike | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Pool:
    """Find the photos that wait for a label.

    A folder with a label file is read as for training: test and validation photos are left out. Sub-folders alone are
    albums, not classes.

    Args:
        images: a folder of photos, or what else `find_images` takes, where nothing is labelled; or a config.
        labels: the label file, where a folder has several, or it lies elsewhere.
        data_root: of a config.
        tower: of the config; see `load_config`.
        overrides: of the config.

    Raises:
        DataError: every photo is labelled, there is none, or the labels cannot be read.
        ConfigError: the config is wrong.
    """
    folder, is_config = '', isinstance(images, Config)
    if isinstance(images, str | os.PathLike):
        if is_photo_folder(images):
            folder = os.path.expanduser(os.fspath(images))
        is_config = not folder and _is_config(images)
    if is_config or folder and (labels is not None or label_files(folder)['train']):
        given = dict(overrides or {})
        if labels is not None:
            given = {'train_dataloader.dataset.ann_file': _label_file(labels, data_root or folder)} | given
        return _of_config(load_config(images, overrides=given, data_root=data_root, tower=tower), images)
    for name, value in (('labels', labels), ('data_root', data_root), ('cfg_options', overrides)):
        if value:
            raise ConfigError(
                f'{name}: found it for photos that are neither a config nor a folder with a label file, expected it '
                'for those alone; leave it out, or give the folder'
            )
    return _of_folder(folder) if folder else Pool(find_images(images))


def _is_config(images: str | os.PathLike) -> bool:
    return str(images).endswith('.py') or shipped_config(images) is not None


def _label_file(labels: str, root: str | os.PathLike) -> str:
    """A label file as the data set wants it: below the data root, or as an absolute path."""
    path = os.path.expanduser(labels)
    return path if os.path.exists(os.path.join(root, path)) else os.path.abspath(path)


def _of_folder(folder: str) -> Pool:
    """All photos of a folder but those of test and validation tables, by the names that a table in it gives them."""
    files, path = LocalFiles(folder), os.path.join(folder, LABELS)
    found = LabelSource(files, path).images
    if not found.image_ids:
        return Pool(find_images(folder), labels=path)  # which says what it found
    held_out: set[str] = set()
    for name in (name for part, names in label_files(folder).items() if part != 'train' for name in names):
        table = read_labels(LabelSource(files, os.path.join(folder, name)), ReadOptions())
        held_out.update(images_of(table, table.folder or found))
    names = sorted(found.image_ids.keys() - held_out, key=natural)
    if not names:
        raise DataError(f'{folder}: found no photo that no test or validation table lists, expected some; add photos')
    left_out = {reason: len(others) for reason, others in found.left_out.items()}
    images = ImageList(folder, found.root, names, [found.path_of(name) for name in names], left_out)
    return Pool(images, labels=path, notes=_left_out(left_out))


def _of_config(config: Config, images: Images | Config) -> Pool:
    data = DATASETS.build(config.train_dataloader.dataset)
    source = getattr(data, 'data_root', '') or str(images)
    ids, paths = data.image_ids, data.img_paths
    if not len(data.unlabelled_indices):
        raise DataError(
            f'{source}: found no unlabelled photo ({len(ids):,} of {len(ids):,} are labelled), expected some to choose '
            'from; add photos, or train with the labels that are there'
        )
    rows = sorted(data.unlabelled_indices.tolist(), key=lambda row: natural(str(ids[row])))
    chosen = [os.path.abspath(paths[row]) for row in rows]
    found, place = find_images(chosen), LABELS
    if isinstance(data, TableDataset):  # whose ids are the names of the table
        root = os.path.commonpath([os.path.dirname(path) for path in chosen])
        found = ImageList(source, root, [ids[row] for row in rows], [os.path.relpath(path, root) for path in chosen])
        place = data.in_root(data.ann_file)
    left_out = data.understanding.left_out if data.understanding else {}
    notes = _left_out({reason: len(others) for reason, others in left_out.items()})
    return Pool(found, len(data.labelled_indices), config, place, notes)


def _left_out(reasons: Mapping[str, int]) -> list[str]:
    return [f'left out: {count:,} files {reason}' for reason, count in reasons.items()]
