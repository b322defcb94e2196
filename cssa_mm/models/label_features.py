"""Label-specific features (B, C, D) that are not written down: weights (B, C, N) of the local features (B, N, D).

    feature of class c     v_c = sum_n a_cn l_n / |sum_n a_cn l_n|
    along a vector t       <v_c, t> = sum_n a_cn <l_n, t> / sqrt(a_c' G a_c),     G = the products <l_n, l_m> (N, N)

What is linear in v_c is a sum over the N positions, and its length comes from the products of an image's local features
with each other, which don't depend on the class. With 9,600 classes, 64 images of RN50 (N = 50, D = 1,024) and float32
the features would take 2.5 GB, and as much again for each step of their gradient; the weights take .12 GB.
"""

from __future__ import annotations

from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

# Squared lengths below this are rounding: those of local features that cancel each other out.
LEAST = 1e-7
CELLS = 4096  # whose features are looked for at once: 17 MB with RN50's D = 1,024


class LocalFeatures:
    """The local features of images, and what follows from them whatever the classes are.

    Args:
        unit: unit vectors (B, N, D), float32.

    Attributes:
        offset: mean cosines (B,) with the background vocabulary; None before centring has asked for them.
    """

    offset: Tensor | None = None

    def __init__(self, unit: Tensor) -> None:
        self.unit = unit

    @cached_property
    def products(self) -> Tensor:
        """Cosines (B, N, N) of an image's local features with each other."""
        return self.unit @ self.unit.transpose(1, 2)

    def along(self, texts: Tensor) -> Tensor:
        """Products (B, C, N) with vectors (C, D)."""
        # The constant of an export stands first in the product: int8 leaves that in float.
        if torch.compiler.is_compiling():  # the strides of the large product would fix the batch size of a trace
            return texts @ self.unit.transpose(1, 2)
        return (texts @ self.unit.flatten(0, 1).T).unflatten(1, self.unit.shape[:2]).transpose(0, 1)


class LabelFeatures:
    """The local features of B images, pooled once per class (paper: cross-attention; the formula is a reconstruction).

    Gradients reach the texts. Nothing is computed before it is read, and then once.

    Args:
        local: of the images.
        text: unit features of the semantic-aware prompts (C, D).
        temperature: tau_s, multiplies the cosines before the softmax over N.
        renormalise: whether the pooled features become unit vectors.
    """

    def __init__(self, local: LocalFeatures, text: Tensor, temperature: float, renormalise: bool) -> None:
        self.local = local
        self.text = text
        self.temperature = temperature
        self.renormalise = renormalise

    @property
    def shape(self) -> tuple[int, int, int]:
        """(B, C, D)."""
        return len(self.local.unit), *self.text.shape

    @cached_property
    def weights(self) -> Tensor:
        """Attention (B, C, N): of each class, how much each position counts."""
        return torch.softmax(self.temperature * self._cosines, dim=-1)

    @cached_property
    def lengths(self) -> Tensor | None:
        """Lengths (B, C) of the weighted sums, by which they are divided; None if they stay as they are."""
        if not self.renormalise:
            return None
        return ((self.weights @ self.local.products) * self.weights).sum(-1).clamp(min=LEAST).sqrt()

    @cached_property
    def _cosines(self) -> Tensor:
        return self.local.along(self.text)

    def pooling(self) -> Tensor:
        """Factors (B, C, N) of the positions, whose sum the features are."""
        return self.weights if self.lengths is None else self.weights / self.lengths[..., None]

    def along(self, directions: Tensor) -> Tensor:
        """Products (B, C) of each class's feature with its own direction (C, D)."""
        products = self._cosines if directions is self.text else self.local.along(directions)
        return self._divided((self.weights * products).sum(-1))

    def summed(self, factors: Tensor) -> Tensor:
        """Sum (B, D) of an image's features over the classes, each times its factor (B, C); computed in float32."""
        with torch.autocast(factors.device.type, enabled=False):
            of_positions = self._divided(factors.float())[:, None] @ self.weights
            return (of_positions @ self.local.unit)[:, 0]

    def whole(self) -> Tensor:
        """The features themselves (B, C, D): where there are few classes."""
        return self._renormalised(self.weights @ self.local.unit)

    def of(self, cells: Tensor) -> Tensor:
        """The features (k, D) of k cells, bool (B, C), image by image; nothing is computed of the others."""
        # The cells of an image stand side by side, and its row is filled up to the longest: one product for all images.
        longest = max(1, int(cells.sum(1).max())) if cells.numel() else 1
        parts = torch.arange(len(cells), device=cells.device).split(max(1, CELLS // longest))
        return torch.cat([self._of(rows, cells[rows]) for rows in parts] or [self.text.new_zeros(0, self.shape[2])])

    def _of(self, rows: Tensor, cells: Tensor) -> Tensor:
        unit = self.local.unit[rows]
        images, classes = cells.nonzero(as_tuple=True)
        places = (cells.cumsum(1) - 1)[images, classes]
        longest = int(places.max()) + 1 if len(places) else 0
        if 'weights' in vars(self):
            weights = self.weights[rows[images], classes]
        else:
            texts = unit.new_zeros(len(cells), longest, unit.shape[2]).index_put((images, places), self.text[classes])
            weights = torch.softmax(self.temperature * (texts @ unit.transpose(1, 2))[images, places], dim=-1)
        filled = unit.new_zeros(len(cells), longest, unit.shape[1]).index_put((images, places), weights)
        return self._renormalised((filled @ unit)[images, places])

    def summed_over_images(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """The classes (k,) that have some of the cells, bool (B, C), and the sums (k, D) of their features in these."""
        classes = cells.any(0).nonzero()[:, 0]
        some = LabelFeatures(self.local, self.text[classes], self.temperature, self.renormalise)
        if 'weights' in vars(self):
            some.weights = self.weights[:, classes]
            some.lengths = None if self.lengths is None else self.lengths[:, classes]
        pooling = some.pooling() * cells[:, classes, None]
        return classes, pooling.transpose(0, 1).flatten(1) @ self.local.unit.flatten(0, 1)

    def _renormalised(self, sums: Tensor) -> Tensor:
        return F.normalize(sums, dim=-1) if self.renormalise else sums

    def _divided(self, values: Tensor) -> Tensor:
        return values if self.lengths is None else values / self.lengths
