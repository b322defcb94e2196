"""A practitioner's folder for each seed of a study: photos drawn from a data set, few of them in a label table."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
from mmpretrain.registry import DATASETS

from cssa_mm.apis.config import load_config
from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.datasets.images.image_copies import flat_names
from cssa_mm.datasets.table_writer import Table, write_tables
from cssa_mm.errors import DataError
from cssa_mm.files import new_folder
from cssa_mm.studies.spec import Study

PARTS = ('images', 'labels.csv', 'test.csv', 'classes.txt')


def draw_folder(
    study: Study, seed: int, data_root: str | os.PathLike | None, validation: float | None, out: Path
) -> Path:
    """Write the folder of a seed, as `cssa check` reads it: images, labels.csv, test.csv and classes.txt.

    The first `photos` of RandomState(seed).permutation are the folder's, and the first `labelled` of these its labels.
    The classes are those with at least `min_positives` in the training and the test set of the source; whatever else a
    photo shows is not mentioned.

    Args:
        study: with `own_photos=dict(source, photos, labelled)`.
        seed: of the draw.
        data_root: directory of the source.
        validation: test on this share of the source's training images, which no folder has (see `run_study`).
        out: the folder, whose earlier content is replaced.

    Raises:
        DataError: the source is missing, or has too few photos.
    """
    options = study.own_photos or {}
    train, test = _source(options['source'], data_root, validation)
    if len(train) <= options['photos']:
        raise DataError(
            f'own_photos: found {len(train)} training images in {train.data_root}, expected more than '
            f'{options["photos"]}, the number to draw; use another data root'
        )
    drawn = np.random.RandomState(seed).permutation(len(train))[: options['photos']]
    counts = np.minimum((train.labels == 1).sum(0), (test.labels == 1).sum(0))
    kept = np.flatnonzero(counts >= study.min_positives)
    paths = [*(train.img_paths[index] for index in drawn), *test.img_paths]
    names = flat_names(paths)
    labelled = options['labelled']
    tables = {
        'labels.csv': Table('images', names[:labelled], train.labels[drawn[:labelled]][:, kept]),
        'test.csv': Table('images', names[len(drawn) :], test.labels[:, kept]),
    }
    with new_folder(out, replaces=True, parts=PARTS) as partial:
        for path, name in zip(paths, names, strict=True):
            target = partial / 'images' / name
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                target.symlink_to(os.path.realpath(path))
            except OSError:  # on Windows it is a right of its own
                shutil.copy2(path, target)
        write_tables(partial, [train.class_names[index] for index in kept], tables)
    return out


def _source(
    config: str, data_root: str | os.PathLike | None, validation: float | None
) -> tuple[SemiMultiLabelDataset, SemiMultiLabelDataset]:
    """Training and test set of a config with all their labels."""
    found = load_config(config, data_root=data_root)
    train = dict(found.train_dataloader.dataset, split=None, pipeline=[])
    test = dict(found.test_dataloader.dataset, pipeline=[])
    if validation is not None:
        train['validation'] = dict(proportion=validation, seed=0)
        test = train | dict(part='validation', test_mode=True)
    return DATASETS.build(train), DATASETS.build(test)
