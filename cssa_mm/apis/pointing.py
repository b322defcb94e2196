"""Label attention against boxes: the model's, plain CLIP's similarity and chance, on the test images of a config."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import torch
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint, set_random_seed
from mmpretrain.registry import DATASETS, MODELS

from cssa_mm.apis.browsing import choose
from cssa_mm.apis.config import load_config
from cssa_mm.datasets.transforms import decode_file
from cssa_mm.datasets.voc import VOCMultiLabelDataset
from cssa_mm.errors import CheckpointError, ConfigError, DataError
from cssa_mm.evaluation.pointing_game import Boxes, chance, hits, wilson_interval
from cssa_mm.evaluation.text_table import aligned
from cssa_mm.features.class_maps import class_maps
from cssa_mm.visualization.pointing_figure import PointingTrial, draw_pointing_game

# What is compared, in the order of the table.
METHODS = {
    'attention': "the model's label attention",
    'cosine': 'cosine of each position with the zero-shot text',
    'dot': 'the same, the positions not normalised',
    'random': 'a random cell',
    'centre': 'the centre of the image',
}
# Those with a map, as the picture calls them.
MAPS = {'attention': 'label attention', 'cosine': 'cosine map of CLIP', 'dot': 'dot-product map of CLIP'}
PHOTOS = 6


def pointing_game(args: argparse.Namespace) -> dict[str, dict]:
    """Play it with the EMA model of a checkpoint, or with the untrained one; prints and returns the shares of hits.

    A picture, `pointing_game.png` in the work directory, shows the maps of a few images.

    An image counts for a class of which it has boxes; every class of every image is one trial.

    Raises:
        ConfigError: the test set is not in VOC's layout, or the model has no label attention.
        CheckpointError: there is no such checkpoint.
        DataError: no image has a box.
    """
    if args.checkpoint != 'none' and not Path(args.checkpoint).is_file():
        raise CheckpointError(f"checkpoint: found no file '{args.checkpoint}', expected one of tools/train.py, or none")
    config = load_config(args.config, overrides=args.cfg_options, data_root=args.data_root)
    init_default_scope(config.default_scope)
    dataset = DATASETS.build(config.test_dataloader.dataset)
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
    boxes, sizes = [boxes[i] for i in chosen], [sizes[i] for i in chosen]
    set_random_seed(config.randomness.seed)  # as the Runner does: words may leave room for random vectors
    model = MODELS.build(config.model)
    if args.checkpoint != 'none':
        load_checkpoint(model, args.checkpoint, map_location='cpu')
    found = play(model, dataset, chosen, boxes, sizes, args.tolerance)
    # Where a box fills nearly all of the image, everything hits.
    too_large = found['random'] > args.max_box_share
    found = {name: np.where(too_large, np.nan, value) for name, value in found.items()}
    report = _summary(found, model.class_names)
    print(_format(report, model.class_names))
    if args.out:
        Path(args.out).parent.mkdir(parents=True, exist_ok=True)
        Path(args.out).write_text(json.dumps(report, indent=2) + '\n')
    if report:
        picture = Path(args.work_dir or Path('work_dirs', Path(args.config).stem), 'pointing_game.png')
        trials = example_trials(model, dataset, chosen, boxes, sizes, found, config.randomness.seed)
        shares = {title: report['all'][name]['hit'] for name, title in MAPS.items()}
        draw_pointing_game(trials, shares, report['all']['count'], picture)
        print(f'picture: {picture}')
    return report


def voc_boxes(dataset: VOCMultiLabelDataset, image_id: str) -> tuple[Boxes, tuple[float, float]]:
    """Boxes of an image by class, and its width and height, as its XML file has them; objects without box left out.

    Raises:
        DataError: the file has no size, or a number of a box is missing.
    """
    path = dataset.in_root('Annotations', f'{image_id}.xml')
    root = ElementTree.fromstring(dataset.read_text(path, 'the VOC annotation of an image'))
    boxes: dict[int, list] = {}
    for item in root.iter('object'):
        box = item.find('bndbox')
        if box is not None:
            left, top, right, bottom = (_number(box, key, path) for key in ('xmin', 'ymin', 'xmax', 'ymax'))
            # VOC counts pixels from 1, the last one included.
            corners = (left - 1, top - 1, right, bottom)
            boxes.setdefault(dataset.class_index.find(item.findtext('name', '').strip(), path), []).append(corners)
    size = (_number(root, 'size/width', path), _number(root, 'size/height', path))
    return {class_index: np.array(corners) for class_index, corners in boxes.items()}, size


def play(
    model: torch.nn.Module,
    dataset: object,
    indices: Sequence[int],
    boxes: Sequence[Boxes],
    sizes: Sequence[tuple[float, float]],
    tolerance: float = 0.0,
) -> dict[str, np.ndarray]:
    """Hits (n, C) of each of `METHODS` on n images, nan where one has no box of the class.

    Raises:
        ConfigError: the model aligns the global feature, or its positions are no square grid.
    """
    results: dict[str, list[np.ndarray]] = {name: [] for name in METHODS}
    start = 0
    for maps in class_maps(model, dataset, indices, 'Test images'):
        count, _, *shape = maps['dot'].shape
        rows = slice(start, start + count)
        start += count
        for name, grids in maps.items():
            results[name].append(hits(grids.numpy(), boxes[rows], sizes[rows], tolerance))
        for name, grid in (('random', tuple(shape)), ('centre', (1, 1))):
            results[name].append(chance(boxes[rows], sizes[rows], len(model.class_names), grid, tolerance))
    return {name: np.concatenate(parts) for name, parts in results.items()}


def example_trials(
    model: torch.nn.Module,
    dataset: VOCMultiLabelDataset,
    indices: Sequence[int],
    boxes: Sequence[Boxes],
    sizes: Sequence[tuple[float, float]],
    found: Mapping[str, np.ndarray],
    seed: int,
) -> list[PointingTrial]:
    """Up to `PHOTOS` trials, drawn by the seed: half of them hits of the label attention where there are as many.

    Args:
        model: whose maps are shown.
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
                image=decode_file(dataset.read_bytes(path, 'an image'), path),
                class_name=model.class_names[c],
                boxes=boxes[row][c] / np.tile(sizes[row], 2),
                maps={title: maps[name][number, c] for name, title in MAPS.items()},
                is_hit={title: bool(found[name][row, c] >= 0.5) for name, title in MAPS.items()},
            )
        )
    return trials


def _number(root: ElementTree.Element, key: str, path: str) -> float:
    text = root.findtext(key, '').strip()
    try:
        return float(text)
    except ValueError:
        raise DataError(f"{path}: found '{text}' as {key}, expected a number; correct the file.") from None


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


def _format(report: Mapping[str, Mapping], class_names: Sequence[str]) -> str:
    def cell(entry: Mapping) -> str:
        low, high = (100 * value for value in entry['interval'])
        return f'{100 * entry["hit"]:.1f} ({low:.0f}-{high:.0f})'

    rows = [['hits in per cent', 'n', *METHODS]]
    for title, entry in report.items():
        # The chance of a random cell is computed, not drawn: it has no interval.
        cells = [f'{100 * entry[name]["hit"]:.1f}' if name == 'random' else cell(entry[name]) for name in METHODS]
        rows.append([title, str(entry['count']), *cells])
    lines = [aligned(rows), *(f'{name}: {meaning}' for name, meaning in METHODS.items())]
    missing = [name for name in class_names if name not in report]
    lines.append('In brackets: 95 % interval (Wilson).')
    if missing:
        lines.append(f'Left out, without boxes: {", ".join(missing)}')
    return '\n'.join(lines)
