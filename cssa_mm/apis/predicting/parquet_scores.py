"""A Parquet file of scores from anywhere: its footer is looked at before memory is taken."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cssa_mm.apis.predicting.writers.score_table import METADATA
from cssa_mm.archives import is_bomb
from cssa_mm.errors import DataError


class ScoreTable(NamedTuple):
    """C class names, n images, scores float32 (n, C), and what the metadata of the file says of them."""

    class_names: list[str]
    images: list[str]
    scores: np.ndarray
    says: dict[str, Any]


def read_score_table(path: Path) -> ScoreTable:
    """Read a column of texts, the images' names, and columns of scores.

    Raises:
        DataError: it is no Parquet, has other columns, or would unpack to far more than its size.
    """
    try:
        with pq.ParquetFile(path) as file:
            schema, says = file.schema_arrow, _says(file.schema_arrow)
            columns = _columns(path, schema, says)
            widths = sum(schema.field(name).type.bit_width // 8 for name in columns[1:])
            groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
            unpacked = sum(group.total_byte_size for group in groups)
            _require_room(path, max(unpacked, file.metadata.num_rows * widths))
        # One name may stand for every row, in few bytes: it is not repeated before that is known.
        with pq.ParquetFile(path, read_dictionary=columns[:1]) as file:
            names = file.read(columns[:1]).column(0)
            lengths = (pc.binary_length(chunk.dictionary).take(chunk.indices) for chunk in names.chunks)
            _require_room(path, sum(pc.sum(each).as_py() or 0 for each in lengths))
            table = file.read(columns[1:])
        scores = np.stack([table[name].to_numpy() for name in columns[1:]], axis=1).astype(np.float32)
        return ScoreTable(columns[1:], names.to_pylist(), scores, says)
    # KeyError: a name that is no Unicode is looked for by another one.
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise DataError(
            f'{path}: found no readable Parquet ({type(error).__name__}), expected scores; write it again.'
        ) from error


def _says(schema: pa.Schema) -> dict[str, Any]:
    says = json.loads((schema.metadata or {}).get(METADATA, b'{}'))
    if not isinstance(says, dict):
        raise ValueError('metadata that are no object')
    return says


def _columns(path: Path, schema: pa.Schema, says: Mapping[str, Any]) -> list[str]:
    """The column of the images' names, then those of scores."""
    texts = [name for name in schema.names if pa.types.is_string(schema.field(name).type)]
    column = says.get('image_column') or (texts[0] if texts else None)
    if column not in texts:
        raise DataError(f'{path}: found no column with the names of images, expected one of texts, such as image.')
    class_names = [name for name in schema.names if name != column]
    if not class_names or len(set(schema.names)) < len(schema.names):
        raise DataError(f'{path}: found the columns {schema.names}, expected one for each class; write it again.')
    for name in class_names:
        if not pa.types.is_floating(schema.field(name).type):
            raise DataError(
                f"{path}: found {schema.field(name).type} in the column '{name}', expected a column of scores "
                'for each class; leave other columns out.'
            )
    return [column, *class_names]


def _require_room(path: Path, unpacked: int) -> None:
    size = path.stat().st_size
    if is_bomb(size, unpacked):
        raise DataError(
            f'{path}: found {size:,} bytes that unpack to {unpacked:,}, expected scores, which do not shrink that '
            'much; write it again.'
        )
