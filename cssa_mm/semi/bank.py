"""The pseudo-label bank: the latest labels and weights of each unlabelled image, each on one rank, looked up by id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from mmengine.dist import all_gather, all_reduce, get_dist_info
from torch import Tensor

from cssa_mm.errors import DataError
from cssa_mm.features.encode import share_of_rank
from cssa_mm.semi.policies import PseudoLabels
from cssa_mm.semi.shares import gathered


class PseudoLabelBank:
    """Pseudo-labels of M unlabelled images, each held by one rank (`share_of_rank`).

    Args:
        image_ids: of all M images, in the order of the data set.
        pseudo_labels: of this rank's share of them: int8 labels (m, C) in 1, 0, -1, and weights (m, C) or None.
    """

    def __init__(self, image_ids: Sequence[str], pseudo_labels: PseudoLabels) -> None:
        self._rows = {image_id: row for row, image_id in enumerate(image_ids)}
        self.pseudo_labels = pseudo_labels

    @classmethod
    def of_all(cls, image_ids: Sequence[str], pseudo_labels: PseudoLabels) -> PseudoLabelBank:
        """This rank's share of the pseudo-labels of all M images, in the order of their ids."""
        mine = torch.as_tensor(share_of_rank(len(image_ids)))
        labels, weights = pseudo_labels.labels[mine], pseudo_labels.weights
        return cls(image_ids, replace(pseudo_labels, labels=labels, weights=None if weights is None else weights[mine]))

    def gathered(self) -> PseudoLabels | None:
        """The pseudo-labels of all M images, in the order of their ids, on rank 0; None on the others.

        All ranks must call it. Rank 0 needs memory for M x C labels, of a byte each, and for as many weights of four,
        if there are any.
        """
        labels, weights = self.pseudo_labels.labels, self.pseudo_labels.weights
        all_labels = gathered(labels, len(self))
        all_weights = None if weights is None else gathered(weights, len(self))
        return None if all_labels is None else replace(self.pseudo_labels, labels=all_labels, weights=all_weights)

    def __len__(self) -> int:
        """The number M of images of all ranks."""
        return len(self._rows)

    def lookup(self, image_ids: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Labels (B, C) int8 and weights (B, C) float32 of B images, on the CPU; all ranks must call it.

        Each rank asks for the images of its batch, none perhaps, and answers for those that it holds. A step exchanges
        8 bytes for each image of the global batch and C bytes of labels, 4 C of weights where the policy gives any.

        Raises:
            DataError: an id that was not scored, on whichever rank.
        """
        rank, world_size = get_dist_info()
        asked = _of_all_ranks(torch.tensor([self._rows.get(key, -1) for key in image_ids], dtype=torch.int64))
        if any((rows < 0).any() for rows in asked):
            unknown = [repr(image_id) for image_id in image_ids if image_id not in self._rows]
            raise DataError(
                f'pseudo-label bank: found no labels for unlabelled image {(unknown or ["of another process"])[0]}, '
                'expected all images of the training set; was the data set changed during training?'
            )
        rows = torch.cat(asked)
        answered = torch.nonzero(rows % world_size == rank)[:, 0]
        held = rows[answered] // world_size
        start = sum(len(before) for before in asked[:rank])
        mine = slice(start, start + len(image_ids))

        def answers(share: Tensor) -> Tensor:
            found = torch.zeros(len(rows), share.shape[1], dtype=share.dtype)
            found[answered] = share[held]
            if len(rows):
                all_reduce(found)
            return found[mine]

        labels = answers(self.pseudo_labels.labels)
        weights = self.pseudo_labels.weights
        return labels, torch.ones(labels.shape) if weights is None else answers(weights)


def _of_all_ranks(rows: Tensor) -> list[Tensor]:
    """The numbers (B,) that each rank has given, as many as it likes."""
    counts = [int(count) for count in all_gather(torch.tensor([len(rows)]))]
    padded = rows.new_zeros(max(counts))
    padded[: len(rows)] = rows
    return [found[:count] for found, count in zip(all_gather(padded), counts, strict=True)]
