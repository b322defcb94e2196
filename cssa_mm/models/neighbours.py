"""Neighbours (ours): an image leans on what the model says of training images that look like it.

    x_i' = x_i + weight * sum_j w_ij x_j         x: a reading of the model; j: the k nearest of the stored images

Images that look alike as a whole share labels that occur together, and the noise of their scores averages out. Nearness
is the cosine of global features, whitened by the covariance of the training images. The k weights are proportional to
what each similarity has above that of neighbour k + 1, so that scores have no jumps where neighbours change places. No
label is involved. An image is no neighbour of itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, NamedTuple

import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from cssa_mm.errors import CheckpointError
from cssa_mm.models import search
from cssa_mm.models.discriminant import deviation
from cssa_mm.models.nearest import SELF, cover
from cssa_mm.values import Positive, Range, Share, check_values


class Links(NamedTuple):
    """The stored images (B, k) that are neighbours of B images, and their weights (B, k)."""

    rows: Tensor
    weights: Tensor


@MODELS.register_module()
class Neighbours(nn.Module):
    """The stored training images, and the mean of their readings over the neighbours of an image.

    The checkpoint holds M stored images in float16, M x (D + V x C) numbers, and D x D numbers in float32 that whiten:
    13 MB for 4,096 images of RN50 (D = 1,024), 40 classes and two readings.

    Args:
        embed_dim: D (given by the classifier).
        num_classes: C (given by the classifier).
        num_readings: V, the readings that are smoothed: 2 with evidence, else 1 (given by the classifier).
        k: neighbours of an image; fewer if fewer images are stored.
        weight: of the neighbours' mean beside the image's own reading; 0 switches them off.
        shrinkage: weight in 0..1 of a multiple of the identity in the covariance that whitens.
        max_images: most stored images; of more, a subset that covers them. Beyond a million, faiss looks them up.

    Raises:
        ConfigError: an option is out of its range.
    """

    keys: Tensor
    values: Tensor
    centre: Tensor
    whitening: Tensor
    gain: Tensor
    shift: Tensor

    def __init__(
        self,
        embed_dim: int,
        num_classes: int,
        num_readings: int,
        k: Positive = 32,
        weight: Annotated[float, Range(0, 100)] = 0.5,
        shrinkage: Share = 0.2,
        max_images: Annotated[int, Range(2)] = 4096,
    ) -> None:
        check_values(Neighbours, locals(), 'model.neighbours')
        super().__init__()
        self.k = k
        self.weight = weight
        self.shrinkage = shrinkage
        self.max_images = max_images
        self._search = search.NeighbourSearch()
        self.register_buffer('keys', torch.zeros(0, embed_dim, dtype=torch.float16))
        self.register_buffer('values', torch.zeros(0, num_readings, num_classes, dtype=torch.float16))
        self.register_buffer('centre', torch.zeros(embed_dim))
        self.register_buffer('whitening', torch.zeros(embed_dim, embed_dim))
        self.register_buffer('gain', torch.ones(num_classes))
        self.register_buffer('shift', torch.zeros(num_classes))

    @property
    def is_fitted(self) -> bool:
        """Whether an image has neighbours; until then, readings stay as they are."""
        return len(self.keys) > 1

    @property
    def num_images(self) -> int:
        """M, the stored images."""
        return len(self.keys)

    @property
    def is_searched_exactly(self) -> bool:
        """Whether none of the nearest images is ever missed; see `NeighbourSearch`."""
        return len(self.keys) <= search.LARGEST

    @property
    def megabytes(self) -> float:
        """What this part takes of a checkpoint."""
        return sum(buffer.nbytes for buffer in self.buffers()) / 1e6

    def forward(self, pooled: Tensor) -> Tensor:
        """What the neighbours add to the readings: (B, V, C) of global features (B, D); float32."""
        with torch.autocast(pooled.device.type, enabled=False):
            return self.mean(self.links(pooled), self.values)

    def links(self, pooled: Tensor) -> Links:
        """The neighbours of images by their global features (B, D); none with fewer than two stored images."""
        with torch.autocast(pooled.device.type, enabled=False):
            queries, k = self._whitened(pooled.float()), min(self.k, len(self.keys) - 1)
            if k < 1:
                return Links(queries.new_zeros(len(queries), 0, dtype=torch.long), queries.new_zeros(len(queries), 0))
            similarity, index = self._search(queries, self.keys, k + 1)
            least = similarity.where(similarity > SELF, 1.0).amin(1, keepdim=True)  # of k + 1, or of all but copies
            excess = (similarity - least).clamp(min=0)
            return Links(index, self.weight * excess / excess.sum(1, keepdim=True).clamp(min=1e-12))

    def mean(self, links: Links, values: Tensor) -> Tensor:
        """The weighted mean (B, V, C) of values (M, V, C) of the stored images over the neighbours of B images."""
        with torch.autocast(values.device.type, enabled=False):
            return torch.einsum('bk,bkvc->bvc', links.weights, values[links.rows].float())

    def smooth(self, logits: Tensor, pooled: Tensor) -> Tensor:
        """Logits (B, C) with those of the neighbours, for a model without evidence; their level stays as it was."""
        return self.gain * (logits + self(pooled)[:, 0]) + self.shift

    @torch.no_grad()
    def store(self, pooled: Tensor, seed: int = 0) -> Tensor:
        """Take over n images, or a subset that covers them, by their global features (n, D).

        Returns:
            Which of the n are stored: indices (M,), ascending.
        """
        unit = F.normalize(pooled.to(self.centre), dim=-1).double()
        centre = unit.mean(0)
        covariance = (unit - centre).T @ (unit - centre) / len(unit)
        identity = torch.eye(len(centre)).to(covariance)
        level = covariance.diagonal().mean().clamp(min=1e-12)
        shrunk = (1 - self.shrinkage) * covariance + max(self.shrinkage, 1e-6) * level * identity
        self.centre.copy_(centre)
        self.whitening.copy_(torch.linalg.cholesky(torch.linalg.inv(shrunk)))
        whitened = self._whitened(pooled.to(self.centre).float())
        rows = cover(whitened, self.max_images, seed)
        self.keys = whitened[rows].half()
        self.values = self.values.new_zeros(len(rows), *self.values.shape[1:])
        return rows

    @torch.no_grad()
    def keep(self, values: Tensor) -> None:
        """Take over the values (M, V, C) of the stored images."""
        self.values = values.to(self.keys)

    @torch.no_grad()
    def fit_logits(self, logits: Tensor, pooled: Tensor, rows: Tensor) -> None:
        """Store the logits (n, C) of the n images, of which `rows` are stored: for a model without evidence."""
        mean = logits.mean(0)
        self.keep((logits - mean)[rows][:, None])
        ratio = deviation(logits) / deviation(logits + self(pooled)[:, 0])
        self.gain.copy_(ratio)
        self.shift.copy_((1 - ratio) * mean)

    def _whitened(self, pooled: Tensor) -> Tensor:
        return F.normalize((F.normalize(pooled, dim=-1) - self.centre) @ self.whitening, dim=-1)

    def make_room(self, num_images: int) -> None:
        """Make room for M stored images; what was stored is lost."""
        for name in ('keys', 'values'):
            stored = getattr(self, name)
            setattr(self, name, stored.new_zeros(num_images, *stored.shape[1:]))

    def refuse_damaged(self, state_dict: Mapping[str, Tensor], prefix: str) -> None:
        """Check the entries of a file, whose shapes are those of this part, before anything is loaded.

        Raises:
            CheckpointError: readings are missing, or a number is none.
        """
        keys, values = state_dict[f'{prefix}keys'], state_dict[f'{prefix}values']
        if len(keys) != len(values):
            raise CheckpointError(
                f"checkpoint: found {len(keys)} stored images in '{prefix}keys' and {len(values)} in '{prefix}values', "
                'expected the same ones; take the whole file that training wrote'
            )
        for name in self.state_dict():
            if not torch.isfinite(state_dict[f'{prefix}{name}']).all():
                raise CheckpointError(
                    f"checkpoint: found '{prefix}{name}' with values that are not finite, expected those of training; "
                    'copy the file again, or train again'
                )

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *details: object) -> None:
        # How many images are stored is known from the file alone.
        saved = state_dict.get(f'{prefix}keys')
        if saved is not None:
            self.make_room(len(saved))
        super()._load_from_state_dict(state_dict, prefix, *details)
