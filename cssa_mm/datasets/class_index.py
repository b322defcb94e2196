"""Class names, and the labels that the names in an annotation stand for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from cssa_mm.errors import DataError, nearest
from cssa_mm.names import plain_name


class ClassIndex:
    """Finds classes by the names that annotations use; case, spaces, '_' and '-' don't matter.

    So 'diningtable' in an annotation is the class 'dining table', which a prompt can hold.

    Args:
        class_names: The C class names.

    Raises:
        DataError: Two names are the same.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self.class_names = tuple(class_names)
        self._index: dict[str, int] = {}
        for index, name in enumerate(self.class_names):
            if self._index.setdefault(plain_name(name), index) != index:
                raise DataError(f"class_names: found '{name}' twice, expected each class once; remove one.")

    def find(self, name: str, source: str) -> int:
        """Index of a class; DataError, naming the file ``source``, when there is none."""
        index = self._index.get(plain_name(name))
        if index is None:
            raise DataError(
                f"{source}: found class '{name}', expected one of the {len(self.class_names)} class names."
                f'{nearest(name, self.class_names)} Correct class_names or the annotation.'
            )
        return index

    def labels(self, positives: Iterable[str], source: str, unknown: Iterable[str] = ()) -> np.ndarray:
        """Labels int8 (C,): 1 for ``positives``, -1 for ``unknown`` unless also positive, 0 for the rest."""
        labels = np.zeros(len(self.class_names), dtype=np.int8)
        for names, value in ((unknown, -1), (positives, 1)):
            for name in names:
                labels[self.find(name, source)] = value
        return labels

    def check_complete(self, names: Sequence[str], source: str) -> None:
        """DataError, naming ``source``, when the categories of an annotation lack a class."""
        declared = {plain_name(name) for name in names}
        for name in self.class_names:
            if plain_name(name) not in declared:
                raise DataError(
                    f"{source}: found no class '{name}' among its {len(names)} categories, expected the "
                    f'{len(self.class_names)} of class_names.{nearest(name, names)} Correct class_names or '
                    f'the annotation.'
                )
