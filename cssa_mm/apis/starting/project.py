"""What stands in a folder of photos: images, labels of any form, class names."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config
from mmpretrain.registry import DATASETS

from cssa_mm.apis.config import load_config
from cssa_mm.apis.predicting.sources import find_images
from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.datasets.discovery import discover, label_files
from cssa_mm.errors import ConfigError, DataError
from cssa_mm.files import write_text
from cssa_mm.models.class_names import given_classes, resolve_classes

CLASSES = 'classes.txt'
CONFIG = 'cssa_table'


@dataclass(frozen=True)
class Project:
    """A folder of photos.

    Attributes:
        folder: of the photos.
        images: how many photos can be trained on or labelled, without those of a test set.
        class_names: C names.
        positives: class name -> labelled photos that show it.
        labelled: how many photos are labelled.
        tested: how many photos with labels are held out for a test.
        labels: the label file, relative to the folder; '' without labels.
        form: the form of the labels, as `check` calls it; '' without labels.
        digest: a hash of the labels, by which changed labels are seen; '' without labels.
    """

    folder: Path
    images: int
    class_names: tuple[str, ...]
    positives: dict[str, int] = field(default_factory=dict)
    labelled: int = 0
    tested: int = 0
    labels: str = ''
    form: str = ''
    digest: str = ''

    @property
    def can_train(self) -> bool:
        """Whether a class has a labelled photo that shows it."""
        return any(self.positives.values())

    def text(self) -> str:
        """What was found, in a line or two."""
        if not self.labelled:
            return (
                f'{self.folder}: {self.images:,} photos without labels, {len(self.class_names)} classes: '
                f'{_some(self.class_names)}'
            )
        counts = [f'{name} {count:,}' for name, count in sorted(self.positives.items(), key=lambda item: -item[1])]
        test = f', and {self.tested:,} photos with test labels' if self.tested else ''
        return (
            f'{self.folder}: {self.images:,} photos, {self.labelled:,} of them labelled ({self.form}){test}\n'
            f'labelled photos of the {len(self.class_names)} classes: {_some(counts)}'
        )


def open_project(
    folder: str | os.PathLike, *, classes: str | Sequence[str] | None = None, labels: str | None = None
) -> Project:
    """Look at a folder of photos.

    Args:
        folder: of the photos, with or without labels of any form.
        classes: names of the classes, or a text with commas between them, where nothing is labelled yet; they are
            written to `classes.txt`. By default those of the labels or of a class file in the folder.
        labels: the label file, where there are several.

    Raises:
        ConfigError: there are neither labels nor class names, or other class names than those that are known.
        DataError: there is no photo, or the labels cannot be read.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise DataError(f"start: found no folder '{folder}', expected a folder of photos")
    names = None if classes is None else _names(classes)
    if labels is not None or label_files(str(folder))['train']:
        return _labelled_project(folder, names, labels)
    if names is None and not _class_file(folder) and _has_class_folders(folder):
        return _labelled_project(folder, None, None)
    images = find_images(folder)
    if names is None and _class_file(folder) is None:
        raise ConfigError(
            f"start: found neither labels nor class names in '{folder}' ({len(images):,} photos), expected the names "
            "of what the photos can show; give them: --classes 'dog, cat, person'"
        )
    known = None if _class_file(folder) is None else tuple(resolve_classes(str(_class_file(folder))).names)
    if names is not None and known is not None and set(names) != set(known):
        raise ConfigError(
            f"classes: found other names than those of '{_class_file(folder)}' ({_difference(names, known)}), expected "
            'the same; leave --classes out, or change the file'
        )
    if known is None and names is not None:
        write_text(folder / CLASSES, '\n'.join(names) + '\n')
    return Project(folder, len(images), known or names or ())


def has_class_names(folder: Path) -> bool:
    """Whether the classes of a folder of photos are known: by labels, by a class file, or by folders of photos."""
    if not folder.is_dir():
        return False
    return bool(label_files(str(folder))['train']) or _class_file(folder) is not None or _has_class_folders(folder)


def _labelled_project(folder: Path, names: tuple[str, ...] | None, labels: str | None) -> Project:
    overrides = {} if labels is None else {'train_dataloader.dataset.ann_file': labels}
    settings = load_config(CONFIG, data_root=folder, overrides=overrides)
    data = DATASETS.build(dict(settings.train_dataloader.dataset, pipeline=[]))
    if names is not None and set(names) != set(data.class_names):
        raise ConfigError(
            f"classes: found other names than the labels in '{folder}' have ({_difference(names, data.class_names)}), "
            f'expected the same; leave --classes out, or write all names to {folder / CLASSES}'
        )
    rows = data.labelled_indices
    positives = (data.labels[rows] == 1).sum(axis=0).tolist()
    return Project(
        folder=folder,
        images=len(data.image_ids),
        class_names=tuple(data.class_names),
        positives=dict(zip(data.class_names, positives, strict=True)),
        labelled=len(rows),
        tested=_test_images(settings),
        labels=data.ann_file,
        form=getattr(data.understanding, 'format', ''),
        digest=_digest(data),
    )


def _test_images(settings: Config) -> int:
    if settings.get('test_dataloader') is None:
        return 0
    return len(DATASETS.build(dict(settings.test_dataloader.dataset, pipeline=[])))


def _digest(data: SemiMultiLabelDataset) -> str:
    digest = hashlib.sha256('\0'.join(data.class_names).encode())
    for row in sorted(data.labelled_indices.tolist(), key=lambda row: str(data.image_ids[row])):
        digest.update(str(data.image_ids[row]).encode('utf-8', 'surrogatepass') + data.labels[row].tobytes())
    return digest.hexdigest()[:16]


def _has_class_folders(folder: Path) -> bool:
    try:
        discover(str(folder))
    except DataError:  # there is nothing that could be a label, which is what is asked
        return False
    return True


def _class_file(folder: Path) -> Path | None:
    paths = (folder / name for name in ('classes.csv', CLASSES))
    return next((path for path in paths if path.is_file()), None)


def _names(classes: str | Sequence[str]) -> tuple[str, ...]:
    names = classes.split(',') if isinstance(classes, str) else classes
    return tuple(given_classes([name.strip() for name in names], 'classes').names)


def _difference(given: Sequence[str], known: Sequence[str]) -> str:
    """In words: which names only one of two lists has."""
    more = [name for name in given if name not in set(known)]
    fewer = [name for name in known if name not in set(given)]
    said = [f'only in --classes: {_some(more)}'] if more else []
    return '; '.join(said + ([f'only there: {_some(fewer)}'] if fewer else []))


def _some(names: Sequence[str], most: int = 8) -> str:
    rest = len(names) - most
    return ', '.join(names[:most]) + (f' and {rest} more' if rest > 0 else '')
