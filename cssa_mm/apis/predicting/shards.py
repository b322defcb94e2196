"""Scores of about a thousand images a file, each written whole or not at all, and which file has which image."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cssa_mm.apis.predicting.sources import ImageList, facts_of, is_address
from cssa_mm.archives import read_arrays
from cssa_mm.errors import DataError
from cssa_mm.files import replacing

SHARD_SIZE = 1024
OPEN = 32  # shards in memory while rows are read: images that were added later lie in others, about 1 MB each


class Shard(NamedTuple):
    """What is known of n images.

    names: as the list of images has them.
    facts: of the files as they were read; see `facts_of`.
    reasons: why an image is bad; '' for a good one.
    scores, raw_scores: float32 (n, C); nan for a bad image.
    """

    names: list[str]
    facts: list[str]
    reasons: list[str]
    scores: np.ndarray
    raw_scores: np.ndarray


class Shards:
    """The shards of a folder, by number; later ones were written later.

    Args:
        folder: where they lie; it is made when the first is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def numbers(self) -> list[int]:
        """Those that are there, in order."""
        found = ((path, int(path.stem)) for path in self.folder.glob('[0-9]*.npz') if path.stem.isdecimal())
        return sorted(number for path, number in found if path == self.path(number))

    def path(self, number: int) -> Path:
        """Where a shard lies."""
        return self.folder / f'{number:06}.npz'

    def write(self, number: int, shard: Shard) -> None:
        """Write a shard, whole or not at all."""
        text = json.dumps([shard.names, shard.facts, shard.reasons], ensure_ascii=False)
        with replacing(self.path(number)) as partial:
            np.savez(
                partial,
                text=np.frombuffer(text.encode('utf-8', 'surrogatepass'), np.uint8),
                scores=shard.scores,
                raw_scores=shard.raw_scores,
            )

    def read(self, number: int) -> Shard:
        """Read a shard.

        Raises:
            DataError: it is damaged.
        """
        scores, raw_scores = self._arrays(number, 'scores', 'raw_scores')
        texts = self.texts(number)
        for array in (scores, raw_scores):
            if array.ndim != 2 or len(array) != len(texts[0]) or array.shape != scores.shape or array.dtype.kind != 'f':
                raise self._damaged(number, f'scores of shape {array.shape} for {len(texts[0])} images')
        return Shard(*texts, scores, raw_scores)

    def texts(self, number: int) -> tuple[list[str], list[str], list[str]]:
        """Names, facts and reasons of a shard, without its scores.

        Raises:
            DataError: it is damaged.
        """
        (text,) = self._arrays(number, 'text')
        try:
            content = json.loads(text.tobytes().decode('utf-8', 'surrogatepass'))
        except ValueError as error:
            raise self._damaged(number, str(error)) from error
        is_whole = isinstance(content, list) and len(content) == 3 and all(isinstance(part, list) for part in content)
        if not is_whole or len({len(part) for part in content}) != 1 or not _are_texts(content):
            raise self._damaged(number, 'no names, facts and reasons')
        names, facts, reasons = content
        return names, facts, reasons

    def _arrays(self, number: int, *names: str) -> list[np.ndarray]:
        try:
            return read_arrays(self.path(number), *names)
        except ValueError as error:
            raise self._damaged(number, str(error)) from error

    def _damaged(self, number: int, reason: str) -> DataError:
        return DataError(
            f'{self.path(number)}: found no readable shard of predictions ({" ".join(reason.split())}), expected the '
            'file as it was written; delete it, and run again: its images are predicted anew'
        )


def _are_texts(parts: Sequence[Sequence[object]]) -> bool:
    return all(isinstance(item, str) for part in parts for item in part)


class Ledger:
    """Which shard has the prediction of each of the N images of a list, and in which row.

    Attributes:
        shard: int32 (N,), the number of the shard; -1 where there is no prediction.
        row: int32 (N,).
    """

    def __init__(self, images: ImageList) -> None:
        self.images = images
        self.shard = np.full(len(images), -1, np.int32)
        self.row = np.zeros(len(images), np.int32)

    def enter(self, number: int, positions: Sequence[int] | np.ndarray) -> None:
        """Note that a shard has the images at these positions, in this order; -1 is none of the list."""
        rows = np.arange(len(positions), dtype=np.int32)
        places = np.asarray(positions, np.int64)
        is_listed = places >= 0
        self.shard[places[is_listed]] = number
        self.row[places[is_listed]] = rows[is_listed]

    def missing(self) -> np.ndarray:
        """The positions without a prediction."""
        return np.flatnonzero(self.shard < 0)

    def rows(self, shards: Shards) -> Iterator[tuple[int, Shard, int]]:
        """Each image that has a prediction, in the order of the list: its position, its shard and its row there."""
        opened: OrderedDict[int, Shard] = OrderedDict()
        for position in range(len(self.shard)):
            number = int(self.shard[position])
            if number < 0:
                continue
            if number not in opened:
                if len(opened) == OPEN:
                    opened.popitem(last=False)
                opened[number] = shards.read(number)
            opened.move_to_end(number)
            yield position, opened[number], int(self.row[position])


class Found(NamedTuple):
    """What shards of an earlier run have: the ledger, and how many of their images are gone or have changed."""

    ledger: Ledger
    gone: int
    changed: int


def look_up(shards: Shards, images: ImageList) -> Found:
    """Find the images of a list in shards: those whose file is the one that was read, and whose address was."""
    ledger = Ledger(images)
    numbers = shards.numbers()
    if not numbers:
        return Found(ledger, 0, 0)
    places = {name: position for position, name in enumerate(images.names)}
    gone: set[str] = set()
    changed: set[int] = set()  # those of which no shard has the file as it is
    for number in numbers:
        names, facts, reasons = shards.texts(number)
        positions = []
        for name, fact, reason in zip(names, facts, reasons, strict=True):
            position = places.get(name, -1)
            if position < 0:
                gone.add(name)
            elif reason and is_address(name):  # whose storage may answer now
                position = -1
            elif facts_of(images.path(position)) != fact:
                changed.add(position)
                position = -1
            else:
                changed.discard(position)
            positions.append(position)
        ledger.enter(number, positions)
    return Found(ledger, len(gone), len(changed))


def remove_partial(folder: Path) -> None:
    """Remove what a killed run left of a file."""
    for path in folder.glob('.*.tmp*'):
        if path.is_file():
            os.unlink(path)
