"""What the labelled images determine before the first step: taught classes and contexts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from mmengine.dist import broadcast, broadcast_object_list, is_main_process
from mmengine.logging import print_log
from torch import nn

from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.datasets.class_words import same_classes
from cssa_mm.errors import DataError
from cssa_mm.models import CSSAClassifier
from cssa_mm.models.neighbours import Neighbours
from cssa_mm.semi.contexts import affinity, cluster_labels


def check_same_classes(
    model: CSSAClassifier, dataset: SemiMultiLabelDataset, where: str = 'train_dataloader.dataset'
) -> None:
    """Check that model and data set, which messages call `where`, have the same classes in the same order.

    Case, blanks, '_' and '-' in names don't matter.

    Raises:
        DataError: the classes differ.
    """
    if not same_classes(dataset.class_names, model.class_names):
        raise DataError(
            f'{where}: found the classes {_short(dataset.class_names)}, expected those of '
            f'the model, {_short(model.class_names)}; make the two the same'
        )


def set_contexts(model: CSSAClassifier, dataset: SemiMultiLabelDataset, seed: int) -> None:
    """Cluster the labels into the contexts of the context head (paper), unless a checkpoint has set them.

    Rank 0 clusters for all.
    """
    head = model.context_head
    if head is None or int(head.assignment.min()) >= 0:
        return
    if is_main_process():
        labels = dataset.labels[dataset.labelled_indices]
        found = cluster_labels(affinity(labels, head.affinity), head.num_contexts, head.method, seed)
        head.assignment.copy_(torch.as_tensor(found))
    broadcast(head.assignment)
    print_log('Contexts of the labels:\n' + _describe(head.assignment.tolist(), model.class_names), 'current')


def labels_used(dataset: SemiMultiLabelDataset) -> str:
    """In one line, how many labels training uses: labelled images, known cells and positives."""
    known = dataset.labels >= 0
    labelled, total = int(known.any(axis=1).sum()), len(dataset)
    return (
        f'Labels used: {labelled} of {total} training images are labelled ({labelled / total:.1%}), with {known.sum()} '
        f'known cells, {int((dataset.labels == 1).sum())} of them positive; {total - labelled} images are unlabelled.'
    )


def broadcast_from_first(tensors: Iterable[torch.Tensor | nn.Parameter]) -> None:
    """Give every rank the values of rank 0: ranks on different hardware round differently and would disagree."""
    for tensor in tensors:
        broadcast(tensor.data)


def broadcast_fitted(model: CSSAClassifier) -> None:
    """Give every rank the evidence and the neighbours of rank 0."""
    if model.evidence is not None:
        broadcast_from_first(model.evidence.buffers())
    if model.neighbours is not None:
        broadcast_stored(model.neighbours)


def broadcast_stored(neighbours: Neighbours) -> None:
    """Give every rank the stored images of rank 0."""
    stored = [len(neighbours.keys)]
    broadcast_object_list(stored)
    if len(neighbours.keys) != stored[0]:
        neighbours.make_room(stored[0])
    broadcast_from_first(neighbours.buffers())


def taught_classes(labels: np.ndarray) -> torch.Tensor:
    """Which classes have a positive label, bool (C,), of labels (n, C)."""
    return torch.as_tensor((labels == 1).any(axis=0))


def _describe(assignment: Sequence[int], class_names: Sequence[str]) -> str:
    groups: dict[int, list[str]] = {}
    for context, name in zip(assignment, class_names, strict=True):
        groups.setdefault(int(context), []).append(name)
    return '\n'.join(f'  {context}: {", ".join(names)}' for context, names in sorted(groups.items()))


def _short(names: Sequence[str]) -> str:
    return f'{", ".join(list(names)[:3])}{", ..." if len(names) > 3 else ""} ({len(names)})'
