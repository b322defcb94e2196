"""What is kept of the frozen features, and where: as much as memory or disk can hold, said before it starts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.dist import all_gather_object

from cssa_mm.errors import ConfigError
from cssa_mm.features.options import WHERE

GIB = 2**30
SHARE = 0.9  # of what is free: other programs run, too


@dataclass(frozen=True)
class Space:
    """Bytes that may be filled, on each rank alike: the least that any rank has.

    memory: on each rank; disk: in the folder, 0 without one.
    """

    memory: float
    disk: float = 0.0

    @classmethod
    def of_ranks(cls, gib: float, folder: Path | None) -> Space:
        """What the ranks have within `gib`; all of them must call it."""
        on_machine = int(os.environ.get('LOCAL_WORLD_SIZE') or 1)
        own = min(gib * GIB, SHARE * free_memory() / on_machine), SHARE * free_disk(folder) if folder else 0.0
        return cls(*(min(values) for values in zip(*all_gather_object(own), strict=True)))


@dataclass(frozen=True)
class Plan:
    """Which images are kept, and where.

    images: their indices (n,), in order.
    on_disk: in the folder; else in memory.
    is_all: whether these are all that was asked for.
    """

    images: np.ndarray
    on_disk: bool
    is_all: bool


def choose(
    images: np.ndarray, missing: np.ndarray | None, sides: int, view_bytes: int, space: Space, partial: bool
) -> Plan:
    """Keep the first images that fit: on disk if that holds all, else where more of them fit.

    Args:
        images: indices (n,), the most useful first.
        missing: how many views of each (n,) the folder lacks; None without a folder.
        sides: views of an image.
        view_bytes: size of a view.
        space: what may be filled.
        partial: whether a part of the images will do.

    Raises:
        ConfigError: they don't all fit, and must.
    """
    total = len(images) * sides * view_bytes
    in_memory = images[: int(min(space.memory, total) // (sides * view_bytes))]
    on_disk = images[:0]
    if missing is not None:
        order = np.argsort(missing > 0, kind='stable')  # what is there already needs no room
        on_disk = images[order[np.cumsum(missing[order]) * view_bytes <= space.disk]]
    if not partial and max(len(in_memory), len(on_disk)) < len(images):
        raise ConfigError(
            f'{WHERE}: found {total / GIB:.3g} GiB of features ({len(images) * sides:,} views), expected at most the '
            f'{space.memory / GIB:.3g} GiB of memory or the {space.disk / GIB:.3g} GiB of disk that they may fill; '
            "raise gib, name a folder on a larger disk, or set dtype='float16' or partial=True"
        )
    is_on_disk = missing is not None and len(on_disk) >= len(in_memory)
    kept = np.sort(on_disk if is_on_disk else in_memory)
    return Plan(kept, is_on_disk, len(kept) == len(images))


def announcement(plan: Plan, images: int, sides: int, view_bytes: int, missing: int, seconds: float, where: str) -> str:
    """One line: how many views are kept where, their size, and how long encoding takes.

    Args:
        plan: what is kept.
        images: how many were asked for.
        sides: views of an image.
        view_bytes: size of a view.
        missing: views that will be encoded.
        seconds: what that takes.
        where: 'memory', or the folder.
    """
    views = len(plan.images) * sides
    said = f'Features: {views:,} views of {len(plan.images):,} images, {_size(views * view_bytes)} in {where}'
    said += f'; encoding {missing:,} of them takes about {_duration(seconds)}' if missing else '; all are there'
    rest = images - len(plan.images)
    return said + (f'. {rest:,} images do not fit: they are encoded each time' if rest else '')


def free_memory() -> float:
    """Bytes that can be used without swapping; infinite where the system doesn't say."""
    facts = Path('/proc/meminfo')
    lines = facts.read_text().splitlines() if facts.is_file() else []
    free = [int(line.split()[1]) * 1024 for line in lines if line.startswith('MemAvailable:')]
    return min([*free, *_limits()], default=float('inf'))


def _limits() -> Sequence[float]:
    """What the control group of a container leaves."""
    limit, used = (Path('/sys/fs/cgroup', name) for name in ('memory.max', 'memory.current'))
    if not (limit.is_file() and used.is_file()) or (text := limit.read_text().strip()) == 'max':
        return ()
    return (max(float(text) - float(used.read_text()), 0.0),)


def free_disk(folder: Path) -> float:
    """Bytes that can be written into a folder, which need not exist; 0 where that is not allowed."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free if os.access(place, os.W_OK) and place.is_dir() else 0.0


def _size(count: float) -> str:
    if count >= GIB / 10:
        return f'{count / GIB:.2f} GiB'
    return f'{count / 2**20:.1f} MiB' if count >= 2**20 else f'{count / 2**10:.1f} KiB'


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f'{max(seconds, 1):.0f} s'
    return f'{seconds / 60:.0f} min' if seconds < 5400 else f'{seconds / 3600:.1f} h'
