"""Write a model as one ONNX file that needs nothing of this package, checked against torch before it gets its name."""

from __future__ import annotations

import os
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log

from cssa_mm.apis.exporting.module import TOLERANCE, ExportModule, checked_module, stored_line
from cssa_mm.apis.exporting.onnx_extra import needed
from cssa_mm.apis.exporting.onnx_metadata import INPUT, OPSET, OUTPUTS, metadata
from cssa_mm.apis.loading import load_model
from cssa_mm.apis.scorer import model_facts, stored_in_words
from cssa_mm.errors import CheckpointError, ConfigError
from cssa_mm.files import PACKAGE, replacing
from cssa_mm.models import CSSAClassifier

LARGEST = 2**31 - 2**24  # bytes: a file of protobuf holds 2 GB, this leaves room for the graph
SCRIPT = 'run_onnx.py'
NO_THRESHOLDS = '; no thresholds, as the model was never trained: each image gets its best class'


@dataclass(frozen=True)
class OnnxExport:
    """An ONNX file that was written.

    Attributes:
        path: the file.
        script: a program beside it that needs onnxruntime and Pillow alone.
        opset: its ONNX opset.
        difference: the largest difference of a score to torch in the check.
        size: (height, width) of the images that the model was trained on.
        takes_any_size: whether height and width are free; the batch always is.
        megabytes: size of the file.
        has_thresholds: False for a model that was never trained, whose images get their best class.
        stored: the training images whose features lie in it, in words; '' without neighbours.
    """

    path: Path
    script: Path
    opset: int
    difference: float
    size: tuple[int, int]
    takes_any_size: bool
    megabytes: float
    has_thresholds: bool
    stored: str = ''

    def text(self) -> str:
        """What a command prints of it."""
        height, width = self.size
        sizes = f'any size (trained on {height} x {width})' if self.takes_any_size else f'{height} x {width} alone'
        return (
            f'{self.path}: {self.megabytes:.1f} MB, opset {self.opset}, any batch, images of {sizes}; scores differ '
            f'from torch by at most {self.difference:.1g}{"" if self.has_thresholds else NO_THRESHOLDS}\n'
            f'{self.script}: runs it with onnxruntime and Pillow alone: python {self.script} {self.path} photo.jpg'
            f'{stored_line(self.stored)}'
        )


def export_onnx(
    *,
    checkpoint: str | os.PathLike | CSSAClassifier,
    out: str | os.PathLike,
    tower: str | os.PathLike | None = None,
) -> OnnxExport:
    """Write a model as ONNX: uint8 images (B, 3, H, W) in, calibrated and raw scores (B, C) out.

    Class names, thresholds, preprocessing and all of `model_facts` lie in the metadata of the file. A script that runs
    it without this package is written beside it. The file is run by onnxruntime and compared with torch, in two batch
    sizes and, if the tower takes them, two image sizes, before it gets its name.

    Args:
        checkpoint: a file that training wrote, or a model, such as that of `zero_shot`.
        out: the file, which ends in .onnx; an older one is replaced.
        tower: new path of the weights of the tower, if they were moved.

    Raises:
        ToolboxError: onnx, onnxscript or onnxruntime is not installed.
        ConfigError: `out` is no name of an ONNX file, or the model is too large for one.
        CheckpointError: the checkpoint cannot be opened, or what was written gives other scores than torch.
    """
    onnx, ort = needed('onnx', 'an export'), needed('onnxruntime', 'an export')
    needed('onnxscript', 'an export')
    path = checked_out(out)
    if isinstance(checkpoint, CSSAClassifier):
        model = checkpoint
    else:
        model = load_model(checkpoint, tower=tower, device='cpu')
    module = checked_module(model)
    _check_size(module)
    script, facts = checked_script(path), metadata(model, module)
    print_log('Tracing the model, then comparing it with torch: this takes a minute or two', 'current')
    with replacing(path) as partial:
        _write(module, partial)
        _add_metadata(onnx, partial, facts)
        try:
            difference = largest_difference(ort, partial, module)
        except Exception as error:  # onnxruntime's own classes share no base
            reason = ' '.join(str(error).split())[:160]
            raise CheckpointError(
                f'{path}: found a graph that onnxruntime cannot run ({reason}), expected one that takes any batch; '
                'nothing was written: report it with the versions of torch, onnx and onnxruntime'
            ) from error
        if not difference <= TOLERANCE:
            raise CheckpointError(
                f'{path}: found scores that differ by {difference:.2g} from those of torch, expected {TOLERANCE:g} at '
                'most; nothing was written: report it with the versions of torch, onnx and onnxruntime'
            )
        megabytes = partial.stat().st_size / 1e6
        with replacing(script) as copy:
            shutil.copyfile(PACKAGE / 'apis' / 'exporting' / SCRIPT, copy)
    return OnnxExport(
        path,
        script,
        OPSET,
        difference,
        module.size,
        module.takes_any_size,
        megabytes,
        has_thresholds=model.thresholds.rule != 'none',
        stored=stored_in_words(model_facts(model)),
    )


def checked_out(out: str | os.PathLike) -> Path:
    """The path of the file to write.

    Raises:
        ConfigError: it is no name of an ONNX file.
    """
    path = Path(out)
    if path.suffix != '.onnx' or path.is_dir():
        raise ConfigError(f"out: found '{out}', expected the name of a file that ends in .onnx; correct it")
    return path


def checked_script(path: Path) -> Path:
    """Where the program goes; one of the user's own is not replaced."""
    script = path.with_name(SCRIPT)
    begin = (PACKAGE / 'apis' / 'exporting' / SCRIPT).read_text('utf-8').splitlines()[0]
    if script.exists() and not script.read_text('utf-8', errors='replace').startswith(begin):
        raise ConfigError(
            f"out: found '{script}' of another kind, where the program that runs the file belongs; expected none; "
            'rename it, or export into another folder'
        )
    return script


def _check_size(module: ExportModule) -> None:
    size = sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))
    if size > LARGEST:
        found, stored = f'{size / 1e9:.1f} GB', 0.0 if module.neighbours is None else module.neighbours.megabytes * 1e6
        if stored > LARGEST / 10:
            found += f' ({stored / 1e9:.1f} GB of stored images: fewer by model.neighbours.max_images)'
        raise ConfigError(
            f'out: found a model of {found}, expected at most {LARGEST / 1e9:.1f} GB, which one '
            'ONNX file holds; take a smaller tower, or --torch-export'
        )


def _write(module: ExportModule, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.onnx.export(
            module,
            (module.trial_images(2),),
            str(path),
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            dynamic_shapes=module.dynamic_shapes(),
            verbose=False,
        )


def _add_metadata(onnx: Any, path: Path, facts: dict[str, str]) -> None:
    file = onnx.load(str(path))
    onnx.helper.set_model_props(file, facts)
    onnx.save(file, str(path))


def largest_difference(ort: Any, path: Path, module: ExportModule) -> float:
    """The largest difference of a score between a file, run by onnxruntime, and torch: nan if one gives nan."""
    session = ort.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    found = []
    for batch, other in ((1, False), (3, module.takes_any_size)):
        images = module.trial_images(batch, other=other)
        with torch.no_grad():
            expected = module(images)
        for ours, theirs in zip(session.run(list(OUTPUTS), {INPUT: images.cpu().numpy()}), expected, strict=True):
            found.append(np.abs(ours - theirs.cpu().numpy()).max())
    return float(np.max(found))
