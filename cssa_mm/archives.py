"""Archives and arrays in files from anywhere: nothing is unpickled, and what would fill the memory is refused."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import numpy as np

UNPACKED = 2**28  # bytes that any archive may unpack to
LAST_LETTER = 0x10FFFF
RATIO = 100  # times its own size that a larger one may; workbooks and scores take a tenth to a twentieth


def is_bomb(packed: int, unpacked: int) -> bool:
    """Whether so many bytes unpack to more than any file may that a program writes to be read."""
    return unpacked > UNPACKED and unpacked > RATIO * packed


@contextmanager
def opened_archive(file: str | os.PathLike | IO[bytes]) -> Iterator[zipfile.ZipFile]:
    """A ZIP archive to read from. A member never yields more bytes than the archive says it has.

    Raises:
        ValueError: it is none, or would unpack to far more than its size.
    """
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        packed, unpacked = (sum(size) for size in ([m.compress_size for m in members], [m.file_size for m in members]))
        # Members may share their bytes, as no program writes them.
        if archive.fp is not None:
            packed = min(packed, archive.fp.seek(0, os.SEEK_END))
        if is_bomb(packed, unpacked):
            raise ValueError(f'an archive of {packed:,} bytes that unpacks to {unpacked:,}')
        yield archive


def read_arrays(path: str | os.PathLike, *names: str) -> list[np.ndarray]:
    """The arrays of these names in a file that `numpy.savez` wrote.

    Raises:
        ValueError: the file is missing, broken, or lacks one of them.
    """
    try:
        with opened_archive(path) as archive:
            arrays = []
            for name in names:
                with archive.open(f'{name}.npy') as stream:
                    arrays.append(read_array(stream))
            return arrays
    # The modules that unpack and parse raise what they like on broken bytes, as zlib.error and tokenize.TokenError.
    except Exception as error:
        raise ValueError(' '.join(str(error).split()) or type(error).__name__) from error


def read_array(stream: IO[bytes]) -> np.ndarray:
    """The array in the bytes of a file that `numpy.save` wrote.

    Raises:
        ValueError: they are broken, hold objects, which would be unpickled, or say that they hold more than memory.
    """
    try:
        array = np.lib.format.read_array(stream, allow_pickle=False)
        if array.dtype.kind == 'U' and array.size:
            codes = np.frombuffer(array.astype(array.dtype.newbyteorder('=')).tobytes(), np.uint32)
            if codes.size and codes.max() > LAST_LETTER:
                raise ValueError('texts with codes of no letter')
        return array
    # The header is parsed as Python, and sizes the memory.
    except Exception as error:
        raise ValueError(' '.join(str(error).split()) or type(error).__name__) from error
