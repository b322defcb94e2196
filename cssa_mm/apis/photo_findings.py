"""What the opened images of a part, or of two parts, say together: questions about sets, and photos that look alike."""

from __future__ import annotations

from cssa_mm.apis.findings import WARN, Finding
from cssa_mm.apis.parts import Part
from cssa_mm.datasets.image_sets import mixed_depth_rules, plain_images
from cssa_mm.datasets.near_duplicates import near_duplicates_of
from cssa_mm.datasets.overlap import is_tolerated
from cssa_mm.datasets.questions import named
from cssa_mm.datasets.readers.understanding import Question


def of_photos(part: Part) -> list[Question]:
    """Questions about the images of a part: many that show nothing, and several rules for more than 8 bits."""
    found = []
    texts = {'nearly black': 'nearly_black', 'one colour': 'one_colour'}
    for kind, indices in plain_images(part.facts).items():
        text = (
            f'{len(indices):,} of {len(part.facts):,} images are {kind} as they are read: {named(part.names(indices))}'
        )
        fix = 'look at them; for images of more than 8 bits set view.bits, for transparent ones view.transparency'
        found.append(Question(texts[kind], text, fix))
    for name, rules in mixed_depth_rules(part.facts).items():
        counts = '; '.join(
            f'{len(indices):,} {rule} ({part.names(indices[:1])[0]})'
            for rule, indices in sorted(rules.items(), key=lambda item: -len(item[1]))
        )
        text = (
            f'the {name} images of more than 8 bits are brought to 8 by several rules, each image by its own: {counts}'
        )
        found.append(Question('mixed_bits', text, "set view.bits to the bits of all of them (8 to 16, or 'float')"))
    return found


def of_near_duplicates(train: Part, other: Part) -> Finding | Question | None:
    """Photos of a test set that look like one of the training set: a question, a warning where they are few."""
    first: dict[int, int] = {}
    for trained, tested in near_duplicates_of(train.facts, other.facts):
        if tested not in first or train.is_labelled[trained] > train.is_labelled[first[tested]]:
            first[tested] = trained  # a labelled one, if there is any
    if not first:
        return None
    names = [f'{train.names([trained])[0]} ~ {other.names([tested])[0]}' for tested, trained in sorted(first.items())]
    labelled = sum(bool(train.is_labelled[trained]) for trained in first.values())
    kind = f'photos that look like one of the training set, {labelled:,} of them like a labelled one'
    fix = 'remove them from one, or keep bursts and films on one side (group_column)'
    if is_tolerated(len(names), len(other.facts)):
        return Finding(WARN, other.name, kind, names, fix)
    text = f'{len(names):,} {kind}: {", ".join(names[:3])}{", ..." if len(names) > 3 else ""}'
    return Question('near_duplicates', text, fix)
