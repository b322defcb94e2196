"""`predictions.csv` and `classes.txt`: the labels as a table of our own, which pandas and lightly-train read too."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cssa_mm.apis.predicting.rows import PredictedImage
from cssa_mm.apis.predicting.writers.streams import refused_in_one_line, text_file
from cssa_mm.datasets.label_forms import form_of, image_column_of
from cssa_mm.files import write_text


def write_predictions(rows: Iterable[PredictedImage], facts: Mapping[str, Any], path: Path) -> None:
    """Write the table `image,labels`, a row an image: class names with ';' between them, or `none`.

    It reads back as `labels.csv` of a folder of photos, with `classes.txt` beside it. Where names hold ';' or words
    that mean something else, `form_of` takes another form: JSON lists in the cells, or a column a class, 1 and 0.

    Args:
        rows: the images.
        facts: those of the model; `class_names` counts.
        path: the file.

    Raises:
        ConfigError: it cannot be written.
    """
    class_names = list(facts['class_names'])
    form = form_of(class_names)
    with text_file(path) as file:
        table = csv.writer(file, lineterminator='\n')
        table.writerow([image_column_of(class_names), *class_names] if form == 'columns' else ['image', 'labels'])
        for row in rows:
            if form == 'columns':
                shown = set(row.labels)
                table.writerow([row.name, *(int(name in shown) for name in class_names)])
            elif form == 'lists':
                table.writerow([row.name, json.dumps(list(row.labels), ensure_ascii=False)])
            else:
                table.writerow([row.name, ';'.join(row.labels) or 'none'])


def write_classes(facts: Mapping[str, Any], path: Path) -> None:
    """Write `classes.txt`, a class name a line.

    Raises:
        ConfigError: it cannot be written.
    """
    with refused_in_one_line(path):
        write_text(path, ''.join(f'{name}\n' for name in facts['class_names']))
