"""An ONNX file of `export_onnx` as a scorer: `Predictor(OnnxScorer('model.onnx'))`, without torch's model."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from mmpretrain.registry import TRANSFORMS
from torch import Tensor

from cssa_mm.apis.exporting.onnx_extra import needed
from cssa_mm.apis.exporting.onnx_file import INPUT, OUTPUTS
from cssa_mm.apis.scorer import Scores
from cssa_mm.errors import CheckpointError, ConfigError
from cssa_mm.models.description import check_registered
from cssa_mm.models.thresholds import ClassThresholds

PROVIDERS = dict(cpu='CPUExecutionProvider', cuda='CUDAExecutionProvider')


class OnnxScorer:
    """The model in an ONNX file.

    It computes with as many threads as torch. Images of another size than that of the training are warned of, once.

    Args:
        path: a file that `export_onnx` wrote.
        device: 'cpu' (the default) or 'cuda', which needs onnxruntime-gpu.

    Raises:
        ToolboxError: onnxruntime is not installed.
        CheckpointError: the file is missing, broken, or of another product.
        ConfigError: this onnxruntime has no such device.
    """

    def __init__(self, path: str | os.PathLike, *, device: str | torch.device | None = None) -> None:
        ort = needed('onnxruntime', f"the model '{path}'")
        if not Path(path).is_file():
            raise CheckpointError(f"checkpoint: found no file '{path}', expected an ONNX file; correct the path")
        self.path = Path(path)
        self._session = self._opened(ort, str(device or 'cpu'))
        self._facts = self._read_facts()
        names = self._facts['class_names']
        self.class_names: list[str] = list(names)
        self.zero_shot_names: tuple[str, ...] = tuple(self._facts['zero_shot_names'])
        self.thresholds = ClassThresholds.from_dict(self._facts['thresholds'], len(names))
        check_registered('view', self._facts['view'], TRANSFORMS)
        self.view = TRANSFORMS.build(dict(self._facts['view']))
        self._size = self._facts['input_size']

    def __call__(self, pixels: Tensor) -> Scores:
        """Scores of images that the view has made, uint8 (B, 3, H, W), RGB."""
        size = list(pixels.shape[-2:])
        if self._size is not None and size != list(self._size):
            print_log(
                f'{self.path}: found images of {size[0]} x {size[1]}, expected {self._size[0]} x {self._size[1]}, on '
                'which the model was trained; the scores are worse',
                'current',
                logging.WARNING,
            )
            self._size = None  # once
        return Scores(*self._session.run(list(OUTPUTS), {INPUT: pixels.cpu().numpy()}))

    def facts(self) -> dict[str, Any]:
        """What the scores rest on, as plain data; see `model_facts`."""
        return self._facts

    def _opened(self, ort: Any, device: str) -> Any:
        kind = device.split(':')[0]
        if PROVIDERS.get(kind) not in ort.get_available_providers():
            raise ConfigError(
                f"device: found '{device}' for an ONNX file, expected one that this onnxruntime has "
                f'({", ".join(key for key, name in PROVIDERS.items() if name in ort.get_available_providers())}); '
                'cuda needs pip install onnxruntime-gpu'
            )
        options = ort.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4  # an error is raised; its log line would come on top
        try:
            return ort.InferenceSession(str(self.path), options, providers=[PROVIDERS[kind]])
        except Exception as error:  # onnxruntime's own classes share no base
            raise CheckpointError(
                f"checkpoint: found '{self.path}' that onnxruntime cannot open ({' '.join(str(error).split())[:160]}), "
                'expected a whole ONNX file that cssa export wrote; export it again'
            ) from error

    def _read_facts(self) -> dict[str, Any]:
        metadata = self._session.get_modelmeta().custom_metadata_map
        names = [value.name for value in (*self._session.get_inputs(), *self._session.get_outputs())]
        try:
            facts = json.loads(metadata['cssa_mm'])
            is_ours = names == [INPUT, *OUTPUTS] and {'class_names', 'zero_shot_names', 'thresholds'} <= facts.keys()
            is_ours = is_ours and {'view', 'input_size'} <= facts.keys()
        except (KeyError, ValueError, AttributeError):
            is_ours = False
        if not is_ours:
            raise CheckpointError(
                f"checkpoint: found '{self.path}' with inputs and outputs {', '.join(names)[:80]} and without facts of "
                'a model of cssa_mm in its metadata, expected a file that cssa export --onnx wrote; take another'
            )
        return facts
