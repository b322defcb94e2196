"""`model.json`: which model predicted, and how labels were chosen from its scores."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cssa_mm.apis.chosen_labels import LabelChoice
from cssa_mm.apis.predicting.rows import PredictedImage, count
from cssa_mm.apis.predicting.writers.streams import refused_in_one_line, zero_shot_names
from cssa_mm.files import write_json


def write_model(rows: Iterable[PredictedImage], facts: Mapping[str, Any], path: Path, *, choice: LabelChoice) -> None:
    """Write the facts of the model, how labels were chosen, and for each class its threshold and number of images.

    `choice` holds the thresholds in force (`thresholds`), `top`, what they are in words (`how`), and whether they are
    those of the user (`is_overridden`); `thresholds` of the facts stay those that came with the model. A class has no
    threshold (null) where the best labels of each image count.

    Args:
        rows: the images, which are counted.
        facts: those of the model.
        path: the file.
        choice: how labels were chosen.

    Raises:
        ConfigError: it cannot be written.
    """
    counts = count(rows)
    content = dict(facts) | dict(
        choice=dict(
            how=choice.describe(),
            is_overridden=choice.top is not None or choice.thresholds.rule == 'given',
            top=choice.top,
            thresholds=choice.thresholds.to_dict(),
        ),
        classes=[
            _class_facts(choice, column, name, counts.labels[name], name in zero_shot_names(facts))
            for column, name in enumerate(facts['class_names'])
        ],
        images=counts.images,
        images_without_label=counts.without_label,
    )
    with refused_in_one_line(path):
        write_json(path, content)


def _class_facts(choice: LabelChoice, column: int, name: str, images: int, is_zero_shot: bool) -> dict[str, Any]:
    thresholds = choice.thresholds
    value = math.nan if choice.top is not None else thresholds.values[column]
    return dict(
        name=name,
        threshold=None if math.isnan(value) else value,
        rule='top' if choice.top is not None else thresholds.rule,
        positives=thresholds.positives[column] if thresholds.positives else None,
        source=thresholds.sources[column] if thresholds.sources else None,
        is_zero_shot=is_zero_shot,
        images=images,
    )
