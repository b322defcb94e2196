"""Calibration of scores: per class a monotone map, so that of the cells scored .8 four in five are positive.

    calibrated = sigmoid(slope_c * logit(raw) + offset_c),   slope_c > 0

The ranking of the images of a class, and so its average precision, stays as it is. Fitted after training on labelled
images whose labels the scores did not see (`engine/cross_fitting.py`), it travels with the checkpoint.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cssa_mm.errors import CheckpointError
from cssa_mm.evaluation.score_fitting import HIGHEST, LOWEST

LOGITS = tuple(math.log(score) - math.log1p(-score) for score in (LOWEST, HIGHEST))


class ScoreCalibration(NamedTuple):
    """A monotone map for the scores of each of C classes.

    slope: C positive numbers.
    offset: C numbers.
    rule: how they were found: 'none' (raw scores leave as they are), or 'platt'.
    """

    slope: tuple[float, ...]
    offset: tuple[float, ...]
    rule: str = 'none'

    @classmethod
    def none(cls, num_classes: int) -> ScoreCalibration:
        """The calibration that changes nothing."""
        return cls((1.0,) * num_classes, (0.0,) * num_classes)

    def __call__(self, raw: Tensor, logits: Tensor | None = None) -> Tensor:
        """Calibrated scores (..., C) of raw ones (..., C), both in 0..1 and float32.

        With the logits of the raw scores they are exact: in float32, scores near 1 have lost their digits.
        """
        if self.rule == 'none':
            return raw
        # float32 would make equal what is not; MPS has nothing else.
        kind = torch.float32 if raw.device.type == 'mps' else torch.float64
        slope, offset = (torch.tensor(values, dtype=kind, device=raw.device) for values in (self.slope, self.offset))
        if logits is None:
            clamped = raw.to(kind).clamp(LOWEST, HIGHEST)
            logits = clamped.log() - (-clamped).log1p()
        return torch.sigmoid(slope * logits.to(kind).clamp(*LOGITS) + offset).float()

    def to_dict(self) -> dict:
        """As plain data for JSON."""
        return dict(slope=list(self.slope), offset=list(self.offset), rule=self.rule)

    @classmethod
    def from_dict(cls, content: Any, num_classes: int) -> ScoreCalibration:
        """Read what `to_dict` returned, for C classes.

        Raises:
            CheckpointError: the content is something else; a file can come from anywhere.
        """
        try:
            slope, offset = (tuple(float(value) for value in content[key]) for key in ('slope', 'offset'))
            rule = str(content['rule'])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f'checkpoint: found no readable calibration ({type(error).__name__}), expected a slope and an offset '
                'for each class and the rule that found them; take another file'
            ) from error
        right = len(slope) == len(offset) == num_classes and all(
            0 < a < math.inf and math.isfinite(b) for a, b in zip(slope, offset, strict=True)
        )
        if not right:
            raise CheckpointError(
                f'checkpoint: found a calibration of {len(slope)} slopes and {len(offset)} offsets, expected '
                f'{num_classes} of each, finite, and the slopes positive; take another file'
            )
        return cls(slope, offset, rule)


class ZeroShotCalibration(NamedTuple):
    """What the labels of the trained classes say of names that were never trained (ours).

    One map for all names, from the cosine of a name's untrained prompt to a probability, and one threshold for it.

    slope, offset: probability = sigmoid(slope * cosine + offset).
    threshold: probability at which an image gets the name as label.
    """

    slope: float
    offset: float
    threshold: float

    @classmethod
    def from_dict(cls, content: Any) -> ZeroShotCalibration | None:
        """Read plain data; None stays None.

        Raises:
            CheckpointError: the content is something else.
        """
        if content is None:
            return None
        try:
            found = cls(*(float(content[key]) for key in cls._fields))
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f'checkpoint: found no readable zero_shot ({type(error).__name__}), expected the numbers '
                f'{", ".join(cls._fields)}; take another file'
            ) from error
        if not all(map(math.isfinite, found)) or found.slope <= 0:
            raise CheckpointError(
                f'checkpoint: found zero_shot {tuple(found)}, expected finite numbers and a positive slope; take '
                'another file'
            )
        return found
