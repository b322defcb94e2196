"""Thresholds: per class the lowest score at which an image gets the label; stored in the checkpoint."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from cssa_mm.errors import CheckpointError

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
    def from_dict(cls, content: Any, num_classes: int) -> ClassThresholds:
        """Read what `to_dict` returned, for C classes.

        Raises:
            CheckpointError: the content is something else; a file can come from anywhere.
        """
        try:
            values = tuple(math.nan if value is None else float(value) for value in content['values'])
            rule = str(content['rule'])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f'checkpoint: found no readable thresholds ({type(error).__name__}), expected a number for each class '
                'and the rule that found them; take another file'
            ) from error
        if len(values) != num_classes:
            raise CheckpointError(
                f'checkpoint: found {len(values)} thresholds, expected {num_classes}, one for each class; take another '
                'file'
            )
        return cls(values, rule)
