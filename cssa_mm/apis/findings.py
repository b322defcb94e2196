"""Problems in the data of a config: in its images, its labels and between its parts."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from mmengine.config import Config

from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.datasets.class_words import same_classes
from cssa_mm.datasets.image_facts import FAULTS, ODDITIES, ImageFacts
from cssa_mm.datasets.image_table import Annotations
from cssa_mm.engine.bad_image_hook import tolerated_bad_images
from cssa_mm.models.class_names import resolve_class_names

# The severity of a finding: training refuses it or its metrics would be wrong; it costs quality; good to know.
MEND, WARN, NOTE = 'mend', 'warn', 'note'


@dataclass
class Finding:
    """One kind of problem in one part of the data, with the names of all cases and how to mend it."""

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


@dataclass
class Part:
    """The training, validation or test images with the facts about their files, in the order of the annotation."""

    name: str
    dataset: SemiMultiLabelDataset
    data: Annotations
    is_labelled: np.ndarray
    facts: list[ImageFacts]

    def names(self, indices: Sequence[int]) -> list[str]:
        """The paths of some images, relative to the data root."""
        root = os.path.join(self.dataset.data_root, '')
        return [self.data.img_paths[index].removeprefix(root) for index in indices]


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
            yield Finding(WARN if survives else MEND, part.name, f'{fault} images', part.names(indices), fix)
    for oddity in ODDITIES:
        indices = [index for index, facts in enumerate(part.facts) if oddity in facts.oddities]
        fix = {'tiny': 'remove those that are not photos', 'very large': 'slow to read; shrink them'}.get(oddity, '')
        if indices:
            kind = f'{oddity} images' + ('' if fix else ' (read well)')
            yield Finding(WARN if fix else NOTE, part.name, kind, part.names(indices), fix)
    doubled = [indices for indices in _by_digest(part).values() if len(indices) > 1]
    if doubled:
        names = [' = '.join(part.names(indices)) for indices in doubled]
        yield Finding(WARN, part.name, 'files that occur more than once', names, 'keep one of each')


def of_labels(part: Part, config: Config) -> Iterator[Finding]:
    """Findings in the labels of the training images."""
    labels, names = part.data.labels[part.is_labelled], part.dataset.class_names
    if not len(labels):
        yield Finding(MEND, part.name, 'reason not to train', ['no labelled image'], 'label some images')
    if part.is_labelled.all() and config.train_cfg.get('semi_epochs', 1):
        fix = 'give a split (cssa split), or train_cfg.semi_epochs=0'
        yield Finding(MEND, part.name, 'reason not to train', ['no unlabelled image'], fix)
    blank = [part.data.image_ids[i] for i in np.flatnonzero(part.is_labelled & (part.data.labels < 0).all(axis=1))]
    if blank:
        yield Finding(MEND, part.name, 'images labelled by the split, without labels', blank, 'split annotated images')
    without = [name for name, shown in zip(names, (labels == 1).any(axis=0), strict=True) if not shown]
    if without and len(labels):
        fix = 'label some images of them, or expect zero-shot answers; cssa split --stratified helps in studies'
        yield Finding(WARN, part.name, 'classes without labelled positives', without, fix)
    if config.model.get('class_names') is not None:
        expected = list(resolve_class_names(config.model.class_names))
        differing = [name for name in dict.fromkeys([*names, *expected]) if (name in names) != (name in expected)]
        if not same_classes(expected, names):
            fix = 'make model.class_names and the class_names of the data sets the same'
            kind = 'class names that model and data do not share'
            yield Finding(MEND, part.name, kind, differing or ['another order'], fix)


def overlap(train: Part, other: Part) -> Iterator[Finding]:
    """Images that are in the training set and in another part."""
    if train.dataset.data_root == other.dataset.data_root:
        shared = sorted(set(train.data.image_ids) & set(other.data.image_ids))
        if shared:
            yield Finding(MEND, other.name, 'image ids of the training set', shared, 'remove them from one')
    tested, trained = _by_digest(other), _by_digest(train)
    names = [
        f'{train.names(trained[digest])[0]} = {other.names(indices)[0]}'
        for digest, indices in tested.items()
        if digest in trained
    ]
    if names:
        yield Finding(MEND, other.name, 'files of the training set', names, 'remove them from one')


def verdict(findings: list[Finding]) -> str:
    """The last line of the report."""
    to_mend = [finding for finding in findings if finding.severity == MEND]
    if to_mend:
        kinds = ', '.join(f'{finding.kind} ({finding.part})' for finding in to_mend)
        return f'Verdict: mend {len(to_mend)} of these before training: {kinds}'
    warnings = any(finding.severity == WARN for finding in findings)
    return 'Verdict: training would run well' + ('; the warnings above are worth a look' if warnings else '')


def _by_digest(part: Part) -> dict[str, list[int]]:
    found = defaultdict(list)
    for index, facts in enumerate(part.facts):
        if facts.digest is not None:
            found[facts.digest].append(index)
    return found
