"""The options of the feature cache (`default_hooks.pseudo_labels.feature_cache`), checked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import torch

from cssa_mm.errors import ConfigError, nearest
from cssa_mm.values import NotNegative, Whole, check_values

WHERE = 'default_hooks.pseudo_labels.feature_cache'
DTYPES = dict(float32=torch.float32, float16=torch.float16)


@dataclass(frozen=True)
class CacheOptions:
    """What is kept of the frozen features, and where.

    Args:
        gib: memory for kept features on each rank, in GiB; 0 keeps none, in memory or on disk.
        folder: where files keep them for other runs, whatever their split; they are mapped into memory, and `gib` does
            not bound them. None keeps them for this run.
        dtype: 'float32', or 'float16' in half the space.
        partial: where not all fits, keep what does and encode the rest each time; False refuses.
        strong_views: strong views of each image that are drawn and encoded once, where training augments; 0 draws new
            ones in each epoch, which the tower encodes.

    Raises:
        ConfigError: a value is invalid.
    """

    gib: NotNegative = 1.0
    folder: str | os.PathLike | None = None
    dtype: Literal['float32', 'float16'] = 'float32'
    partial: bool = True
    strong_views: Whole = 0

    def __post_init__(self) -> None:
        check_values(CacheOptions.__init__, vars(self), WHERE)

    @property
    def path(self) -> Path | None:
        """The folder."""
        return None if self.folder is None else Path(self.folder)

    @property
    def torch_dtype(self) -> torch.dtype:
        """The type that features are kept in."""
        return DTYPES[self.dtype]


CACHE_KEYS = tuple(field.name for field in fields(CacheOptions))


def checked_options(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """All options, with defaults where nothing is given.

    Raises:
        ConfigError: a key is unknown, or a value invalid.
    """
    for key in given or {}:
        if key not in CACHE_KEYS:
            raise ConfigError(
                f"{WHERE}: found the unknown key '{key}', expected one of {', '.join(CACHE_KEYS)}."
                f'{nearest(key, CACHE_KEYS)}'
            )
    return asdict(CacheOptions(**(given or {})))
