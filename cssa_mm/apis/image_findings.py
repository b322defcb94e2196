"""Problems in the images of a config: bad, odd and doubled ones, and those that stand in two of its parts."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator

from cssa_mm.apis.findings import FIX, NOTE, WARN, Finding
from cssa_mm.apis.parts import Part
from cssa_mm.datasets.image_facts import FAULTS, ODDITIES, PLAIN
from cssa_mm.datasets.near_duplicates import near_duplicates_of
from cssa_mm.datasets.overlap import is_tolerated
from cssa_mm.datasets.questions import named
from cssa_mm.datasets.readers.understanding import Question
from cssa_mm.engine.bad_image_hook import tolerated_bad_images

# Single plain images may be right; so many, and such a share, were read wrongly or are no photos.
MANY_PLAIN, PLAIN_SHARE = 3, 0.1
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
        if indices:
            kind = f'{oddity} images' + ('' if fix or oddity in PLAIN else ' (read well)')
            yield Finding(WARN if fix else NOTE, part.name, kind, part.names(indices), fix)
    doubled = [indices for indices in _by_digest(part).values() if len(indices) > 1]
    if doubled:
        names = [' = '.join(part.names(indices)) for indices in doubled]
        yield Finding(WARN, part.name, 'files that occur more than once', names, 'keep one of each')


def questions_of_images(part: Part) -> Iterator[Question]:
    """What looks wrong about how the images were read: a set of plain ones, or several scales in one format."""
    plain = [index for index, facts in enumerate(part.facts) if set(PLAIN) & set(facts.oddities)]
    if len(plain) >= max(MANY_PLAIN, PLAIN_SHARE * len(part.facts)):
        yield Question(
            'plain_images',
            f'{len(plain)} of {len(part.facts)} images are nearly black or of one colour as they are read, such as '
            f'{named(part.names(plain))}',
            'look at them with cssa browse; for data beyond 8 bits, set view.bits to their depth',
        )
    by_format: dict[str, Counter[str]] = defaultdict(Counter)
    for facts in part.facts:
        if facts.rule:
            by_format[facts.format][facts.rule] += 1
    for name, rules in by_format.items():
        if len(rules) > 1:
            counted = '; '.join(f'{count} as {rule}' for rule, count in rules.most_common())
            yield Question(
                'several_scales',
                f'the {name} images hold more than 8 bits and are scaled under different rules: {counted}',
                'set view.bits to the depth that all of them have',
            )


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


def _by_digest(part: Part) -> dict[str, list[int]]:
    found = defaultdict(list)
    for index, facts in enumerate(part.facts):
        if facts.digest is not None:
            found[facts.digest].append(index)
    return found
