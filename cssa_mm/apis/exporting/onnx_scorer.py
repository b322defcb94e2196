"""An ONNX file of `export_onnx` as a scorer: `Predictor(OnnxScorer('model.onnx'))`, without a model of torch."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from mmpretrain.registry import TRANSFORMS
from torch import Tensor

from cssa_mm.apis.exporting.onnx_extra import needed
from cssa_mm.apis.exporting.onnx_metadata import INPUT, OUTPUTS, read_facts
from cssa_mm.apis.scorer import SMALL, Scores
from cssa_mm.datasets.view import View
from cssa_mm.errors import CheckpointError, ConfigError, DataError
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
        self.path = Path(path)
        if not self.path.is_file():
            raise CheckpointError(f"checkpoint: found no file '{path}', expected an ONNX file; correct the path")
        self._session = self._opened(ort, str(device or 'cpu'))
        self._facts, self._steps = self._read_facts()
        names = self._facts['class_names']
        self.thresholds = ClassThresholds.from_dict(self._facts['thresholds'], len(names))
        self.class_names: list[str] = list(names)
        self.zero_shot_names: tuple[str, ...] = tuple(self._facts['zero_shot_names'])
        check_registered('view', self._facts['view'], TRANSFORMS, View)
        try:
            self.view: View = TRANSFORMS.build(dict(self._facts['view']))
        except (TypeError, ConfigError) as error:
            raise self._wrong(f'a view that this version does not know ({" ".join(str(error).split())})') from error
        self._trained_size = self._facts['input_size']
        self._least = min(SMALL, *(self._trained_size or [SMALL]))

    def __call__(self, pixels: Tensor) -> Scores:
        """Scores of images that the view has made, uint8 (B, 3, H, W), RGB.

        Raises:
            DataError: the file takes images of another size alone, or they are too small for the tower.
        """
        height, width = pixels.shape[-2:]
        if min(height, width) < self._least:  # a tower without a position is no error here: its scores mean nothing
            raise DataError(
                f'image: found one of {height} x {width} pixels (height x width), too small for the tower, expected at '
                f'least {self._least} x {self._least}; enlarge it, or resize all images by view.size'
            )
        if self._trained_size not in (None, [height, width]):
            expected = ' x '.join(map(str, self._trained_size))
            print_log(
                f'{self.path}: found images of {height} x {width}, expected {expected}, on which the model was '
                'trained; on others its scores and thresholds mean less',
                'current',
                logging.WARNING,
            )
            self._trained_size = None  # once
        try:
            return Scores(*self._session.run(list(OUTPUTS), {INPUT: pixels.cpu().numpy()}))
        except Exception as error:  # onnxruntime's own classes share no base
            if self._steps.get('any_size'):
                raise
            raise DataError(
                f'{self.path}: found images of {height} x {width}, expected those of the training: this tower takes no '
                'other size; resize them'
            ) from error

    def facts(self) -> dict[str, Any]:
        """What the scores rest on, as plain data; see `model_facts`."""
        return self._facts

    def _opened(self, ort: Any, device: str) -> Any:
        kind = device.split(':')[0]
        known = [key for key, provider in PROVIDERS.items() if provider in ort.get_available_providers()]
        if kind not in known:
            raise ConfigError(
                f"device: found '{device}' for the ONNX file '{self.path}', expected one that this onnxruntime has: "
                f'{", ".join(known)} (cuda comes with pip install onnxruntime-gpu)'
            )
        options = ort.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4  # an error is raised; its log lines would come on top
        try:
            return ort.InferenceSession(str(self.path), options, providers=[PROVIDERS[kind]])
        except Exception as error:  # as above
            reason = ' '.join(str(error).split())[:160]
            raise self._wrong(f'what onnxruntime cannot open ({reason})') from error

    def _read_facts(self) -> tuple[dict[str, Any], dict[str, Any]]:
        found = read_facts(self._session.get_modelmeta().custom_metadata_map)
        if found is None:
            raise self._wrong('no facts of a model of cssa_mm in its metadata')
        facts, steps = found
        names = [value.name for value in (*self._session.get_inputs(), *self._session.get_outputs())]
        if names != [INPUT, *OUTPUTS]:
            raise self._wrong(f'the inputs and outputs {", ".join(names)[:80]}')
        width = self._session.get_outputs()[0].shape[-1]
        if width != len(facts['class_names']):
            raise self._wrong(f'{width} scores for {len(facts["class_names"])} class names')
        return facts, steps

    def _wrong(self, found: str) -> CheckpointError:
        return CheckpointError(
            f"checkpoint '{self.path}': found {found}, expected a whole file of cssa export --onnx; take another"
        )
