"""The picture of a finished quickstart, from what its stages wrote."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from mmpretrain.registry import DATASETS

from cssa_mm.apis.config import load_config
from cssa_mm.apis.explaining import explain
from cssa_mm.apis.loading import load_model
from cssa_mm.demo.curves import pseudo_label_records, validation_curve
from cssa_mm.engine.latest import latest_checkpoint
from cssa_mm.visualization.explanation import Explanation
from cssa_mm.visualization.quickstart_figure import draw_quickstart

METHODS = dict(labelled_only='labelled-only', cssa='CSSA', cssa_plus='cssa_plus')
SCENES, LABELS = 4, 3


def draw_results(work_dir: Path, zero_shot: float) -> Path:
    """Write `quickstart.png` into the work directory; returns its path."""
    curves = {title: validation_curve(work_dir / key) for key, title in METHODS.items()}
    records = pseudo_label_records(work_dir / 'cssa')
    return draw_quickstart(curves, zero_shot, records, _scenes(work_dir / 'cssa'), work_dir / 'quickstart.png')


def _scenes(folder: Path) -> list[Explanation]:
    """Where a trained model looked for its best labels, in the first test scenes with enough labels."""
    config = load_config(folder / 'cssa_demo.py')  # as it was trained: the runner writes it there
    model = load_model(latest_checkpoint(folder) or folder)
    dataset = DATASETS.build(config.test_dataloader.dataset)
    counts = np.minimum((dataset.labels == 1).sum(1), LABELS)
    indices = np.argsort(-counts, kind='stable')[:SCENES]
    found = explain(model, [dataset.img_paths[index] for index in indices], top=LABELS)
    return [
        replace(
            each, is_true=tuple(bool(dataset.labels[index, model.class_names.index(name)] == 1) for name in each.names)
        )
        for index, each in zip(indices, found, strict=True)
    ]
