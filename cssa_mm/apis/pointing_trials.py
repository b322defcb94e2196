"""The trials of the pointing game: images with boxes, whether each map hits them, and some of them to be drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cssa_mm.apis.browsing import choose
from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.errors import DataError
from cssa_mm.evaluation.pointing_game import Boxes, chance, hits
from cssa_mm.features.class_maps import class_maps
from cssa_mm.features.view import model_view
from cssa_mm.models import CSSAClassifier
from cssa_mm.visualization.pointing_figure import PointingTrial

# What is compared, in the order of the table.
METHODS = {
    'shown': 'the map that explain draws, its peak at the true centre of its cell',
    'attention': "the model's label attention",
    'cosine': 'cosine of each position with the zero-shot text',
    'dot': 'the same without normalising the positions',
    'random': 'a random cell',
    'centre': 'the centre of the image',
}
# Those with a map, as the picture calls them.
MAPS = {
    'shown': 'map that is shown',
    'attention': 'label attention',
    'cosine': 'cosine map of CLIP',
    'dot': 'dot-product map of CLIP',
}
PHOTOS = 6


def images_with_boxes(dataset: SemiMultiLabelDataset) -> tuple[np.ndarray, list[Boxes], list[tuple[float, float]]]:
    """The indices of the images that have boxes, the boxes of each by class, and each one's width and height.

    Raises:
        ConfigError: the annotations of such a data set hold no boxes.
        DataError: no image has a box.
    """
    boxes, sizes = zip(*dataset.boxes(), strict=True)
    chosen = np.flatnonzero([len(of_image) > 0 for of_image in boxes])
    if not len(chosen):
        raise DataError(
            f'{dataset.in_root(dataset.ann_file)}: found no box in the annotations of {len(dataset)} images, expected '
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
        count, _, height, width = maps['dot'].values.shape
        rows = slice(start, start + count)
        start += count
        for name, found in maps.items():
            centres = found.rows, found.columns
            results[name].append(hits(found.values, boxes[rows], sizes[rows], tolerance, centres))
        for name, grid in (('random', (height, width)), ('centre', (1, 1))):
            results[name].append(chance(boxes[rows], sizes[rows], len(model.class_names), grid, tolerance))
    return {name: np.concatenate(parts) for name, parts in results.items()}


def example_trials(
    model: CSSAClassifier,
    dataset: SemiMultiLabelDataset,
    indices: Sequence[int] | np.ndarray,
    boxes: Sequence[Boxes],
    sizes: Sequence[tuple[float, float]],
    found: Mapping[str, np.ndarray],
    seed: int,
) -> list[PointingTrial]:
    """Up to `PHOTOS` trials, drawn by the seed: half of them hits of the map that is shown if there are enough.

    Args:
        model: the model whose maps are shown.
        dataset: the test set.
        indices: the n images in it.
        boxes: of the n images.
        sizes: width and height (n, 2), in the pixels of the boxes.
        found: hits (n, C) of each of `METHODS`, nan where there is no trial.
        seed: of the draw.
    """
    hit = found['shown'].ravel()
    flat = choose(np.flatnonzero(hit >= 0.5), np.flatnonzero(hit < 0.5), PHOTOS, np.random.default_rng(seed))
    rows, classes = np.unravel_index(flat, found['shown'].shape)
    (maps,) = class_maps(model, dataset, [indices[row] for row in rows], 'Picture')  # so few are one batch
    trials = []
    for number, (row, c) in enumerate(zip(rows, classes, strict=True)):
        path = dataset.img_paths[indices[row]]
        trials.append(
            PointingTrial(
                image_id=dataset.image_ids[indices[row]],
                image=model_view(model).decode(dataset.read_bytes(path, 'an image'), path),
                class_name=model.class_names[c],
                boxes=boxes[row][c] / np.tile(sizes[row], 2),
                maps={title: maps[name].of(number, c) for name, title in MAPS.items()},
                is_hit={title: bool(found[name][row, c] >= 0.5) for name, title in MAPS.items()},
            )
        )
    return trials
