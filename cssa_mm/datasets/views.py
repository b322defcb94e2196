"""Weak and strong view of one image from one decoding."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from mmpretrain.registry import TRANSFORMS


def paired_views(weak: Sequence[dict], strong: Sequence[dict]) -> list[dict]:
    """One pipeline for both views: the steps that both begin with run once, then mmpretrain's MultiView.

    So an image is decoded and resized once. The strong branch draws its random numbers first: with the same
    `SampleKey` its pixels are bitwise those that training sees.

    Args:
        weak: pipeline of the view that is scored for pseudo-labels.
        strong: pipeline of the view that training sees.

    Returns:
        A pipeline without packing, whose item holds `img`: [strong, weak], uint8 arrays (H, W, 3).
    """
    weak, strong = ([step for step in steps if step['type'] != 'PackInputs'] for steps in (weak, strong))
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(weak, strong, strict=False)))
    # Built here: MultiView would look for them in the default scope, which only a Runner sets.
    branches = [[TRANSFORMS.build(step) for step in steps[shared:]] for steps in (strong, weak)]
    return [*strong[:shared], dict(type='MultiView', num_views=[1, 1], transforms=branches)]
