"""Scores and frozen features of the photos that wait for a label."""

from __future__ import annotations

from contextlib import closing
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from cssa_mm.apis.predicting.neighbours import NearbyImages
from cssa_mm.apis.predicting.scoring import ReadImages, read_in_chunks
from cssa_mm.apis.predicting.sources import ImageList
from cssa_mm.apis.scorer import Scorer, TorchScorer


class ReadPhotos(NamedTuple):
    """What was read in n photos.

    positions: of those that could be read, in the list (n,).
    scores, raw_scores: (n, C), calibrated and not.
    features: frozen global features (n, D).
    bad: name and reason of each photo that could not be read.
    """

    positions: np.ndarray
    scores: np.ndarray
    raw_scores: np.ndarray
    features: np.ndarray
    bad: list[str]


def read_photos(
    scorer: Scorer,
    images: ImageList,
    positions: np.ndarray,
    *,
    nearby: NearbyImages | None = None,
    batch_size: int,
    workers: int,
) -> ReadPhotos:
    """Score some photos of a list, and show progress on stderr.

    A model without features, such as an ONNX file, has the logits of its scores in their place.

    Args:
        scorer: the model.
        images: the list.
        positions: in it, in order.
        nearby: the neighbours of an untrained model, which have read some of the photos.
        batch_size: photos scored at a time.
        workers: processes that decode.
    """

    known = np.zeros(0, np.int64) if nearby is None else nearby.among(positions)
    others = np.setdiff1d(positions, known)
    found = ReadImages([], [], [], [])
    if len(others):
        found = _read(scorer, images, others, batch_size, workers)
    if nearby is not None and len(known):
        found = _joined(found, nearby, cast(TorchScorer, scorer), known)
    positions = np.concatenate([others, known])
    is_good = np.array([not reason for reason in found.reasons])
    bad = [f'{name}: {reason}' for name, reason in zip(found.names, found.reasons, strict=True) if reason]
    order = np.argsort(positions[is_good])
    scores, raw_scores, features = (values[is_good][order] for values in found.values)
    return ReadPhotos(positions[is_good][order], scores, raw_scores, features, bad)


def _joined(found: ReadImages, nearby: NearbyImages, scorer: TorchScorer, known: np.ndarray) -> ReadImages:
    """What was read, and after it the photos that the neighbours have read."""
    ((_, shard),) = nearby.scored(scorer, known, len(known))
    values = [shard.scores, shard.raw_scores, nearby.features(known)]
    return ReadImages(
        found.names + shard.names,
        found.facts + shard.facts,
        found.reasons + shard.reasons,
        [np.concatenate(pair) for pair in zip(found.values, values, strict=True)] if found.values else values,
    )


def _read(scorer: Scorer, images: ImageList, positions: np.ndarray, batch_size: int, workers: int) -> ReadImages:
    def of_pixels(pixels: Tensor) -> list[np.ndarray]:
        if not isinstance(scorer, TorchScorer):
            found = scorer(pixels)
            raw = found.raw.clip(1e-6, 1 - 1e-6)
            return [found.calibrated, found.raw, np.log(raw / (1 - raw))]
        with torch.no_grad():
            local, pooled = scorer.features(pixels)
            found = scorer.of_logits(scorer.model.logits(local, pooled))
        return [found.calibrated, found.raw, pooled.float().cpu().numpy()]

    columns = width = len(scorer.class_names)
    if isinstance(scorer, TorchScorer):
        with torch.no_grad():  # texts and images have one space
            width = scorer.model.text_encoder.encode(scorer.model.class_words.prompts[0][:1]).shape[1]
    read = read_in_chunks(
        of_pixels,
        scorer.view,
        images,
        positions,
        widths=[columns, columns, width],
        chunk_size=len(positions),
        batch_size=batch_size,
        workers=workers,
        description='Looking at photos',
    )
    with closing(read):
        return next(read)[1]
