"""`visualization/vis_tsne`: t-SNE of the features that the scores are read from.

The tool draws one point an image in the colour of its one label. An image of several labels has a feature for each of
them here: what the label attention pools for a class. So a point is a positive cell, an image and a class that it
shows, in the colour of the class. `--vis-stage backbone` draws the global feature of each image instead.
"""

from __future__ import annotations

import inspect
import os
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch.nn.functional as F
from sklearn.manifold import TSNE

from cssa_mm.apis.config import load_config
from cssa_mm.apis.toolbox.opening import opened
from cssa_mm.apis.training import work_dir_of
from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.datasets.building import build_dataset
from cssa_mm.engine.config.data_parts import require_test_data
from cssa_mm.errors import ConfigError
from cssa_mm.features.encode import encode
from cssa_mm.features.view import model_view
from cssa_mm.models import CSSAClassifier
from cssa_mm.semi.statistics import check_same_classes
from cssa_mm.visualization.scatter_figure import SEVERAL, draw_points
from cssa_mm.visualization.style import new_figure, save_figure

TITLES = dict(
    pre_logits='label-specific features: a point is an image and a class that it shows',
    backbone='global features: a point is an image',
)


def run(tool: ModuleType) -> str:
    """The same arguments as the tool, on the test images."""
    options = tool.parse_args()
    stage = options.vis_stage or 'pre_logits'
    if stage not in TITLES:
        raise ConfigError(
            f"--vis-stage: found '{stage}', which this model has not, expected one of {', '.join(TITLES)}"
        )
    config = load_config(options.config, overrides=options.cfg_options)
    require_test_data(config)
    model = opened(config, options.checkpoint, options.device)
    source = config if options.test_cfg is None else load_config(options.test_cfg)
    dataset = build_dataset(source.test_dataloader.dataset, 'test_dataloader.dataset')
    dataset.full_init()
    check_same_classes(model, dataset, 'test_dataloader.dataset')
    classes = chosen_classes(len(model.class_names), options.class_idx, options.max_num_class)
    cells = chosen_cells(dataset.labels, classes, options.max_num_samples)
    features, owners = stage_features(model, dataset, cells, stage)
    points = embedded(features, options, (config.get('randomness') or {}).get('seed') or 0)
    folder = Path(work_dir_of(config, options.work_dir), f'tsne_{time.strftime("%Y%m%d_%H%M%S")}')
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f'feat_{stage}.npy', features)
    np.save(folder / f'label_{stage}.npy', owners)
    size = (12, 10) if options.legend else (10, 10)
    figure = plt.figure(figsize=size, layout='constrained') if options.show else new_figure(*size)
    names = [model.class_names[c] for c in classes]
    places = np.array([classes.index(c) if c >= 0 else SEVERAL for c in owners])
    draw_points(figure, points, places, names, f't-SNE of {TITLES[stage]} ({len(points)} points)', options.legend)
    picture = save_figure(figure, folder / f'feat_{stage}.png')
    if options.show:
        plt.show()
        plt.close(figure)
    return f'{len(points)} points of {TITLES[stage]}\nSave features and results to {picture.parent}{os.sep}'


def chosen_classes(count: int, wanted: list[int] | None, most: int) -> list[int]:
    """The indices of the classes that are drawn.

    Raises:
        ConfigError: there is no such class.
    """
    wanted = list(range(count)) if wanted is None else wanted
    other = [index for index in wanted if not 0 <= index < count]
    if other:
        raise ConfigError(f'--class-idx: found {other[0]}, expected 0 to {count - 1}, the classes of the model')
    return list(dict.fromkeys(wanted))[:most]


def chosen_cells(labels: np.ndarray, classes: list[int], most: int) -> list[tuple[int, int]]:
    """The positive cells (image, class) of labels (n, C), at most `most` of a class: the first ones, as in the tool."""
    return sorted((int(row), c) for c in classes for row in np.flatnonzero(labels[:, c] == 1)[:most])


def stage_features(
    model: CSSAClassifier, dataset: SemiMultiLabelDataset, cells: list[tuple[int, int]], stage: str
) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, D) of the points and the class of each (n,); of an image with several of these classes, `SEVERAL`.

    Raises:
        ConfigError: there is no positive cell.
    """
    if not cells:
        raise ConfigError('--class-idx: found no test image that shows one of these classes, expected some')
    images = sorted({row for row, _ in cells})
    shown: dict[int, list[int]] = {row: [] for row in images}
    for row, c in cells:
        shown[row].append(c)
    features: list[np.ndarray] = []
    owners: list[int] = []
    rows = iter(images)
    for local, pooled in encode(model, dataset, images, model_view(model), 't-SNE'):
        specific = model.alignment_of(local, pooled).features.whole()
        for number in range(len(local)):
            classes = shown[next(rows)]
            if stage == 'backbone':
                features.append(F.normalize(pooled[number], dim=-1).cpu().numpy())
                owners.append(classes[0] if len(classes) == 1 else SEVERAL)
            else:
                features += list(specific[number, classes].float().cpu().numpy())
                owners += classes
    return np.stack(features), np.array(owners)


def embedded(features: np.ndarray, options: Any, seed: int) -> np.ndarray:
    """Points (n, d) of features (n, D) by t-SNE with the tool's options and a fixed seed.

    Raises:
        ConfigError: an option is invalid, or the points are too few for it.
    """
    steps = 'max_iter' if 'max_iter' in inspect.signature(TSNE).parameters else 'n_iter'
    if not 0 < options.perplexity < len(features):
        raise ConfigError(
            f'--perplexity: found {options.perplexity:g} for {len(features)} points, expected more than 0 and less '
            'than their number, such as a third of it'
        )
    try:
        return TSNE(
            n_components=options.n_components,
            perplexity=options.perplexity,
            early_exaggeration=options.early_exaggeration,
            learning_rate=options.learning_rate,
            n_iter_without_progress=options.n_iter_without_progress,
            init=options.init,
            random_state=seed,
            **{steps: options.n_iter},
        ).fit_transform(features)
    except ValueError as error:
        raise ConfigError(f'vis_tsne: {" ".join(str(error).split())}') from error
