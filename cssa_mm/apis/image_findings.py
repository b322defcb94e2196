"""Problems in the images of a config: bad, odd and doubled ones, and those that stand in two of its parts."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence

from cssa_mm.apis.findings import FIX, NOTE, WARN, Finding
from cssa_mm.apis.parts import Part
from cssa_mm.datasets.images.image_facts import FAULTS, ODDITIES, PLAIN
from cssa_mm.datasets.images.image_sets import mixed_depth_rules, plain_images
from cssa_mm.datasets.images.near_duplicates import near_duplicates_of
from cssa_mm.datasets.images.overlap import is_tolerated
from cssa_mm.datasets.questions import named
from cssa_mm.datasets.readers.understanding import Question
from cssa_mm.engine.bad_image_hook import tolerated_bad_images

FIXES = {'tiny': 'remove those that are not photos', 'very large': 'slow to read; shrink them'}


def of_images(part: Part, max_share: float) -> Iterator[Finding]:
    """Findings in the image files: bad, odd and doubled images."""
    bad = [index for index, facts in enumerate(part.facts) if facts.fault]
    tolerated = tolerated_bad_images(len(part.facts), max_share) if part.name == 'train' else 0
    for fault in FAULTS:
        indices = [index for index in bad if part.facts[index].fault == fault]
        if indices:
            # Training refuses to start where files are missing; it survives a few broken ones.
            survives = fault != 'missing' and len(bad) <= tolerated
            fix = 'not trained on; restore or remove' if survives else 'restore the files, or remove their entries'
            yield Finding(WARN if survives else FIX, part.name, f'{fault} images', part.names(indices), fix)
    for oddity in ODDITIES:
        indices = [index for index, facts in enumerate(part.facts) if oddity in facts.oddities]
        fix = FIXES.get(oddity, '')
        if indices and oddity == '16-bit':
            yield from _of_depth(part, indices)
        elif indices:
            kind = f'{oddity} images' + ('' if fix or oddity in PLAIN else ' (read well)')
            yield Finding(WARN if fix else NOTE, part.name, kind, part.names(indices), fix)
    doubled = [indices for indices in _by_digest(part).values() if len(indices) > 1]
    if doubled:
        names = [' = '.join(part.names(indices)) for indices in doubled]
        yield Finding(WARN, part.name, 'files that occur more than once', names, 'keep one of each')


def questions_of_images(part: Part) -> list[Question]:
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


def near_duplicates(train: Part, other: Part) -> tuple[list[Question], list[Finding]]:
    """Images of a part that look like training images: bursts, frames of a film, resized copies.

    So few that figures hardly change, as published sets hold, are a finding; more are a question.
    """
    pairs: dict[int, int] = {}
    for first, second in near_duplicates_of(train.facts, other.facts):
        if second not in pairs or (train.is_labelled[first] and not train.is_labelled[pairs[second]]):
            pairs[second] = first
    if not pairs:
        return [], []
    names = [f'{train.names([first])[0]} = {other.names([second])[0]}' for second, first in pairs.items()]
    fix = 'move such images to one side (group_column keeps videos, patients and bursts together)'
    if is_tolerated(len(names), len(other.facts)):
        return [], [Finding(WARN, other.name, 'images that look like training images', names, fix)]
    labelled = int(sum(train.is_labelled[first] for first in pairs.values()))
    text = (
        f'{len(names)} of {len(other.facts)} images look like training images ({labelled} like labelled ones): '
        f'{", ".join(names[:3])}{", ..." if len(names) > 3 else ""}'
    )
    return [Question('near_duplicates', text, fix)], []


def overlap(train: Part, other: Part) -> Iterator[Finding]:
    """Images that are in the training set and in another part: the same file, or the same bytes."""
    trained, pairs, same_file = _by_digest(train), {}, False
    for digest, indices in _by_digest(other).items():
        if digest in trained:
            pairs[indices[0]] = trained[digest][0]
    by_path = {os.path.realpath(path): index for index, path in enumerate(train.data.img_paths)}
    for index, path in enumerate(other.data.img_paths):
        first = by_path.get(os.path.realpath(path))
        if first is not None:
            pairs[index], same_file = first, True
    if pairs:
        names = [f'{train.names([first])[0]} = {other.names([second])[0]}' for second, first in pairs.items()]
        few = not same_file and is_tolerated(len(names), len(other.facts))
        fix = 'so few hardly change a figure; better remove them from one' if few else 'remove them from one'
        yield Finding(WARN if few else FIX, other.name, 'files of the training set', names, fix)


def _of_depth(part: Part, indices: Sequence[int]) -> Iterator[Finding]:
    """How images of more than 8 bits a colour became 8, rule by rule."""
    rules = defaultdict(list)
    for index in indices:
        rules[part.facts[index].rule or 'all black'].append(index)
    for rule, found in rules.items():
        yield Finding(NOTE, part.name, f'16-bit images ({rule})', part.names(found), '')


def _by_digest(part: Part) -> dict[str, list[int]]:
    found = defaultdict(list)
    for index, facts in enumerate(part.facts):
        if facts.digest is not None:
            found[facts.digest].append(index)
    return found
