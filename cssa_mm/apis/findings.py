"""Problems in the labels of a config, and what a finding is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
from mmengine.config import Config

from cssa_mm.apis.parts import Part
from cssa_mm.datasets.checks import refuse_without_positives
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
