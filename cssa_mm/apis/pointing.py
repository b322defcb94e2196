"""Compare the map that is shown, label attention, plain CLIP and chance with the boxes of a config's test images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS

from cssa_mm.apis.config import load_config
from cssa_mm.apis.loading import load_model, untrained_model
from cssa_mm.apis.pointing_trials import MAPS, METHODS, example_trials, images_with_boxes, play
from cssa_mm.apis.training import work_dir_of
from cssa_mm.engine.config.data_parts import require_test_data
from cssa_mm.evaluation.pointing_game import wilson_interval
from cssa_mm.evaluation.text_table import aligned
from cssa_mm.files import write_json
from cssa_mm.semi.statistics import check_same_classes
from cssa_mm.visualization.pointing_figure import draw_pointing_game

# Parts of all trials: where boxes fill most of the image everything hits, and where an image shows one class alone, a
# map that knows no class points as well as any.
SHARES = {'boxes up to 60 %': 0.6, 'boxes up to 30 %': 0.3}
SEVERAL = 'images of several classes'


@dataclass(frozen=True)
class PointingReport:
    """How often the maps of each method hit a box of their class.

    Attributes:
        classes: for each class with trials, for `all`, and for parts of all (`SHARES` of the image that boxes cover,
            and `SEVERAL`, images with boxes of two classes or more): the `count` of its trials, and for each of
            `METHODS` its `hit`, a share from 0 to 1, and the `interval` of it (Wilson, 95 %).
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
    """Do the maps of a model point at the object? With the EMA model of a checkpoint, or with the untrained one.

    Each pair of an image and a class that it has boxes of is one trial.

    Args:
        config: a config file, or a shipped config by its name, whose test set has boxes: in VOC or COCO form, or the
            demo's.
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
        ConfigError: the annotations of the test set hold no boxes, or the model has no label attention.
        CheckpointError: the checkpoint is missing or was made for another model.
        DataError: no image has a box, or model and data set have different classes.

    Examples:
        >>> from cssa_mm.apis.pointing import pointing_game
        >>> report = pointing_game(config='cssa_voc_p05', data_root='VOC2012')  # doctest: +SKIP
        >>> report.classes['all']['shown']['hit']  # doctest: +SKIP
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
    has_box = np.isfinite(found['random'])
    too_large = found['random'] > max_box_share
    found = {name: np.where(too_large, np.nan, value) for name, value in found.items()}
    classes = _summary(found, has_box, model.class_names)
    if out:
        write_json(out, classes, indent=2)
    picture = None
    if classes:
        picture = Path(work_dir_of(settings, work_dir), 'pointing_game.png')
        trials = example_trials(model, dataset, chosen, boxes, sizes, found, settings.randomness.seed)
        shares = {title: classes['all'][name]['hit'] for name, title in MAPS.items()}
        draw_pointing_game(trials, shares, classes['all']['count'], picture)
    return PointingReport(classes, tuple(name for name in model.class_names if name not in classes), picture)


def _summary(found: Mapping[str, np.ndarray], has_box: np.ndarray, class_names: Sequence[str]) -> dict[str, dict]:
    """For each class with trials, `all` and its parts: how many, and by method hits and their interval."""
    kept = {name: has_box & (np.arange(len(class_names)) == index) for index, name in enumerate(class_names)}
    kept |= {'all': has_box} | {title: found['random'] <= share for title, share in SHARES.items()}
    kept[SEVERAL] = has_box & (has_box.sum(1) > 1)[:, None]
    report = {}
    for title, chosen in kept.items():
        chosen = chosen & np.isfinite(found['random'])
        count = int(chosen.sum())
        if count:
            report[title] = dict(count=count) | {
                name: dict(hit=rate, interval=wilson_interval(rate, count))
                for name in METHODS
                for rate in [float(found[name][chosen].mean())]
            }
    return report


def _cell(entry: Mapping) -> str:
    low, high = (100 * value for value in entry['interval'])
    return f'{100 * entry["hit"]:.1f} ({low:.0f}-{high:.0f})'
