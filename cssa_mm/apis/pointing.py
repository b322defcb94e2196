"""Compare label attention, plain CLIP's similarity and chance with the boxes of a config's test images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS

from cssa_mm.apis.browsing import choose
from cssa_mm.apis.config import load_config
from cssa_mm.apis.loading import load_model, untrained_model
from cssa_mm.apis.training import work_dir_of
from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.datasets.voc import VOCMultiLabelDataset
from cssa_mm.datasets.voc_boxes import voc_boxes
from cssa_mm.engine.config.data_parts import require_test_data
from cssa_mm.errors import ConfigError, DataError
from cssa_mm.evaluation.pointing_game import Boxes, chance, hits, wilson_interval
from cssa_mm.evaluation.text_table import aligned
from cssa_mm.features.class_maps import class_maps
from cssa_mm.features.view import model_view
from cssa_mm.files import write_json
from cssa_mm.models import CSSAClassifier
from cssa_mm.semi.statistics import check_same_classes
from cssa_mm.visualization.pointing_figure import PointingTrial, draw_pointing_game

# What is compared, in the order of the table.
METHODS = {
    'attention': "the model's label attention",
    'cosine': 'cosine of each position with the zero-shot text',
    'dot': 'the same without normalising the positions',
    'random': 'a random cell',
    'centre': 'the centre of the image',
}
# Those with a map, as the picture calls them.
MAPS = {'attention': 'label attention', 'cosine': 'cosine map of CLIP', 'dot': 'dot-product map of CLIP'}
PHOTOS = 6


@dataclass(frozen=True)
class PointingReport:
    """How often the maps of each method hit a box of their class.

    Attributes:
        classes: for each class with trials, and `all`: the `count` of its trials, and for each of `METHODS` its `hit`,
            a share from 0 to 1, and the `interval` of it (Wilson, 95 %).
        left_out: classes without trials.
        picture: picture of a few images; None without trials.
    """

    classes: dict[str, dict]
    left_out: tuple[str, ...]
    picture: Path | None

    def text(self) -> str:
        """An aligned table, in per cent, and what its columns mean."""
        rows = [['hits in per cent', 'n', *METHODS]]
        for title, entry in self.classes.items():
            # The chance of a random cell is computed, not drawn: it has no interval.
            cells = [f'{100 * entry[name]["hit"]:.1f}' if name == 'random' else _cell(entry[name]) for name in METHODS]
            rows.append([title, str(entry['count']), *cells])
        lines = [aligned(rows), *(f'{name}: {meaning}' for name, meaning in METHODS.items())]
        lines.append('In brackets: 95 % interval (Wilson).')
        if self.left_out:
            lines.append(f'Left out, without trials: {", ".join(self.left_out)}')
        if self.picture:
            lines.append(f'picture: {self.picture}')
        return '\n'.join(lines)


def pointing_game(
    *,
    config: str | os.PathLike | Config,
    checkpoint: str | os.PathLike | None = None,
    tolerance: float = 0.0,
    max_box_share: float = 1.0,
    out: str | os.PathLike | None = None,
    work_dir: str | os.PathLike | None = None,
    data_root: str | os.PathLike | None = None,
    overrides: Mapping[str, object] | None = None,
    tower: str | os.PathLike | None = None,
    device: str | None = None,
) -> PointingReport:
    """Does the label attention point at the object? With the EMA model of a checkpoint, or with the untrained one.

    Each pair of an image and a class that it has boxes of is one trial.

    Args:
        config: a config file, or a shipped config by its name, whose test set is in VOC form.
        checkpoint: a checkpoint of a training; None takes the untrained model.
        tolerance: pixels by which a point may miss its box.
        max_box_share: leave out trials whose boxes cover more than this share of the grid; 1 keeps all.
        out: JSON file for the shares of hits.
        work_dir: directory of the picture; `work_dirs/NAME_OF_CONFIG` by default.
        data_root: directory of the data.
        overrides: dotted key -> value, as `--cfg-options` takes them.
        tower: the tower in place of the config's: `NAME:TAG`, `NAME:PATH` (see `load_config`).
        device: 'cpu', 'cuda' or 'mps'; by default the best one that this machine has.

    Raises:
        ConfigError: the test set is not in VOC form, or the model has no label attention.
        CheckpointError: the checkpoint is missing or was made for another model.
        DataError: no image has a box, or model and data set have different classes.

    Examples:
        >>> from cssa_mm.apis.pointing import pointing_game
        >>> report = pointing_game(config='cssa_voc_p05', data_root='VOC2012')  # doctest: +SKIP
        >>> report.classes['all']['attention']['hit']  # doctest: +SKIP
        0.74
    """
    settings = load_config(config, overrides=overrides, data_root=data_root, tower=tower)
    require_test_data(settings)
    init_default_scope(settings.default_scope)
    dataset = DATASETS.build(settings.test_dataloader.dataset)
    chosen, boxes, sizes = images_with_boxes(dataset)
    if checkpoint is None:
        model = untrained_model(settings, device=device)
    else:
        model = load_model(checkpoint, device=device)
        check_same_classes(model, dataset, 'test_dataloader.dataset')
    found = play(model, dataset, chosen, boxes, sizes, tolerance)
    # Where a box fills nearly all of the image, everything hits.
    too_large = found['random'] > max_box_share
    found = {name: np.where(too_large, np.nan, value) for name, value in found.items()}
    classes = _summary(found, model.class_names)
    if out:
        write_json(out, classes, indent=2)
    picture = None
    if classes:
        picture = Path(work_dir_of(settings, work_dir), 'pointing_game.png')
        trials = example_trials(model, dataset, chosen, boxes, sizes, found, settings.randomness.seed)
        shares = {title: classes['all'][name]['hit'] for name, title in MAPS.items()}
        draw_pointing_game(trials, shares, classes['all']['count'], picture)
    return PointingReport(classes, tuple(name for name in model.class_names if name not in classes), picture)


def images_with_boxes(dataset: SemiMultiLabelDataset) -> tuple[np.ndarray, list[Boxes], list[tuple[float, float]]]:
    """The indices of the images that have boxes, the boxes of each by class, and each one's width and height.

    Raises:
        ConfigError: the data set is not in VOC form.
        DataError: no image has a box.
    """
    if not isinstance(dataset, VOCMultiLabelDataset):
        raise ConfigError(
            f'test_dataloader.dataset: found a {type(dataset).__name__}, expected a VOCMultiLabelDataset, whose XML '
            'files hold the boxes; take a config such as configs/cssa_voc_p05.py'
        )
    boxes, sizes = zip(*(voc_boxes(dataset, image_id) for image_id in dataset.image_ids), strict=True)
    chosen = np.flatnonzero([len(of_image) > 0 for of_image in boxes])
    if not len(chosen):
        raise DataError(
            f'{dataset.in_root("Annotations")}: found no box (bndbox) in the files of {len(dataset)} images, expected '
            'some; take a data set with boxes'
        )
    return chosen, [boxes[i] for i in chosen], [sizes[i] for i in chosen]


def play(
    model: CSSAClassifier,
    dataset: SemiMultiLabelDataset,
    indices: Sequence[int] | np.ndarray,
    boxes: Sequence[Boxes],
    sizes: Sequence[tuple[float, float]],
    tolerance: float = 0.0,
) -> dict[str, np.ndarray]:
    """Hits (n, C) of each of `METHODS` on n images, nan where an image has no box of the class.

    Raises:
        ConfigError: the model aligns the global feature, or its positions are not a square grid.
    """
    results: dict[str, list[np.ndarray]] = {name: [] for name in METHODS}
    start = 0
    for maps in class_maps(model, dataset, indices, 'Test images'):
        count, _, height, width = maps['dot'].shape
        rows = slice(start, start + count)
        start += count
        for name, grids in maps.items():
            results[name].append(hits(grids.numpy(), boxes[rows], sizes[rows], tolerance))
        for name, grid in (('random', (height, width)), ('centre', (1, 1))):
            results[name].append(chance(boxes[rows], sizes[rows], len(model.class_names), grid, tolerance))
    return {name: np.concatenate(parts) for name, parts in results.items()}


def example_trials(
    model: CSSAClassifier,
    dataset: VOCMultiLabelDataset,
    indices: Sequence[int] | np.ndarray,
    boxes: Sequence[Boxes],
    sizes: Sequence[tuple[float, float]],
    found: Mapping[str, np.ndarray],
    seed: int,
) -> list[PointingTrial]:
    """Up to `PHOTOS` trials, drawn by the seed: half of them hits of the label attention if there are enough.

    Args:
        model: the model whose maps are shown.
        dataset: the test set.
        indices: the n images in it.
        boxes: of the n images.
        sizes: width and height (n, 2), in the pixels of the boxes.
        found: hits (n, C) of each of `METHODS`, nan where there is no trial.
        seed: of the draw.
    """
    hit = found['attention'].ravel()
    flat = choose(np.flatnonzero(hit >= 0.5), np.flatnonzero(hit < 0.5), PHOTOS, np.random.default_rng(seed))
    rows, classes = np.unravel_index(flat, found['attention'].shape)
    batches = list(class_maps(model, dataset, [indices[row] for row in rows], 'Picture'))
    maps = {name: torch.cat([batch[name] for batch in batches]) for name in MAPS}
    trials = []
    for number, (row, c) in enumerate(zip(rows, classes, strict=True)):
        path = dataset.img_paths[indices[row]]
        trials.append(
            PointingTrial(
                image_id=dataset.image_ids[indices[row]],
                image=model_view(model).decode(dataset.read_bytes(path, 'an image'), path),
                class_name=model.class_names[c],
                boxes=boxes[row][c] / np.tile(sizes[row], 2),
                maps={title: maps[name][number, c] for name, title in MAPS.items()},
                is_hit={title: bool(found[name][row, c] >= 0.5) for name, title in MAPS.items()},
            )
        )
    return trials


def _summary(found: Mapping[str, np.ndarray], class_names: Sequence[str]) -> dict[str, dict]:
    """For each class with trials, and `all`: how many, and of each method the share of hits and its interval."""
    columns = {name: slice(index, index + 1) for index, name in enumerate(class_names)} | {'all': slice(None)}
    report = {}
    for title, column in columns.items():
        count = int(np.isfinite(found['random'][:, column]).sum())
        if count:
            report[title] = dict(count=count) | {
                name: dict(hit=rate, interval=wilson_interval(rate, count))
                for name in METHODS
                for rate in [float(np.nanmean(found[name][:, column]))]
            }
    return report


def _cell(entry: Mapping) -> str:
    low, high = (100 * value for value in entry['interval'])
    return f'{100 * entry["hit"]:.1f} ({low:.0f}-{high:.0f})'
