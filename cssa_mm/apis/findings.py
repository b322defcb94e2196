"""Problems in the data of a config: in its images, its labels and between its parts."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
from mmengine.config import Config

from cssa_mm.apis.parts import Part
from cssa_mm.datasets.checks import refuse_without_positives
from cssa_mm.datasets.image_facts import FAULTS, ODDITIES, PLAIN
from cssa_mm.datasets.overlap import is_tolerated
from cssa_mm.engine.bad_image_hook import tolerated_bad_images
from cssa_mm.errors import CSSAError
from cssa_mm.semi.sampler import SemiSupervisedSampler

# The severity of a finding: training refuses it or its metrics would be wrong; it costs quality; good to know.
FIX, WARN, NOTE = 'fix', 'warn', 'note'


@dataclass
class Finding:
    """One kind of problem in one part of the data, with the names of all cases and how to fix it."""

    severity: str
    part: str
    kind: str
    names: list[str]
    fix: str

    def line(self) -> str:
        """The finding as one line with the first few names."""
        shown = ', '.join(self.names[:3]) + (', ...' if len(self.names) > 3 else '')
        return f'{self.severity}: {self.part}: {len(self.names):,} {self.kind}: {shown}' + (
            f' -> {self.fix}' if self.fix else ''
        )


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
        fix = {'tiny': 'remove those that are not photos', 'very large': 'slow to read; shrink them'}.get(oddity, '')
        if indices and oddity == '16-bit':
            yield from _of_depth(part, indices)
        elif indices:
            kind = f'{oddity} images' + ('' if fix or oddity in PLAIN else ' (read well)')
            yield Finding(WARN if fix else NOTE, part.name, kind, part.names(indices), fix)
    doubled = [indices for indices in _by_digest(part).values() if len(indices) > 1]
    if doubled:
        names = [' = '.join(part.names(indices)) for indices in doubled]
        yield Finding(WARN, part.name, 'files that occur more than once', names, 'keep one of each')


def of_labels(part: Part, config: Config) -> Iterator[Finding]:
    """Findings in the labels of the training images, and what the sampler would refuse."""
    labels, names = part.data.labels[part.is_labelled], part.dataset.class_names
    try:
        check_sampler(part, config)
    except CSSAError as error:
        yield Finding(FIX, part.name, 'reason not to train', [str(error)], '')
    without = [name for name, shown in zip(names, (labels == 1).any(axis=0), strict=True) if not shown]
    if without and len(labels):
        fix = 'label some images of them, or expect zero-shot answers; cssa split --stratified helps in studies'
        yield Finding(WARN, part.name, 'classes without labelled positives', without, fix)


def check_sampler(part: Part, config: Config) -> None:
    """Build the batches as training does.

    Raises:
        ConfigError: the sampler refuses its options, or the labelled and unlabelled images.
    """
    loader = config.train_dataloader
    options = {key: value for key, value in (loader.get('sampler') or {}).items() if key != 'type'}
    images = SimpleNamespace(
        labelled_indices=np.flatnonzero(part.is_labelled), unlabelled_indices=np.flatnonzero(~part.is_labelled)
    )
    sampler = SemiSupervisedSampler(images, **options | dict(seed=0, rank=0, world_size=1))
    sampler.set_batch_size(loader.batch_size)
    if config.train_cfg.get('semi_epochs', 1):
        sampler.require_unlabelled()


def of_test_labels(part: Part) -> Iterator[Finding]:
    """Findings in the labels of validation or test images: classes whose figures mean nothing."""
    labels, names = part.data.labels, part.dataset.class_names
    try:
        refuse_without_positives(labels, part.where)
    except CSSAError as error:
        yield Finding(FIX, part.name, 'reason not to test', [str(error)], '')
        return
    shown, absent = (labels == 1).any(axis=0), (labels == 0).any(axis=0)
    empty = [name for name, is_shown, is_absent in zip(names, shown, absent, strict=True) if is_shown and not is_absent]
    if empty and absent.any():  # where no class has any, it is asked about
        fix = 'their average precision is 100 whatever a model says; add test images without them'
        yield Finding(WARN, part.name, 'classes that no test image lacks', empty, fix)


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
