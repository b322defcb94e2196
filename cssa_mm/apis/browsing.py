"""What training sees: a picture of weak and strong views with what is known of their labels."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS

from cssa_mm.apis.config import load_config
from cssa_mm.datasets.base import UNKNOWN, SemiMultiLabelDataset
from cssa_mm.datasets.sample_key import SampleKey
from cssa_mm.datasets.views import paired_views
from cssa_mm.errors import ConfigError
from cssa_mm.visualization.style import picture_suffixes
from cssa_mm.visualization.view_pairs import ViewPair, draw_view_pairs

NAMES_SHOWN = 6


def browse_data(args: argparse.Namespace) -> Path:
    """Draw `args.num` training images of a config, half of them labelled where there are as many; returns the path.

    The weak view is the one that is scored for pseudo-labels, the strong one what training sees. The config's seed
    chooses the images and their augmentation.

    Raises:
        ConfigError: the config has no training data, or `--num` or `--out` cannot be.
    """
    out = Path(args.out or Path('work_dirs', Path(args.config).stem, 'browse_data.png'))
    if args.num < 1:
        raise ConfigError(f'--num: found {args.num}, expected 1 or more images; give a larger number')
    if out.suffix not in picture_suffixes():
        raise ConfigError(f"--out: found '{out}', expected a name that ends with {', '.join(picture_suffixes())}")
    config = load_config(args.config, overrides=args.cfg_options, data_root=args.data_root)
    init_default_scope(config.default_scope)
    weak, strong = view_pipelines(config)
    dataset = DATASETS.build(config.train_dataloader.dataset)
    labelled, unlabelled = len(dataset.labelled_indices), len(dataset.unlabelled_indices)
    print(f'{labelled} labelled and {unlabelled} unlabelled training images, {len(dataset.class_names)} classes')
    for name, steps in (('weak', weak), ('strong', strong)):
        print(f'{name + ":":8}{", ".join(step["type"] for step in steps)}')
    pairs = view_pairs(dataset, weak, strong, args.num, config.randomness.get('seed') or 0)
    out.parent.mkdir(parents=True, exist_ok=True)
    draw_view_pairs(pairs, out)
    print(f'picture: {out}')
    return out


def view_pipelines(config: Config) -> tuple[list[dict], list[dict]]:
    """The pipelines of the weak view, scored for pseudo-labels, and of the strong one, as the runner will have them."""
    held_out = config.get('val_dataloader') or config.get('test_dataloader')
    if not config.get('train_dataloader') or not held_out:
        raise ConfigError(
            'config: found no train_dataloader, or neither val_dataloader nor test_dataloader, expected the data that '
            'training reads; take a training config'
        )
    hook = config.get('default_hooks', {}).get('pseudo_labels') or {}
    return hook.get('pipeline') or held_out.dataset.pipeline, config.train_dataloader.dataset.pipeline


def view_pairs(
    dataset: SemiMultiLabelDataset, weak: list[dict], strong: list[dict], num: int, seed: int
) -> list[ViewPair]:
    """Up to `num` images in both views, the labelled ones first."""
    rng = np.random.default_rng(seed)
    data = dataset.with_pipeline(paired_views(weak, strong))
    result = []
    for index in choose(dataset.labelled_indices, dataset.unlabelled_indices, num, rng):
        item = data[SampleKey(int(index), int(rng.integers(2**31)))]
        is_labelled = bool(dataset.is_labelled[index])
        known = describe_labels(dataset.labels[index], dataset.class_names)
        result.append(ViewPair(dataset.image_ids[index], *item['img'], is_labelled, known))
    return result


def choose(labelled: np.ndarray, unlabelled: np.ndarray, num: int, rng: np.random.Generator) -> np.ndarray:
    """`num` indices: half labelled, half unlabelled, or more of one kind where the other has not enough."""
    num_labelled = min(len(labelled), max(num - num // 2, num - len(unlabelled)))
    num_unlabelled = min(len(unlabelled), num - num_labelled)
    return np.concatenate([rng.permutation(labelled)[:num_labelled], rng.permutation(unlabelled)[:num_unlabelled]])


def describe_labels(labels: np.ndarray, class_names: list[str]) -> str:
    """What training knows of an image with labels (C,): its classes, and its unknown cells (-1)."""
    positives, unknown = ([class_names[c] for c in np.flatnonzero(labels == value)] for value in (1, UNKNOWN))
    if len(unknown) == len(class_names):
        return f'all {len(unknown)} cells -1'
    text = _listed(positives) or 'none of the classes'
    return f'{text} | unknown (-1): {_listed(unknown)}' if unknown else text


def _listed(names: list[str]) -> str:
    return ', '.join(names[:NAMES_SHOWN]) + (f', {len(names) - NAMES_SHOWN} more' if len(names) > NAMES_SHOWN else '')
