"""The weight of image-wise centring, fitted to the training images before the first step (ours)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from mmengine.dist import is_main_process
from mmengine.logging import print_log

from cssa_mm.models import CSSAClassifier
from cssa_mm.semi.evidence import EvidenceImages
from cssa_mm.semi.statistics import broadcast_from_first


def fit_centring(model: CSSAClassifier, draw: Callable[[], EvidenceImages]) -> None:
    """Fit an 'auto' weight by the student's prompts, unless a checkpoint has it; all ranks must call it.

    Args:
        model: the classifier.
        draw: gives the images, which are encoded for it. No label of theirs is read.
    """
    centring = model.head.centring
    if centring is None or bool(centring.is_fitted):
        return
    images = draw()
    if is_main_process():
        device = centring.weight.device
        with torch.no_grad():
            text = model.head.text_features(model.text_encoder)
            seen = (model.head.look(*batch) for batch in images.features(device))
            found = [(model.head.cosines(each, text)[0], model.head.offset(each, centring.text)) for each in seen]
        if found:
            centring.fit(*map(torch.cat, zip(*found, strict=True)))
    broadcast_from_first(centring.buffers())
    if bool(centring.is_fitted):
        print_log(f'Centring: weight {float(centring.weight):.3f}, fitted to the training images', 'current')
