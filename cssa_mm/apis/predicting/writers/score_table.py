"""`scores.parquet` and `scores.csv`: a row an image, its name and a score of each class."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cssa_mm.apis.predicting.rows import PredictedImage
from cssa_mm.apis.predicting.writers.streams import refused_in_one_line, text_file
from cssa_mm.datasets.label_forms import image_column_of
from cssa_mm.files import replacing

CELLS = 2_000_000  # scores of one row group, which is in memory as a whole
METADATA = b'cssa_mm'


def write_scores(rows: Iterable[PredictedImage], facts: Mapping[str, Any], path: Path, *, is_raw: bool = False) -> None:
    """Write Parquet: a column with the images' names, then float32 scores, a column a class of its name.

    What the scores rest on stands in the metadata of the file, as JSON under `cssa_mm`.

    Args:
        rows: the images.
        facts: those of the model.
        path: the file.
        is_raw: the scores before calibration, in place of the calibrated ones.

    Raises:
        ConfigError: it cannot be written.
    """
    class_names = list(facts['class_names'])
    image_column = image_column_of(class_names)
    says = dict(facts=dict(facts), scores='raw' if is_raw else 'calibrated', image_column=image_column)
    schema = pa.schema(
        [pa.field(image_column, pa.string()), *(pa.field(name, pa.float32()) for name in class_names)],
        metadata={METADATA: json.dumps(says, ensure_ascii=False)},
    )
    size = min(65_536, max(256, CELLS // max(1, len(class_names))))
    remaining = iter(rows)
    with refused_in_one_line(path), replacing(path) as partial, pq.ParquetWriter(partial, schema) as writer:
        while group := list(islice(remaining, size)):
            scores = np.stack([row.raw_scores if is_raw else row.scores for row in group])
            columns = [pa.array(np.ascontiguousarray(column), pa.float32()) for column in scores.T]
            names = pa.array([row.name for row in group], pa.string())
            writer.write_table(pa.Table.from_arrays([names, *columns], schema=schema))


def write_scores_csv(
    rows: Iterable[PredictedImage], facts: Mapping[str, Any], path: Path, *, is_raw: bool = False
) -> None:
    """Write the same as CSV, with the digits that give each float32 back.

    Raises:
        ConfigError: it cannot be written.
    """
    class_names = list(facts['class_names'])
    with text_file(path) as file:
        table = csv.writer(file, lineterminator='\n')
        table.writerow([image_column_of(class_names), *class_names])
        for row in rows:
            scores = np.asarray(row.raw_scores if is_raw else row.scores, np.float32)
            table.writerow([row.name, *map(str, scores)])
