"""One way to open whatever holds a model: a training checkpoint, a hub folder, or an ONNX file."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from cssa_mm.apis.exporting.onnx_scorer import OnnxScorer
from cssa_mm.apis.loading import load_model
from cssa_mm.apis.scorer import Scorer, TorchScorer
from cssa_mm.errors import ConfigError


def open_scorer(
    path: str | os.PathLike,
    *,
    device: str | torch.device | None = None,
    tower: str | os.PathLike | None = None,
) -> Scorer:
    """Open a model for scoring.

    Args:
        path: a checkpoint that training wrote (.pth), a folder of `export_hub`, or a file of `export_onnx` (.onnx).
        device: 'cpu', 'cuda' or 'mps'; by default the best one for a checkpoint, the CPU for an ONNX file.
        tower: new path of the weights of a checkpoint's tower, if they were moved.

    Raises:
        CheckpointError: it is missing, broken or none of these.
        ConfigError: the machine has no such device, or a tower is given with a file that holds its own.
        ToolboxError: onnxruntime is needed and not installed.
    """
    if Path(path).suffix == '.onnx':
        if tower is not None:
            raise ConfigError(f"tower: found '{tower}' with '{path}', which holds its tower; leave it out")
        return OnnxScorer(path, device=device)
    return TorchScorer(load_model(path, tower=tower, device=device))
