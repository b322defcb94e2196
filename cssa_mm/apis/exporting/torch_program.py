"""Write a model as one torch.export program, which runs with torch alone, checked before it gets its name."""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cssa_mm.apis.exporting.module import ExportModule, checked_module, stored_line
from cssa_mm.apis.exporting.onnx_metadata import metadata
from cssa_mm.apis.loading import load_model
from cssa_mm.apis.scorer import model_facts, stored_in_words
from cssa_mm.errors import CheckpointError, ConfigError
from cssa_mm.files import replacing
from cssa_mm.models import CSSAClassifier

TOLERANCE = 1e-6
SUFFIX = '.pt2'
FACTS = 'cssa_mm.json'  # the name of the metadata in the file


@dataclass(frozen=True)
class TorchExport:
    """A torch program that was written.

    Attributes:
        path: the file.
        difference: the largest difference of a score to the model in the check.
        size: (height, width) of the images that the model was trained on.
        takes_any_size: whether height and width are free; the batch always is.
        torch_version: of the torch that wrote it; an earlier one may be unable to read it.
        megabytes: size of the file.
        stored: the training images whose features lie in it, in words; '' without neighbours.
    """

    path: Path
    difference: float
    size: tuple[int, int]
    takes_any_size: bool
    torch_version: str
    megabytes: float
    stored: str = ''

    def text(self) -> str:
        """What a command prints of it."""
        height, width = self.size
        sizes = f'any size (trained on {height} x {width})' if self.takes_any_size else f'{height} x {width} alone'
        return (
            f'{self.path}: {self.megabytes:.1f} MB, any batch, images of {sizes}; scores differ from the model by at '
            f'most {self.difference:.1g}\nRead it with torch {self.torch_version} or later, without this package: '
            f"scores, raw = torch.export.load('{self.path.name}').module()(images), images uint8 (B, 3, H, W)"
            f'{stored_line(self.stored)}'
        )


def export_torch(
    *,
    checkpoint: str | os.PathLike | CSSAClassifier,
    out: str | os.PathLike,
    tower: str | os.PathLike | None = None,
) -> TorchExport:
    """Write a model as a torch.export program: uint8 images (B, 3, H, W) in, calibrated and raw scores (B, C) out.

    `torch.export.load` reads it without this package; `extra_files` gives the metadata, under the name 'cssa_mm.json':
    the same keys as in an ONNX file, and `torch`, the version that wrote it. The file is read back and compared with
    the model, in two batch sizes and, if they are free, two image sizes, before it gets its name.

    Args:
        checkpoint: a file that training wrote, a hub folder, or a model, such as that of `zero_shot`.
        out: the file, which ends in .pt2; an older one is replaced.
        tower: new path of the weights of the tower, if they were moved.

    Raises:
        ConfigError: `out` is no name of a torch program.
        CheckpointError: the checkpoint cannot be opened, torch cannot trace the model, or what was written gives other
            scores.
    """
    path = Path(out)
    if path.suffix != SUFFIX or path.is_dir():
        raise ConfigError(f"out: found '{out}', expected the name of a file that ends in {SUFFIX}; correct it")
    if isinstance(checkpoint, CSSAClassifier):
        model = checkpoint
    else:
        model = load_model(checkpoint, tower=tower, device='cpu')
    module = checked_module(model)
    facts = metadata(model, module) | dict(torch=torch.__version__)
    with replacing(path) as partial, warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of torch, about itself
        with partial.open('wb') as file:  # given a path, torch names what is in the archive after it
            torch.export.save(_program(module), file, extra_files={FACTS: json.dumps(facts)})
        difference = _difference(partial, module)
        if not difference <= TOLERANCE:
            raise CheckpointError(
                f'{path}: found scores that differ by {difference:.2g} from those of the model, expected {TOLERANCE:g} '
                'at most; nothing was written: report it with the version of torch'
            )
        megabytes = partial.stat().st_size / 1e6
    stored = stored_in_words(model_facts(model))
    return TorchExport(path, difference, module.size, module.takes_any_size, torch.__version__, megabytes, stored)


def _program(module: ExportModule) -> torch.export.ExportedProgram:
    """The module as torch traces it, without the paths of this machine, which each node of the trace names."""
    try:
        program = torch.export.export(
            module, (module.trial_images(2),), dynamic_shapes=module.dynamic_shapes(), strict=False
        )
    except Exception as error:  # torch._dynamo and torch.export raise classes of their own
        raise CheckpointError(
            f'--torch-export: torch {torch.__version__} cannot trace this model ({_one_line(error)}); take '
            '--onnx, or another version of torch'
        ) from error
    for part in program.graph_module.modules():
        for node in part.graph.nodes if isinstance(part, torch.fx.GraphModule) else ():
            node.meta.pop('stack_trace', None)
    return program


@torch.no_grad()
def _difference(path: Path, module: ExportModule) -> float:
    """The largest difference of a score between a program and its module: nan if one gives nan."""
    found = []
    try:
        program: Any = torch.export.load(path).module()
        for batch, other in ((1, False), (3, module.takes_any_size)):
            images = module.trial_images(batch, other=other)
            for ours, theirs in zip(program(images), module(images), strict=True):
                found.append((ours - theirs).abs().max())
    except Exception as error:  # of torch's own classes
        raise CheckpointError(
            f'--torch-export: torch {torch.__version__} wrote a program that does not run ({_one_line(error)}); '
            'nothing was written: take --onnx, or another version of torch'
        ) from error
    return float(torch.stack(found).max())


def _one_line(error: Exception) -> str:
    return ' '.join(str(error).split())[:300]
