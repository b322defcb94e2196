"""A cache of frozen features: the tower never changes, so they are computed once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from cssa_mm.errors import DataError
from cssa_mm.files import replacing

View = tuple[str, bool]  # image id, mirrored


class FeatureCache:
    """Local (R, N, D) and global (R, D) features of R views, in the memory of the CPU, looked up by view.

    `serves_training` says that these are all views that training can draw. Otherwise they serve scoring alone: a
    strongly augmented image that is not mirrored must not be taken for its plain view. `bad_images` holds the reason
    of each image that could not be read.
    """

    def __init__(
        self,
        views: Sequence[View],
        local: Tensor,
        pooled: Tensor,
        serves_training: bool,
        bad_images: Mapping[str, str] | None = None,
    ) -> None:
        self.serves_training = serves_training
        self.bad_images = dict(bad_images or {})
        self._rows = {view: row for row, view in enumerate(views)}
        self._local = local
        self._pooled = pooled

    def __len__(self) -> int:
        return len(self._rows)

    def holds(self, views: Sequence[View]) -> bool:
        """Whether the cache holds all of the views."""
        return all(view in self._rows for view in views)

    def lookup(self, views: Sequence[View], device: torch.device) -> tuple[Tensor, Tensor]:
        """Local (B, N, D) and global (B, D) features of B views."""
        rows = torch.tensor([self._rows[view] for view in views], dtype=torch.int64)
        return self._local[rows].to(device), self._pooled[rows].to(device)

    def batches(self, views: Sequence[View], device: torch.device, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """`lookup` in batches."""
        for start in range(0, len(views), batch_size):
            yield self.lookup(views[start : start + batch_size], device)

    def save(self, path: Path) -> None:
        """Write a file for `load`; processes that write it at the same time don't disturb each other."""
        content = dict(
            views=list(self._rows),
            local=self._local,
            pooled=self._pooled,
            serves_training=self.serves_training,
            bad_images=self.bad_images,
        )
        with replacing(path) as partial:
            torch.save(content, partial)

    @classmethod
    def load(cls, path: Path) -> FeatureCache:
        """Read a file of `save`; processes that read it share its memory.

        Raises:
            DataError: the file cannot be read as one of `save`.
        """
        try:
            content = torch.load(path, map_location='cpu', weights_only=True, mmap=True)
            _check_content(**content)
            return cls(**content)
        # Broken bytes raise nearly anything.
        except Exception as error:
            raise DataError(
                f'{path}: found no readable features ({type(error).__name__}), expected those that an earlier run '
                'wrote; remove the file, and they are computed again'
            ) from error


def _check_content(
    views: Sequence[View], local: Tensor, pooled: Tensor, serves_training: bool, bad_images: Mapping[str, str]
) -> None:
    """A ValueError, or whatever else, unless these are the arguments of a cache."""
    shapes = local.shape[:1], pooled.shape[:1]
    if (local.ndim, pooled.ndim) != (3, 2) or shapes != ((len(views),),) * 2 or local.shape[2] != pooled.shape[1]:
        raise ValueError(f'features of shapes {tuple(local.shape)} and {tuple(pooled.shape)} of {len(views)} views')
    is_plain = all(isinstance(name, str) and isinstance(is_mirrored, bool) for name, is_mirrored in views)
    texts = (*bad_images, *bad_images.values())
    if not is_plain or not isinstance(serves_training, bool) or not all(isinstance(text, str) for text in texts):
        raise ValueError('other values than those of a cache')
