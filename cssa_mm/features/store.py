"""Frozen features on disk, in shards that runs and ranks share.

    FOLDER/
      4f1c.../              tower, code, view and type of the numbers: what every shard in it agrees on
        0b2e....safetensors   `local` (n, N, D) and `global` (n, D); in the header the key of each row, and a checksum

A key stands for one view of one image. A shard is written aside and renamed, so that a killed run leaves whole shards
alone; its name follows from its keys, so that runs which write the same views at once write the same file. Each process
compares the checksum of a shard once, when it first meets it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from mmengine.logging import print_log
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from cssa_mm.errors import DataError
from cssa_mm.features.cache import Features
from cssa_mm.files import replacing

SUFFIX = '.safetensors'
ROWS = 512  # views of a shard: 50 to 100 MiB for RN50 at 224
CLAIM = '.claim'
CHECKSUM = 'checksum'
LEFT_OVER = 3600.0  # seconds after which a file that was written aside is taken for that of a killed run


class FeatureStore:
    """The shards of one folder, memory-mapped.

    Args:
        folder: need not exist.

    Attributes:
        places: the shard and the row of each key.
        shards: local (n, N, D) and global (n, D) features of each.
        bad: why an image could not be read, by the key of its view.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.places: dict[str, tuple[int, int]] = {}
        self.shards: list[Features] = []
        self.bad: dict[str, str] = {}
        self._known: set[str] = set()
        self._forgets_bad = False
        self.refresh()

    def refresh(self) -> None:
        """Read the shards that have been written since; a broken one is left out and removed, with one line."""
        for path in sorted(self.folder.glob(f'*{SUFFIX}')):
            if path.name.startswith('.') or path.name in self._known:
                continue
            try:
                self._add(path)
            except FileNotFoundError:  # another process has found it broken, too, and removed it
                continue
            except (SafetensorError, KeyError, ValueError, RecursionError) as error:
                reason = ' '.join(str(error).split())
                line = f'{path}: found no readable features ({reason}); it is removed, and they are encoded again'
                print_log(line, 'current', logging.WARNING)
                with contextlib.suppress(OSError):  # of others: then it is only left out
                    path.unlink(missing_ok=True)

    def _add(self, path: Path) -> None:
        with safe_open(path, 'pt') as file:
            header, local, pooled = file.metadata() or {}, file.get_tensor('local'), file.get_tensor('global')
        keys, bad = json.loads(header['keys']), json.loads(header['bad'])
        if not isinstance(keys, list) or not isinstance(bad, dict):
            raise ValueError('no list of keys, or no reasons')
        if not all(isinstance(text, str) for text in (*keys, *bad, *bad.values())):
            raise ValueError('keys or reasons that are no texts')
        shapes = [(len(keys), *local.shape[1:]), (len(keys), local.shape[-1])] if local.ndim == 3 else []
        if [local.shape, pooled.shape] != shapes or not (local.is_floating_point() and pooled.is_floating_point()):
            raise ValueError(f'{len(keys)} keys for features of shapes {tuple(local.shape)} and {tuple(pooled.shape)}')
        if CHECKSUM in header and header[CHECKSUM] != checksum(header, local, pooled):  # earlier versions wrote none
            raise ValueError('other contents than its checksum says')
        for row, key in enumerate(keys):
            if not (self._forgets_bad and key in bad):
                self.places.setdefault(key, (len(self.shards), row))
        self.shards.append((local, pooled))
        self.bad |= bad
        self._known.add(path.name)

    def write(self, keys: Sequence[str], local: Tensor, pooled: Tensor, bad: Mapping[str, str]) -> None:
        """Write a shard.

        Raises:
            DataError: the disk is full.
        """
        path = self.folder / f'{digest(keys)}{SUFFIX}'
        header = dict(keys=json.dumps(list(keys)), bad=json.dumps(dict(bad)))
        header[CHECKSUM] = checksum(header, local, pooled)
        content = {'local': local.contiguous(), 'global': pooled.contiguous()}
        try:
            with replacing(path) as partial:
                save_file(content, partial, metadata=header)
        # The library has an error of its own for what the system says.
        except (OSError, SafetensorError) as error:
            is_full = getattr(error, 'errno', None) == errno.ENOSPC or 'os error 28' in str(error).lower()
            if not is_full and not isinstance(error, SafetensorError):
                raise
            raise DataError(
                f'{self.folder}: found {"no space left" if is_full else error} while features were written, expected '
                f'{sum(tensor.nbytes for tensor in content.values()) / 2**20:.0f} MiB more; make room and start '
                'again: the shards that are there are kept'
            ) from error

    def forget_bad(self) -> None:
        """From now on take views of images that could not be read for missing: nobody leaves such images out here."""
        self._forgets_bad = True
        self.places = {key: place for key, place in self.places.items() if key not in self.bad}

    @contextlib.contextmanager
    def claimed(self, keys: Sequence[str], may_wait: bool) -> Iterator[bool]:
        """Whether this process alone encodes these keys, among all that build in this folder.

        Args:
            keys: the same for whoever wants them.
            may_wait: wait for the process that has them, until it has written them or ended.
        """
        path = self.folder / f'.{digest(keys)}{CLAIM}'
        lock = FileLock(path)
        try:
            lock.acquire(timeout=-1 if may_wait else 0)
        except Timeout:
            yield False
            return
        except (NotImplementedError, OSError):  # a file system without locks: several may encode the same
            yield True
            return
        try:
            yield True
        finally:
            lock.release()
            with contextlib.suppress(OSError):
                path.unlink()

    def remove_left_overs(self) -> None:
        """Remove what killed runs have written aside, and their claims."""
        for path in (*self.folder.glob(f'.*.tmp{SUFFIX}'), *self.folder.glob(f'.*{CLAIM}')):
            with contextlib.suppress(OSError):  # another run removes it at the same time
                if time.time() - path.stat().st_mtime > LEFT_OVER:
                    path.unlink()


def checksum(header: Mapping[str, str], local: Tensor, pooled: Tensor) -> str:
    """The CRC-32 of all that a shard holds: keys, reasons, and its tensors (n, N, D) and (n, D)."""
    total = zlib.crc32(json.dumps([header['keys'], header['bad']]).encode())
    for tensor in (local, pooled):
        total = zlib.crc32(f'{tensor.dtype} {tuple(tensor.shape)}'.encode(), total)
        total = zlib.crc32(tensor.contiguous().view(torch.uint8).numpy().data, total)
    return f'{total:08x}'


def digest(facts: Iterable[object]) -> str:
    """A hash of facts that JSON can hold."""
    return hashlib.sha256(json.dumps(list(facts), default=str).encode()).hexdigest()[:24]
