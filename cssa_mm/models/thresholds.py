"""Thresholds: per class the lowest calibrated score at which an image gets the label; stored in the checkpoint."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from cssa_mm.errors import CheckpointError

DEFAULT = 0.5


class ClassThresholds(NamedTuple):
    """Thresholds of C classes.

    values: one number per class; nan where there is none.
    rule: how they were found: 'f1', 'rate' or 'one' after training; 'default' (.5 for every class); 'given' by the
        user; or 'none' for an untrained model, whose scores rank images but are not calibrated.
    positives: the number of labelled positives that each class's threshold rests on; empty if it rests on none.
    sources: per class 'own', if it was fitted to the labels of the class, or 'pooled', if those were too few and all
        classes were fitted together; empty without labels.
    """

    values: tuple[float, ...]
    rule: str = 'default'
    positives: tuple[int, ...] = ()
    sources: tuple[str, ...] = ()

    @classmethod
    def default(cls, num_classes: int) -> ClassThresholds:
        """.5 for every class, marked as the default."""
        return cls((DEFAULT,) * num_classes)

    @classmethod
    def none(cls, num_classes: int) -> ClassThresholds:
        """No thresholds, for a model whose scores no label has calibrated."""
        return cls((math.nan,) * num_classes, 'none')

    def reached(self, scores: np.ndarray) -> np.ndarray:
        """Which labels images get, bool (B, C), by their calibrated scores (B, C).

        Without thresholds each image gets the class with its highest score.
        """
        scores = np.asarray(scores, np.float64)
        if self.rule == 'none':
            return np.arange(scores.shape[1]) == scores.argmax(1)[:, None]
        return scores >= np.asarray(self.values)

    def to_dict(self) -> dict:
        """As plain data for JSON: null in place of nan."""
        return dict(
            values=[None if math.isnan(value) else value for value in self.values],
            rule=self.rule,
            positives=list(self.positives),
            sources=list(self.sources),
        )

    @classmethod
    def from_dict(cls, content: Any, num_classes: int) -> ClassThresholds:
        """Read what `to_dict` returned, for C classes.

        Raises:
            CheckpointError: the content is something else; a file can come from anywhere.
        """
        try:
            values = tuple(math.nan if value is None else float(value) for value in content['values'])
            rule = str(content['rule'])
            positives = tuple(int(count) for count in content.get('positives', ()))
            sources = tuple(str(source) for source in content.get('sources', ()))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(
                f'checkpoint: found no readable thresholds ({type(error).__name__}), expected a number for each class '
                'and the rule that found them; take another file'
            ) from error
        for name, facts in (
            ('thresholds', values),
            ('positives of thresholds', positives),
            ('sources of thresholds', sources),
        ):
            if len(facts) != num_classes and (facts or name == 'thresholds'):
                raise CheckpointError(
                    f'checkpoint: found {len(facts)} {name}, expected {num_classes}, one for each class; '
                    'take another file'
                )
        wrong = [value for value in values if not (math.isnan(value) or 0 <= value <= 1)]
        if wrong:
            raise CheckpointError(
                f'checkpoint: found the threshold {wrong[0]:g}, expected numbers from 0 to 1; take another file'
            )
        return cls(values, rule, positives, sources)
