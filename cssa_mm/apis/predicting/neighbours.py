"""Neighbours among the images that are predicted: some are read before any is scored, and no label is involved."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cssa_mm.apis.predicting.scoring import ReadImages, read_in_chunks
from cssa_mm.apis.predicting.shards import Shard
from cssa_mm.apis.predicting.sources import ImageList, facts_of, is_address
from cssa_mm.apis.scorer import TorchScorer
from cssa_mm.errors import ConfigError, DataError
from cssa_mm.files import replacing
from cssa_mm.models import CSSAClassifier
from cssa_mm.models.neighbours import Neighbours

FILE = 'neighbours.pt'
KEPT = Path('shards', FILE)  # in the folder of predictions
FEWEST = 2  # readable images: one alone has no neighbour


class NearbyImages:
    """The images that become neighbours: all of a list, or `max_images` of them (`Neighbours`), drawn by a seed.

    What was read in them, the model's own logits and the global features, is kept in a file. So a prediction that goes
    on, or gets more images than the last time, leans on the same neighbours; and none of them is encoded twice.

    Args:
        images: the list.
        path: the file; None keeps none.
        replaces: whether another file takes the place of the one that is there.
        batch_size: images encoded at a time.
        workers: processes that decode.
        seed: of the draw.
    """

    def __init__(
        self,
        images: ImageList,
        path: Path | None = None,
        *,
        replaces: bool = False,
        batch_size: int = 32,
        workers: int = 0,
        seed: int = 0,
    ) -> None:
        self.images = images
        self.path = path
        self.replaces = replaces
        self.batch_size = batch_size
        self.workers = workers
        self.seed = seed
        self.seconds = 0.0  # that reading took
        self._read = ReadImages([], [], [], [])
        self._made_with = ''
        self._is_loaded = False
        self._rows: dict[int, int] = {}  # position in the list -> row, of those that are still the same file

    def fit(self, model: CSSAClassifier) -> None:
        """Read the images, unless an earlier run has, and give them to the model as its neighbours.

        With fewer than two readable images the model answers as it does without neighbours.

        Args:
            model: an untrained model with `Neighbours`, in eval mode.

        Raises:
            ConfigError: the readings in the file are of another model.
            DataError: the file is damaged.
        """
        made_with = _hash([model.description(), model.head.bias.tolist()])
        if not self._made_with:
            self._is_loaded = self._load(made_with)
        if not self._made_with and not self._is_loaded:
            began = time.monotonic()
            self._read_images(model)
            self.seconds = time.monotonic() - began
        self._made_with = made_with
        places = {name: position for position, name in enumerate(self.images.names)}
        listed = [(places.get(name, -1), row) for row, name in enumerate(self._read.names)]
        self._rows = {position: row for position, row in listed if position >= 0 and self._is_same(position, row)}
        good = np.flatnonzero([not reason for reason in self._read.reasons])
        if len(good) >= FEWEST:
            logits, pooled = self._tensors(good, model)
            neighbours = _neighbours_of(model)
            neighbours.fit_logits(logits, pooled, neighbours.store(pooled, self.seed))

    def save(self) -> None:
        """Write the file, unless this is the earlier one."""
        if self.path is not None and not self._is_loaded:
            content = self._read._asdict() | dict(values=[torch.from_numpy(value) for value in self._read.values])
            with replacing(self.path) as partial:
                torch.save(content | dict(made_with=self._made_with), partial)

    def digest(self) -> str:
        """A hash of the images, by which others are seen."""
        return _hash([self._read.names, self._read.facts])

    def among(self, positions: np.ndarray) -> np.ndarray:
        """Those of some positions in the list whose images were read."""
        return np.array([position for position in positions if position in self._rows], np.int64)

    def scored(self, scorer: TorchScorer, missing: np.ndarray, shard_size: int) -> Iterator[tuple[np.ndarray, Shard]]:
        """The scores of the images that were read, of those at some positions in the list, shard by shard."""
        positions = self.among(missing)
        for chunk in np.split(positions, range(shard_size, len(positions), shard_size)) if len(positions) else ():
            rows = [self._rows[position] for position in chunk]
            texts = self._read.names, self._read.facts, self._read.reasons
            names, facts, reasons = ([text[row] for row in rows] for text in texts)
            logits, pooled = self._tensors(rows, scorer.model)
            scores = scorer.of_logits(_neighbours_of(scorer.model).smooth(logits, pooled))
            yield chunk, Shard(names, facts, reasons, *scores)

    def features(self, positions: np.ndarray) -> np.ndarray:
        """Frozen global features (n, D) of the images at some positions in the list, all of them `among`."""
        return self._read.values[1][[self._rows[position] for position in positions]]

    def text(self) -> str:
        """What to know of them."""
        count = sum(not reason for reason in self._read.reasons)
        if count < FEWEST:
            return f'neighbours: none, as {count} image could be read'
        said = f'neighbours: a score leans on those of the images that look most alike, among {count:,}'
        return said + ' that an earlier run has read; --force reads them anew' * self._is_loaded

    def _is_same(self, position: int, row: int) -> bool:
        if is_address(self.images.names[position]):  # whose storage may answer now
            return not self._read.reasons[row]
        return facts_of(self.images.path(position)) == self._read.facts[row]

    def _tensors(self, rows: Any, model: CSSAClassifier) -> list[Tensor]:
        """Logits (n, C) and global features (n, D) of some rows."""
        return [torch.from_numpy(value[rows]).to(model.head.bias.device) for value in self._read.values]

    def _read_images(self, model: CSSAClassifier) -> None:
        positions = np.arange(len(self.images))
        most = _neighbours_of(model).max_images
        if len(positions) > most:
            generator = np.random.default_rng(self.seed)
            positions = np.sort(generator.choice(positions, most, replace=False))
        scorer = TorchScorer(model)

        def of_pixels(pixels: Tensor) -> list[np.ndarray]:
            local, pooled = scorer.features(pixels)
            logits = model.alignment_of(local, pooled).logits
            return [values.float().cpu().numpy() for values in (logits, pooled)]

        read = read_in_chunks(
            of_pixels,
            scorer.view,
            self.images,
            positions,
            widths=[len(model.class_names), _neighbours_of(model).keys.shape[1]],
            chunk_size=len(positions),
            batch_size=self.batch_size,
            workers=self.workers,
            description='Reading neighbours',
        )
        with closing(read):
            _, self._read = next(read)

    def _load(self, made_with: str) -> bool:
        """Take over what an earlier run has read; False if there is none."""
        if self.replaces or self.path is None or not self.path.is_file():
            return False
        try:
            content = torch.load(self.path, map_location='cpu', weights_only=True)
            known = content.pop('made_with')
            self._read = ReadImages(**content | dict(values=[value.numpy() for value in content['values']]))
        # Broken bytes raise nearly anything.
        except Exception as error:
            raise DataError(
                f'{self.path}: found no readable neighbours ({type(error).__name__}), expected the file as it was '
                'written; give another --out, or --force to start anew'
            ) from error
        if known != made_with:
            raise ConfigError(
                f'{self.path}: found neighbours that another model has read, expected those of the model that was '
                'given; give another --out, or --force to start anew'
            )
        return True


def readings_in(predictions: str | os.PathLike) -> Path:
    """The file that predictions with neighbours keep in their folder.

    Raises:
        ConfigError: there is none.
    """
    path = Path(predictions).expanduser() / KEPT
    if not path.is_file():
        raise ConfigError(
            f"neighbours: found no {KEPT} in '{predictions}', expected a folder that predict --neighbours has written; "
            'give --neighbours alone to read the photos'
        )
    return path


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()


def _neighbours_of(model: CSSAClassifier) -> Neighbours:
    if model.neighbours is None:
        raise ConfigError('model.neighbours: found None, expected the options of Neighbours')
    return model.neighbours
