"""Draw what training sees: weak and strong views of images with their known labels."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS

from cssa_mm.apis.config import load_config
from cssa_mm.apis.training import work_dir_of
from cssa_mm.datasets.base import UNKNOWN, SemiMultiLabelDataset
from cssa_mm.datasets.sample_key import SampleKey
from cssa_mm.datasets.views import paired_views
from cssa_mm.errors import ConfigError
from cssa_mm.features.view import scoring_pipeline, view_of
from cssa_mm.visualization.style import checked_picture
from cssa_mm.visualization.view_pairs import ViewPair, draw_view_pairs

NAMES_SHOWN = 6


@dataclass(frozen=True)
class BrowsingResult:
    """A picture of training images, and facts about their data set.

    Attributes:
        path: the picture.
        num_labelled: labelled training images.
        num_unlabelled: unlabelled training images.
        num_classes: C.
        weak: names of the transforms of the weak view.
        strong: names of the transforms of the strong view.
    """

    path: Path
    num_labelled: int
    num_unlabelled: int
    num_classes: int
    weak: tuple[str, ...]
    strong: tuple[str, ...]

    def text(self) -> str:
        """The result in four lines."""
        counts = f'{self.num_labelled} labelled and {self.num_unlabelled} unlabelled training images'
        return (
            f'{counts}, {self.num_classes} classes\nweak:   {", ".join(self.weak)}\nstrong: {", ".join(self.strong)}\n'
            f'picture: {self.path}'
        )


def browse(
    *,
    config: str | os.PathLike | Config,
    out: str | os.PathLike | None = None,
    num: int = 12,
    data_root: str | os.PathLike | None = None,
    overrides: Mapping[str, object] | None = None,
    tower: str | os.PathLike | None = None,
) -> BrowsingResult:
    """Draw training images in both views, half of them labelled if there are enough.

    The weak view is the one that is scored for pseudo-labels, the strong one what training sees. The config's seed
    chooses the images and their augmentation.

    Args:
        config: a config file, or a shipped config by its name.
        out: picture to write; `browse_data.png` in the config's work directory by default.
        num: images to show.
        data_root: directory of the data.
        overrides: dotted key -> value, as `--cfg-options` takes them.
        tower: the tower in place of the config's: `NAME:TAG`, `NAME:PATH` (see `load_config`).

    Raises:
        ConfigError: the config has no training data, `num` is below 1, or `out` is not the name of a picture.
        DataError: images, annotations or class names are missing or don't fit.

    Examples:
        >>> from cssa_mm.apis.browsing import browse
        >>> browse(config='cssa_demo', num=4).path  # doctest: +SKIP
        PosixPath('work_dirs/cssa_demo/browse_data.png')
    """
    if num < 1:
        raise ConfigError(f'--num: found {num}, expected 1 or more images; give a larger number')
    settings = load_config(config, overrides=overrides, data_root=data_root, tower=tower)
    path = checked_picture(out or Path(work_dir_of(settings, None), 'browse_data.png'))
    init_default_scope(settings.default_scope)
    weak, strong = view_pipelines(settings)
    dataset = DATASETS.build(settings.train_dataloader.dataset)
    pairs = view_pairs(dataset, weak, strong, num, settings.randomness.get('seed') or 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    draw_view_pairs(pairs, path)
    return BrowsingResult(
        path=path,
        num_labelled=len(dataset.labelled_indices),
        num_unlabelled=len(dataset.unlabelled_indices),
        num_classes=len(dataset.class_names),
        weak=tuple(step['type'] for step in weak),
        strong=tuple(step['type'] for step in strong),
    )


def view_pipelines(config: Config) -> tuple[list[dict], list[dict]]:
    """The pipelines of the weak view, scored for pseudo-labels, and of the strong one, as the runner will have them."""
    if not config.get('train_dataloader'):
        raise ConfigError(
            'config: found no train_dataloader, expected the data that training reads; take a training config'
        )
    return scoring_pipeline(view_of(config)), config.train_dataloader.dataset.pipeline


def view_pairs(
    dataset: SemiMultiLabelDataset, weak: list[dict], strong: list[dict], num: int, seed: int
) -> list[ViewPair]:
    """Up to `num` images in both views, the labelled ones first."""
    rng = np.random.default_rng(seed)
    data = dataset.with_pipeline(paired_views(weak, strong))
    result = []
    for index in choose(dataset.labelled_indices, dataset.unlabelled_indices, num, rng):
        item = data[SampleKey(int(index), int(rng.integers(2**31)))]
        is_labelled = bool(dataset.is_labelled[index])
        known = describe_labels(dataset.labels[index], dataset.class_names)
        first, second = item['img']
        result.append(ViewPair(dataset.image_ids[index], first, second, is_labelled, known))
    return result


def choose(labelled: np.ndarray, unlabelled: np.ndarray, num: int, rng: np.random.Generator) -> np.ndarray:
    """`num` indices: half labelled, half unlabelled, or more of one kind if the other has too few."""
    num_labelled = min(len(labelled), max(num - num // 2, num - len(unlabelled)))
    num_unlabelled = min(len(unlabelled), num - num_labelled)
    return np.concatenate([rng.permutation(labelled)[:num_labelled], rng.permutation(unlabelled)[:num_unlabelled]])


def describe_labels(labels: np.ndarray, class_names: list[str]) -> str:
    """What training knows of an image with labels (C,): its classes, and its unknown cells (-1)."""
    positives, unknown = ([class_names[c] for c in np.flatnonzero(labels == value)] for value in (1, UNKNOWN))
    if len(unknown) == len(class_names):
        return f'all {len(unknown)} cells -1'
    text = _listed(positives) or 'none of the classes'
    return f'{text} | unknown (-1): {_listed(unknown)}' if unknown else text


def _listed(names: list[str]) -> str:
    return ', '.join(names[:NAMES_SHOWN]) + (f', {len(names) - NAMES_SHOWN} more' if len(names) > NAMES_SHOWN else '')
