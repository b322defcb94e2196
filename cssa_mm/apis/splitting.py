"""Draw a labelled split and write it to a file that can be published: `tools/make_split.py`."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from cssa_mm.apis.config import load_config
from cssa_mm.datasets.building import build_dataset
from cssa_mm.datasets.image_table import Annotations
from cssa_mm.datasets.splits.split import Split, make_split, save_split
from cssa_mm.errors import SplitError


def write_split(args: argparse.Namespace) -> Split:
    """Draw the split of a config's training images from its annotation files alone, write and describe it.

    Raises:
        SplitError: The proportion leaves no labelled or no unlabelled image, or the draw would label an image of
            which the annotation says nothing.
    """
    config = load_config(args.config, overrides=args.cfg_options, data_root=args.data_root)
    # With a split of any kind: without, a table whose images all have labels is refused.
    options = dict(config.train_dataloader.dataset, split=dict(proportion=args.labelled, seed=args.seed))
    dataset = build_dataset(options, 'train_dataloader.dataset')
    data = dataset.read_annotations()
    split = make_split(data.image_ids, args.labelled, args.seed, data.labels, dataset.class_names, args.stratified)
    _refuse_blank_images(split, data)
    path = Path(args.out) if args.out else default_path(args.config, split)
    save_split(split, path)
    print(describe(split, len(data.image_ids), path))
    return split


def default_path(config: str, split: Split) -> Path:
    """Where a split goes without --out: `splits/` of the working directory, named by all that decides it."""
    rule = '' if split.rule == 'cap' else f'_{split.rule}'
    return Path('splits', f'{Path(config).stem}_labelled{split.proportion:g}_seed{split.seed}{rule}.txt')


def describe(split: Split, num_images: int, path: Path) -> str:
    """What was drawn, which classes got no labelled positive, and how the file is used."""
    labelled = len(split.image_ids)
    lines = [
        f"{path}: {labelled:,} of {num_images:,} images labelled, rule '{split.rule}', seed {split.seed}, ids "
        f'{split.id_hash[:12]}'
    ]
    without = [name for name, count in split.class_counts.items() if not count]
    if without:
        lines.append(f'Classes without a labelled positive, {len(without)}: {", ".join(without)}')
        if split.rule == 'cap':
            lines.append('--stratified gives one to every class that has any.')
    lines.append(f'Train with it: --cfg-options train_dataloader.dataset.split={path.absolute()}')
    return '\n'.join(lines)


def _refuse_blank_images(split: Split, data: Annotations) -> None:
    is_blank = (data.labels < 0).all(axis=1)
    blank = {data.image_ids[index] for index in np.flatnonzero(is_blank)} & set(split.image_ids)
    if blank:
        raise SplitError(
            f'train_dataloader.dataset: found no label for {len(blank)} of the {len(split.image_ids)} drawn images, '
            f"'{min(blank)}' for one, expected annotated images; images without labels are unlabelled anyway, so leave "
            f'the split out, or use --stratified, which draws among the annotated ones.'
        )
