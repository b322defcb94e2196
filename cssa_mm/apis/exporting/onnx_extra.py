"""The packages of the extra `onnx`: imported when they are needed, missed in one line."""

from __future__ import annotations

import importlib
from typing import Any

from cssa_mm.errors import ToolboxError


def needed(name: str, purpose: str) -> Any:
    """The module `onnx`, `onnxscript` or `onnxruntime`.

    Args:
        name: of the module.
        purpose: what it is needed for, such as 'an export'.

    Raises:
        ToolboxError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ToolboxError(
            f'{name}: found none ({" ".join(str(error).split())}), expected it for {purpose}; install it: pip install '
            "'cssa_mm[onnx]'"
        ) from error
