"""Check the data of a config before training on it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_all_start_methods, get_context

import numpy as np
from mmengine.config import Config
from tqdm import tqdm

from cssa_mm.apis.config import load_config
from cssa_mm.apis.findings import MEND, NOTE, WARN, Finding, Part, of_images, of_labels, overlap, verdict
from cssa_mm.datasets import LoadRGBImage, SemiMultiLabelDataset
from cssa_mm.datasets.building import build_dataset
from cssa_mm.datasets.image_facts import ImageFacts, image_facts
from cssa_mm.datasets.image_table import Annotations
from cssa_mm.datasets.splits.option import SplitOption, resolve_split
from cssa_mm.engine.bad_image_hook import BadImageHook
from cssa_mm.errors import CSSAError, DataError

# Images that a process opens at a time, and those that all of them are given at once.
CHUNK, ROUND = 32, 16_384


@dataclass(frozen=True)
class CheckReport:
    """What a check found.

    Attributes:
        parts: the training, validation and test images that could be read.
        findings: the kinds of problems, those that must be mended first.
    """

    parts: list[Part]
    findings: list[Finding]

    @property
    def trains(self) -> bool:
        """Whether training would run well: nothing must be mended."""
        return all(finding.severity != MEND for finding in self.findings)

    def text(self) -> str:
        """A line for each part, a line for each kind of problem, and a verdict."""
        lines = [summary(part) for part in self.parts] + [finding.line() for finding in self.findings]
        return '\n'.join([*lines, verdict(self.findings)])

    def as_dict(self) -> dict[str, object]:
        """Everything that was found, with all names, as JSON can hold it."""
        return dict(
            trains=self.trains,
            parts={part.name: counts(part) for part in self.parts},
            findings=[asdict(finding) | dict(count=len(finding.names)) for finding in self.findings],
        )


def check(
    *,
    config: str | os.PathLike | Config,
    data_root: str | os.PathLike | None = None,
    overrides: Mapping[str, object] | None = None,
    num_workers: int | None = None,
) -> CheckReport:
    """Open every image of a config and compare its parts.

    Args:
        config: a config file, or a shipped config by its name.
        data_root: directory of the data.
        overrides: dotted key -> value, as `--cfg-options` takes them.
        num_workers: processes that open images; one for each core by default.

    Raises:
        ConfigError: a key or component of the config is unknown.
        DataError: a process that opens images was killed. What is wrong with the data is a finding, not an error.

    Example:
        >>> from cssa_mm.apis.checking import check
        >>> check(config='cssa_table', data_root='photos').trains  # doctest: +SKIP
        True
    """
    settings = load_config(config, overrides=overrides, data_root=data_root)
    findings: list[Finding] = []
    parts = []
    for name, options in sections(settings).items():
        try:
            dataset = build_dataset(options, f'{name}_dataloader.dataset')
            data = dataset.read_annotations()
            is_labelled = _labelled(dataset, data, options.get('split'))
        except CSSAError as error:
            findings.append(Finding(MEND, name, 'error that stops the reading', [str(error)], ''))
            continue
        facts = open_all(dataset, data.img_paths, num_workers, f'Images of {name}')
        parts.append(Part(name, dataset, data, is_labelled, facts))
    hook = settings.get('default_hooks', {}).get('bad_images')
    share = 0.0 if hook is None else hook.get('max_share', BadImageHook().max_share)
    for part in parts:
        findings += of_images(part, share)
        if part.name == 'train':
            findings += of_labels(part, settings)
            findings += [finding for other in parts if other is not part for finding in overlap(part, other)]
    findings.sort(key=lambda finding: (MEND, WARN, NOTE).index(finding.severity))
    return CheckReport(parts, findings)


def sections(config: Config) -> dict[str, dict]:
    """The data sets of a config by the name of their part; validation and test only once if they are the same."""
    found: dict[str, dict] = {}
    for name in ('train', 'val', 'test'):
        options = (config.get(f'{name}_dataloader') or {}).get('dataset')
        if options is not None and not any(_same_images(options, other) for other in found.values()):
            found[name] = options
    return found


def open_all(
    dataset: SemiMultiLabelDataset, paths: Sequence[str], num_workers: int | None, description: str
) -> list[ImageFacts]:
    """The facts of the images at ``paths``, opened as ``dataset`` opens them, by several processes."""
    loaders = [step for step in dataset.pipeline.transforms if isinstance(step, LoadRGBImage)]
    look = partial(image_facts, loaders[0] if loaders else LoadRGBImage(dataset.backend_args))
    num_workers = num_workers or _num_cores()
    bar = partial(tqdm, desc=description, total=len(paths), unit='image', mininterval=0.5)
    if num_workers < 2:
        return list(bar(map(look, paths)))
    try:
        with ProcessPoolExecutor(
            num_workers, get_context('fork' if 'fork' in get_all_start_methods() else None)
        ) as pool:
            # A million tasks at once would fill the memory before the first is done.
            parts = (paths[start : start + ROUND] for start in range(0, len(paths), ROUND))
            return list(bar(facts for part in parts for facts in pool.map(look, part, chunksize=CHUNK)))
    except BrokenProcessPool as error:
        raise DataError(
            f'{description}: found one of {num_workers} processes killed, probably for lack of memory; use fewer of '
            'them: --num-workers 1'
        ) from error


def counts(part: Part) -> dict:
    """Images, labelled images, known cells and positives, and the positives of each class."""
    labels = part.data.labels[part.is_labelled]
    positives = (labels == 1).sum(axis=0).tolist()
    return dict(
        images=len(part.is_labelled),
        labelled=len(labels),
        known_cells=int((labels >= 0).sum()),
        positives=sum(positives),
        labelled_positives=dict(zip(part.dataset.class_names, positives, strict=True)),
    )


def summary(part: Part) -> str:
    """The counts in one line, with the rarest and the most frequent class."""
    found = counts(part)
    per_class = found['labelled_positives']
    rarest, most = min(per_class, key=per_class.get), max(per_class, key=per_class.get)
    return (
        f'{part.name}: {found["images"]:,} images of {len(per_class)} classes, {found["labelled"]:,} of them labelled '
        f'with {found["known_cells"]:,} known cells, {found["positives"]:,} positive: from {per_class[rarest]:,} '
        f"('{rarest}') to {per_class[most]:,} ('{most}') a class"
    )


def _labelled(dataset: SemiMultiLabelDataset, data: Annotations, option: SplitOption) -> np.ndarray:
    split = resolve_split(option, data.image_ids, data.labels, dataset.class_names, dataset.locate)
    if split is None:
        return np.any(data.labels >= 0, axis=1)
    return np.isin(data.image_ids, split.image_ids)


def _num_cores() -> int:
    # A container may own fewer cores than the machine has.
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def _same_images(options: dict, other: dict) -> bool:
    ignored = ('pipeline', 'test_mode')
    return {k: v for k, v in options.items() if k not in ignored} == {
        k: v for k, v in other.items() if k not in ignored
    }
