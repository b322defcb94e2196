"""Tables in which several people have labelled the same image: what they do not agree on is asked about."""

from __future__ import annotations

import numpy as np

from cssa_mm.datasets.readers.tables.column_names import ANNOTATORS
from cssa_mm.datasets.readers.tables.columns import Roles
from cssa_mm.datasets.readers.tables.grid import Column, Grid
from cssa_mm.datasets.readers.tables.label_cells import Shown
from cssa_mm.datasets.readers.understanding import Question, Understanding
from cssa_mm.names import plain_name


def ask_about_annotators(grid: Grid, roles: Roles, shown: Shown, understanding: Understanding) -> None:
    """Ask where rows of one image come from several people who do not name the same classes."""
    used = [roles.image, roles.value, roles.split, *roles.labels]
    column = next((c for c in grid.columns if plain_name(c.name) in ANNOTATORS and c not in used), None)
    if column is None:
        return
    images, people = _codes(roles.image), _codes(column)
    count = int(people.max()) + 1
    pairs = np.unique(images * count + people)
    people_of = np.bincount(pairs // count)  # how many have labelled each image
    positive = shown.values == 1
    cells = images[shown.rows[positive]] * len(shown.class_names) + shown.classes[positive]
    votes = np.unique(cells * count + people[shown.rows[positive]]) // count
    cells, agreeing = np.unique(votes, return_counts=True)
    image_of = cells // max(len(shown.class_names), 1)
    disagree = np.unique(image_of[agreeing < people_of[image_of]])
    if disagree.size:
        first = roles.image[int(np.flatnonzero(images == disagree[0])[0])]
        understanding.questions.append(
            Question(
                'annotators_disagree',
                f"several people ('{column.name}') have labelled the same images, and name other classes for "
                f"{disagree.size:,} of them ('{first}'): a class that one of them names is read as shown",
                f"keep the rows that you trust, or set ignore_columns='{column.name}' to take them all",
            )
        )


def _codes(column: Column) -> np.ndarray:
    """A number for each cell, the same for the same text, int64 (n,)."""
    if column.is_coded:
        return column.codes.astype(np.int64)
    numbers: dict[str, int] = {}
    return np.fromiter((numbers.setdefault(cell, len(numbers)) for cell in column.cells()), np.int64)
