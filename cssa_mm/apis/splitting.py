"""Draw a labelled split and write it to a file that can be published."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.config import Config

from cssa_mm.apis.config import load_config
from cssa_mm.datasets.building import build_dataset
from cssa_mm.datasets.image_table import Annotations
from cssa_mm.datasets.splits.split import Split, hash_ids, make_split, save_split
from cssa_mm.errors import SplitError


@dataclass(frozen=True)
class SplitResult:
    """A split and its file.

    Attributes:
        split: which training images are labelled.
        path: the file.
        num_images: training images, labelled or not.
    """

    split: Split
    path: Path
    num_images: int

    def text(self) -> str:
        """The split, the classes without a labelled positive, and how to use the file."""
        split = self.split
        lines = [
            f"{self.path}: {len(split.image_ids):,} of {self.num_images:,} images labelled, rule '{split.rule}', seed "
            f'{split.seed}, ids {split.id_hash[:12]}'
        ]
        without = [name for name, count in split.class_counts.items() if not count]
        if without:
            lines.append(f'Classes without a labelled positive, {len(without)}: {", ".join(without)}')
            if split.rule == 'cap':
                lines.append('--stratified gives one to every class that has any.')
        lines.append(f'Train with it: --cfg-options train_dataloader.dataset.split={self.path.absolute()}')
        return '\n'.join(lines)


def split(
    *,
    config: str | os.PathLike | Config,
    labelled: float,
    seed: int = 1,
    stratified: bool = False,
    at_most: Mapping[str, int] | None = None,
    out: str | os.PathLike | None = None,
    data_root: str | os.PathLike | None = None,
    overrides: Mapping[str, object] | None = None,
) -> SplitResult:
    """Draw the split of a config's training images from its annotation files alone, and write it.

    Args:
        config: a config file, or a shipped config by its name.
        labelled: share of labelled images, in (0, 1).
        seed: of the draw.
        stratified: balance the classes; False draws by CAP's random rule.
        at_most: class name -> most labelled positives, to make classes rare.
        out: file to write; by default in `splits/`, named by all that decides the split.
        data_root: directory of the data.
        overrides: dotted key -> value, as `--cfg-options` takes them.

    Raises:
        SplitError: `labelled` leaves no labelled or no unlabelled image, `at_most` names an unknown class or leaves
            too few images, or the draw would label an image of which the annotation says nothing.
        DataError: annotations or class names are missing or don't fit.

    Examples:
        >>> from cssa_mm.apis.splitting import split
        >>> len(split(config='cssa_demo', labelled=0.1).split.image_ids)  # doctest: +SKIP
        200
    """
    settings = load_config(config, overrides=overrides, data_root=data_root)
    dataset = build_dataset(settings.train_dataloader.dataset, 'train_dataloader.dataset')
    data = dataset.read_annotations()
    groups = dataset.groups
    drawn = make_split(
        data.image_ids,
        labelled,
        seed,
        data.labels,
        dataset.class_names,
        stratified,
        at_most,
        groups=None if groups is None else [groups.get(image_id) for image_id in data.image_ids],
    )
    _refuse_blank_images(drawn, data)
    path = Path(out) if out else default_path(settings.filename or 'config', drawn)
    save_split(drawn, path)
    return SplitResult(drawn, path, len(data.image_ids))


def default_path(config: str | os.PathLike, split: Split) -> Path:
    """The default file of a split: in `splits/` of the working directory, named by all that decides it."""
    rule = '' if split.rule == 'cap' else f'_{split.rule}'
    if split.at_most:
        rule += '_' + hash_ids([f'{name}={limit}' for name, limit in sorted(split.at_most.items())])[:8]
    return Path('splits', f'{Path(config).stem}_labelled{split.proportion:g}_seed{split.seed}{rule}.txt')


def _refuse_blank_images(split: Split, data: Annotations) -> None:
    is_blank = (data.labels < 0).all(axis=1)
    blank = {data.image_ids[index] for index in np.flatnonzero(is_blank)} & set(split.image_ids)
    if blank:
        raise SplitError(
            f'train_dataloader.dataset: found no label for {len(blank)} of the {len(split.image_ids)} drawn images, '
            f"such as '{min(blank)}', expected annotated images; images without labels are unlabelled anyway, so leave "
            f'the split out, or use --stratified, which draws among the annotated ones.'
        )
