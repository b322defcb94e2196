"""Thresholds: per class the lowest score at which an image gets the label; stored in the checkpoint."""

from __future__ import annotations

import math
from typing import NamedTuple

DEFAULT = 0.5


class ClassThresholds(NamedTuple):
    """Thresholds of C classes.

    values: one number per class; nan where there is none.
    rule: how they were found: 'default' (.5 for every class), or 'none' for an untrained model, whose scores rank
        images but are not calibrated.
    """

    values: tuple[float, ...]
    rule: str = 'default'

    @classmethod
    def default(cls, num_classes: int) -> ClassThresholds:
        """.5 for every class, marked as the default."""
        return cls((DEFAULT,) * num_classes)

    @classmethod
    def none(cls, num_classes: int) -> ClassThresholds:
        """No thresholds, for a model whose scores no label has calibrated."""
        return cls((math.nan,) * num_classes, 'none')

    def to_dict(self) -> dict:
        """As plain data for JSON: null in place of nan."""
        return dict(values=[None if math.isnan(value) else value for value in self.values], rule=self.rule)

    @classmethod
    def from_dict(cls, content: dict) -> ClassThresholds:
        """Read what `to_dict` returned."""
        return cls(tuple(math.nan if value is None else float(value) for value in content['values']), content['rule'])
