"""Which labels an image gets by its scores: by the thresholds of the model, or as the user says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cssa_mm.apis.scorer import Scorer
from cssa_mm.errors import ConfigError, nearest
from cssa_mm.models.thresholds import ClassThresholds


@dataclass(frozen=True)
class LabelChoice:
    """How labels are chosen from calibrated scores.

    thresholds: those in force.
    top: the number of labels of each image, in place of thresholds; None leaves them in force.
    """

    thresholds: ClassThresholds
    top: int | None = None

    @classmethod
    def of(
        cls, scorer: Scorer, *, threshold: float | Mapping[str, float] | None = None, top: int | None = None
    ) -> LabelChoice:
        """The choice of a user, by default the thresholds of the model.

        Raises:
            ConfigError: `threshold` or `top` is invalid, both are given, or a dict names other classes.
        """
        names = scorer.class_names
        if top is not None:
            if threshold is not None:
                raise ConfigError('top: found it together with threshold, expected one of the two; leave one out')
            if not isinstance(top, int) or isinstance(top, bool) or not 1 <= top <= len(names):
                raise ConfigError(f'top: found {top!r}, expected a number of labels from 1 to {len(names)}')
            return cls(scorer.thresholds, top)
        if threshold is None:
            return cls(scorer.thresholds)
        if not isinstance(threshold, Mapping):
            return cls(ClassThresholds((_checked('threshold', threshold),) * len(names), 'given'))
        for name in threshold:
            if name not in names:
                raise ConfigError(
                    f"threshold: found the class '{name}', expected those of the model.{nearest(str(name), names)}"
                )
        missing = [name for name in names if name not in threshold]
        if missing:
            raise ConfigError(
                f"threshold: found none for '{missing[0]}' ({len(missing)} of {len(names)} classes), expected one for "
                "each class; add them: those of the model stand in model.json under 'thresholds'"
            )
        values = tuple(_checked(f"threshold of '{name}'", threshold[name]) for name in names)
        return cls(ClassThresholds(values, 'given'))

    def reached(self, scores: np.ndarray) -> np.ndarray:
        """Which labels images get, bool (B, C), by their calibrated scores (B, C)."""
        if self.top is None:
            return self.thresholds.reached(scores)
        ranks = np.argsort(np.argsort(-scores, axis=1, kind='stable'), axis=1)
        return ranks < self.top

    def describe(self) -> str:
        """In one line, how labels are chosen."""
        if self.top is not None:
            return f'the {self.top} best of each image, whatever their scores'
        rule = self.thresholds.rule
        known = {
            'none': 'the best of each image: the model was never trained and has no thresholds',
            'default': '.5 for every class: the checkpoint holds no thresholds that were found on labelled images',
            'given': 'thresholds that the user gave, in place of those of the model',
        }
        return known.get(rule, f"thresholds of the model, found on labelled images by the rule '{rule}'")


def _checked(what: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ConfigError(f'{what}: found {value!r}, expected a number from 0 to 1')
    return float(value)
