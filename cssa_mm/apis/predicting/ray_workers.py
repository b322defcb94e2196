"""What workers of Ray do: load batches of images, and score them. Rows hold pickles, and nothing here needs Ray."""

from __future__ import annotations

import importlib
import io
import pickle  # nosec B403 # what our own driver sends
from typing import Any

import torch

from cssa_mm.apis.new_classes import NewClassScorer
from cssa_mm.apis.predicting.loading import load_batch
from cssa_mm.apis.predicting.scoring import read_batch
from cssa_mm.apis.scorer import Scorer, TorchScorer
from cssa_mm.datasets.view import View
from cssa_mm.errors import ConfigError
from cssa_mm.version import __version__


def packed(scorer: Scorer) -> bytes:
    """A scorer of torch as bytes, for `RowScorer`."""
    buffer = io.BytesIO()
    torch.save(scorer, buffer)
    return buffer.getvalue()


def load_row(row: dict[str, bytes], view: View, version: str) -> dict[str, bytes]:
    """What a task of Ray does: a pickled `Task` becomes a pickled `Loaded`.

    Raises:
        ConfigError: this worker has another version of the package.
    """
    _check_version(version)
    task = pickle.loads(row['item'])  # nosec B301 # of our own driver
    return dict(item=pickle.dumps(load_batch(task, view)))


class RowScorer:
    """What an actor of Ray does: a pickled `Loaded` becomes a pickled `ReadBatch`.

    Args:
        model: a scorer as `packed` has it, or its reference in Ray's object store.
        device: where it scores.
        version: of the package of the driver.
    """

    def __init__(self, model: Any, device: str, version: str) -> None:
        self.version = version
        content = model if isinstance(model, bytes) else importlib.import_module('ray').get(model)
        # No file: the scorer that our own driver has packed.
        self.scorer: Scorer = torch.load(io.BytesIO(content), map_location=device, weights_only=False)  # nosec B614
        if isinstance(self.scorer, TorchScorer | NewClassScorer):
            self.scorer.model.to(device)

    def __call__(self, row: dict[str, bytes]) -> dict[str, bytes]:
        """Score a batch.

        Raises:
            ConfigError: the memory of the device is too small, or this worker has another version of the package.
        """
        _check_version(self.version)
        widths = [len(self.scorer.class_names)] * 2
        loaded = pickle.loads(row['item'])  # nosec B301 # of our own tasks
        return dict(item=pickle.dumps(read_batch(loaded, self.scorer, widths)))


def _check_version(version: str) -> None:
    if version != __version__:
        raise ConfigError(
            f'ray: found cssa_mm {__version__} on a worker, expected {version} as on the driver; install the same '
            'version on all machines'
        )
