"""Labels that are probably wrong, and labels that a model gets wrong together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

WRONG, MISSED = 'wrong', 'missed'


class Suspect(NamedTuple):
    """A label that its held-out score contradicts: row of the image, class, label 1 or 0, and that label's score."""

    row: int
    class_index: int
    label: int
    confidence: float


class ErrorPair(NamedTuple):
    """Two errors that meet in images more often than chance has it.

    first, second: index of the class, and 'wrong' (predicted, but not there) or 'missed'.
    images: how many have both.
    expected: how many would, if the two had nothing to do with each other.
    """

    first: tuple[int, str]
    second: tuple[int, str]
    images: int
    expected: float


def self_confidence(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The probability (n, C) that a model gives to the label that is there; nan where none is known.

    The measure of confident learning (Northcutt et al. 2021), for each cell of a multi-label set.

    Args:
        labels: (n, C) in {1, 0, -1}; -1 is unknown.
        scores: (n, C) in 0..1, calibrated, of models that did not see these labels.
    """
    confidence = np.where(labels == 1, scores, 1 - np.asarray(scores, np.float64))
    return np.where(labels == -1, np.nan, confidence)


def suspected_errors(labels: np.ndarray, scores: np.ndarray, most: int, highest: float = 0.5) -> list[Suspect]:
    """The labels that are least probable by held-out scores, the most suspicious one first.

    Args:
        labels: (n, C) in {1, 0, -1}.
        scores: (n, C), see `self_confidence`.
        most: of them at most.
        highest: only labels less probable than this.
    """
    confidence = self_confidence(labels, scores).ravel()
    order = np.argsort(confidence, kind='stable')[:most]  # nan last
    rows, columns = np.unravel_index(order, labels.shape)
    return [
        Suspect(int(row), int(column), int(labels[row, column]), float(confidence[cell]))
        for cell, row, column in zip(order, rows, columns, strict=True)
        if confidence[cell] < highest
    ]


def error_pairs(predicted: np.ndarray, labels: np.ndarray, most: int) -> list[ErrorPair]:
    """Errors of two classes that meet in the same images, those furthest above chance first.

    Args:
        predicted: bool (n, C).
        labels: (n, C) in {1, 0, -1}; unknown cells are no errors.
        most: pairs at most; each has at least two images.
    """
    num_classes = labels.shape[1]
    errors = np.concatenate([predicted & (labels == 0), ~predicted & (labels == 1)], axis=1).astype(np.float32)
    both = errors.T @ errors
    expected = np.outer(errors.sum(0), errors.sum(0)) / max(len(errors), 1)
    first, second = np.triu_indices(2 * num_classes, 1)
    excess = (both - expected)[first, second]
    excess[both[first, second] < 2] = -1
    order = np.argsort(-excess, kind='stable')[:most]

    def error(column: int) -> tuple[int, str]:
        return column % num_classes, WRONG if column < num_classes else MISSED

    return [
        ErrorPair(error(int(a)), error(int(b)), int(both[a, b]), float(expected[a, b]))
        for a, b in zip(first[order], second[order], strict=True)
        if both[a, b] >= 2 and both[a, b] > expected[a, b]
    ]
