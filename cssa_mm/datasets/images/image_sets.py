"""Facts about a set of images that no image shows alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from cssa_mm.datasets.images.image_facts import PLAIN, ImageFacts

PLAIN_SHARE = 0.2  # of a set; photos have a few, such as a night sky or a lens cap


def plain_images(facts: Sequence[ImageFacts], share: float = PLAIN_SHARE) -> dict[str, list[int]]:
    """Of each of ``PLAIN`` that more than a share of the readable images are, the positions of these images.

    Such a set was read wrongly, or it is none of photos: masks, depth maps, or data whose range nobody has said.
    """
    readable = sum(each.fault is None for each in facts)
    found = {kind: [position for position, each in enumerate(facts) if kind in each.oddities] for kind in PLAIN}
    return {kind: positions for kind, positions in found.items() if len(positions) > share * readable}


def depth_rules(facts: Sequence[ImageFacts]) -> dict[str, list[int]]:
    """Each rule that brought images of more than 8 bits a colour to 8, and the positions of its images."""
    found: dict[str, list[int]] = defaultdict(list)
    for position, each in enumerate(facts):
        if each.rule:
            found[each.rule].append(position)
    return dict(found)


def mixed_depth_rules(facts: Sequence[ImageFacts]) -> dict[str, dict[str, list[int]]]:
    """The formats whose images fall under several rules: format -> rule -> positions.

    A dark photo of 16 bits looks like one of 12, so in a set from one camera several rules mean that some images are
    made brighter than others. The key ``bits`` of the view settles it.
    """
    by_format: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for position, each in enumerate(facts):
        if each.rule:
            by_format[each.format][each.rule.split(', NaN')[0]].append(position)
    return {name: dict(rules) for name, rules in by_format.items() if len(rules) > 1}
