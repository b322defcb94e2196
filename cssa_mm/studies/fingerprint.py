"""Hashes of what decides a run's result: its settings, the code and the data. jobs.py states the rule."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from mmengine.config import Config
from mmpretrain.registry import DATASETS

from cssa_mm.datasets.base import SemiMultiLabelDataset
from cssa_mm.datasets.checks import refuse_missing_images
from cssa_mm.files import file_facts
from cssa_mm.models.class_names import resolve_classes


class Fingerprint(NamedTuple):
    """Three hashes; a result is kept as long as none of them changes."""

    settings: str
    code: str
    data: str

    def changes(self, result: Mapping) -> list[str]:
        """Which of the three differ from those that a result was written with."""
        return [name for name, value in self._asdict().items() if result.get(name) != value]


def settings_digest(config: Config, *more: object) -> str:
    """A hash of a resolved config and further values."""
    return _digest([config.to_dict(), *more])


class DataDigests:
    """Hashes of the content that configs read; content that several configs share is read once."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def of(self, config: Config) -> str:
        """A hash of training and test data, class names, and files of weights and words.

        Raises:
            DataError: images, annotations or class names are missing or broken.
        """
        model, words = config.model, resolve_classes(config.model.class_names)
        sections = [config[name].dataset for name in ('train_dataloader', 'test_dataloader')]
        files = [config.get('load_from'), model.backbone.get('pretrained'), model.backbone.get('config_dir')]
        vocabulary = ((model.get('head') or {}).get('centring') or {}).get('vocabulary')
        files.append(vocabulary if isinstance(vocabulary, str) else None)
        return _digest(
            [
                [self._dataset(dict(section)) for section in sections],
                list(words.names) if words.is_plain else [words.names, words.prompts],
                [self._file(path) for path in files if path],
            ]
        )

    def _dataset(self, section: dict) -> list[str]:
        """Hashes of the images with their labels and, beside them, of the split file."""
        # Drawn splits and wrong labels follow from settings and labels: they need no hash of their own.
        split = section.get('split')
        section |= dict(pipeline=[], lazy_init=True)
        key = _digest({name: value for name, value in section.items() if name not in ('split', 'wrong_labels')})
        if key not in self._known:
            self._known[key] = _content(DATASETS.build(section))
        if not isinstance(split, str | os.PathLike):
            return [self._known[key]]
        below = Path(section.get('data_root', ''), os.path.expanduser(split))
        return [self._known[key], self._file(below if below.is_file() else split)]

    def _file(self, path: str | os.PathLike) -> str:
        """The hash of a file, or of the JSON files of a directory; empty where the path names neither."""
        key = os.fspath(path)
        if key not in self._known:
            place = Path(key).expanduser()
            files = sorted(place.glob('*.json')) if place.is_dir() else [place] if place.is_file() else []
            self._known[key] = _digest([[file.name, hashlib.sha256(file.read_bytes()).hexdigest()] for file in files])
        return self._known[key]


def _content(dataset: SemiMultiLabelDataset) -> str:
    """A hash of classes, image ids and labels as they are read, and of the size and time of change of each image."""
    annotations = dataset.read_annotations()
    digest = hashlib.sha256(json.dumps(dataset.class_names).encode())
    is_local = dataset.is_local
    if is_local:
        refuse_missing_images(annotations.img_paths)
    for image_id, path, labels in zip(*annotations, strict=True):
        facts = file_facts(path) if is_local else path
        digest.update(f'{image_id}\n{facts}\n'.encode() + labels.tobytes())
    return digest.hexdigest()


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]
