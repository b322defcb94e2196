"""`analysis_tools/analyze_results`: the images whose labels a model gets right and wrong, with both in the picture.

The tool sorts by the highest score, which says nothing of several labels, and looks images up by an index that our
predictions don't hold: image ids and paths they do.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import mmcv
import numpy as np
from mmengine.config import Config

from cssa_mm.apis.config import load_config
from cssa_mm.apis.toolbox import predictions
from cssa_mm.datasets.building import build_dataset
from cssa_mm.errors import ConfigError, DataError
from cssa_mm.features.view import view_of
from cssa_mm.files import write_json
from cssa_mm.visualization.result_figure import result_figure
from cssa_mm.visualization.style import save_figure

TINY = 1e-7  # a score of exactly 0 or 1 has no logarithm


def run(tool: ModuleType) -> str:
    """The same arguments as the tool: `success` holds the images of the lowest loss, `fail` the most wrong ones."""
    options = tool.parse_args()
    if options.topk < 1 or (options.rescale_factor or 1) <= 0:
        raise ConfigError(f'--topk, -r: found {options.topk}, {options.rescale_factor}, expected numbers above 0')
    found = predictions.read(options.result)
    config = load_config(options.config, overrides=options.cfg_options)
    names = predictions.class_names(config, found.truth.shape[1])
    paths = image_paths(config, found)
    known = found.truth >= 0
    wrong = (known & (found.predicted != (found.truth == 1))).sum(axis=1)
    losses = mean_loss(found.scores, found.truth)
    order = {
        'success': [row for row in np.lexsort((losses,)) if not wrong[row] and known[row].any()],
        'fail': [row for row in np.lexsort((-losses, -wrong)) if wrong[row]],
    }
    lines = []
    for kind, rows in order.items():
        folder = Path(options.out_dir, kind)
        records = []
        for rank, row in enumerate(rows[: options.topk], 1):
            record = dict(
                image=paths[row],
                picture=f'{rank:03d}_{Path(paths[row]).stem}.png',
                wrong_labels=int(wrong[row]),
                loss=float(losses[row]),
                true=_names(names, found.truth[row] == 1),
                predicted=_names(names, found.predicted[row]),
                scores=dict(zip(names, np.round(found.scores[row], 6).tolist(), strict=True)),
            )
            _draw(config, record, names, found.predicted[row], found.truth[row], folder, options.rescale_factor)
            records.append(record)
        write_json(folder / f'{kind}.json', records)
        meaning = 'all known labels right, lowest loss first' if kind == 'success' else 'most wrong labels first'
        lines.append(f'{kind}: {len(records)} of {len(rows)} images ({meaning}) in {folder}')
    return '\n'.join(lines)


def mean_loss(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Cross-entropy (n,) of the scores (n, C), the mean of the known cells; nan where none is known."""
    clipped = np.clip(scores, TINY, 1 - TINY)
    cells = -np.log(np.where(truth == 1, clipped, 1 - clipped))
    known = truth >= 0
    with np.errstate(invalid='ignore'):
        return np.where(known, cells, 0).sum(axis=1) / known.sum(axis=1)


def image_paths(config: Config, found: predictions.Predictions) -> list[str]:
    """The paths of the predicted images: those that the predictions hold, or those of the config's test images.

    Raises:
        DataError: neither knows an image.
    """
    if all(path and Path(path).is_file() for path in found.paths):
        return found.paths
    data = build_dataset(config.test_dataloader.dataset, 'test_dataloader.dataset').read_annotations()
    known = dict(zip(map(str, data.image_ids), data.img_paths, strict=True))
    missing = [image_id for image_id in found.ids if image_id not in known]
    if missing:
        raise DataError(
            f"predictions: found the image '{missing[0]}', none of the {len(known)} test images of the config, "
            'expected predictions of these; give the config that they were predicted with'
        )
    return [known[image_id] for image_id in found.ids]


def _draw(
    config: Config,
    record: dict,
    names: Sequence[str],
    predicted: np.ndarray,
    truth: np.ndarray,
    folder: Path,
    factor: float | None,
) -> None:
    image = view_of(config).load(record['image'])  # before it is resized
    if factor is not None:
        image = mmcv.imrescale(image, factor)
    figure = result_figure(
        image,
        right=_names(names, predicted & (truth == 1)),
        missed=_names(names, ~predicted & (truth == 1)),
        added=_names(names, predicted & (truth == 0)),
        unknown=_names(names, predicted & (truth < 0)),
        note=f'{Path(record["image"]).name}: {record["wrong_labels"]} wrong, loss {record["loss"]:.3f}',
    )
    save_figure(figure, folder / record['picture'])


def _names(names: Sequence[str], chosen: np.ndarray) -> list[str]:
    return [name for name, is_chosen in zip(names, chosen, strict=True) if is_chosen]
