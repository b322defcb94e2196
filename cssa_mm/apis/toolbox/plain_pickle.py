"""Pickles of plain data and tensors, such as mmengine's `DumpResults` writes, read without running what others hold."""

from __future__ import annotations

import collections
import importlib
import io
import os
import pickle  # nosec B403 # the class below calls nothing but what it lists
from _codecs import encode
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._utils import _rebuild_tensor_v2


def _storage(content: bytes) -> Any:
    """The storage of a tensor; torch's own function of this place would run code."""
    return torch.load(io.BytesIO(content), map_location='cpu', weights_only=True)


def _of_numpy(module: str, name: str) -> Callable:
    """A function by which NumPy rebuilds arrays; before 2.0 its package has another name."""
    core = 'numpy._core' if np.lib.NumpyVersion(np.__version__) >= '2.0.0' else 'numpy.core'
    return getattr(importlib.import_module(f'{core}.{module}'), name)


KNOWN: dict[tuple[str, str], Any] = {
    ('collections', 'OrderedDict'): collections.OrderedDict,
    ('torch._utils', '_rebuild_tensor_v2'): _rebuild_tensor_v2,
    ('torch.storage', '_load_from_bytes'): _storage,
    ('torch', 'Tensor'): Tensor,
    ('numpy', 'dtype'): np.dtype,
    ('numpy', 'ndarray'): np.ndarray,
    ('builtins', 'bytearray'): bytearray,
    ('_codecs', 'encode'): encode,  # by which Python 2's protocol writes bytes
} | {
    (f'{core}.{module}', name): _of_numpy(module, name)
    for core in ('numpy.core', 'numpy._core')
    for module, name in (('multiarray', 'scalar'), ('multiarray', '_reconstruct'), ('numeric', '_frombuffer'))
}


class PlainUnpickler(pickle.Unpickler):
    """Rebuilds lists, dicts, texts, numbers, arrays and tensors, and refuses whatever else a pickle names."""

    def find_class(self, module: str, name: str) -> Any:
        """What a pickle names, if it is plain data."""
        try:
            return KNOWN[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f'it asks for {module}.{name}, which is no plain data') from None


def read_plain_pickle(path: str | os.PathLike) -> Any:
    """The content of a pickle of plain data.

    Raises:
        Exception: it is broken, or asks for something else; broken bytes raise nearly anything.
    """
    with open(path, 'rb') as file:
        return PlainUnpickler(file).load()
