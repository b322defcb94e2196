"""The one place that knows the version quirks of torch, torchvision and the OpenMMLab toolbox.

Import it before every other module of the package: it repairs torchvision's import where that fails.
`require_toolbox` explains what is missing; the other repairs are called where they are needed.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

import torch

from cssa_mm.errors import ToolboxError

INSTALL = "pip install 'cssa_mm[openmmlab]' (or 'cssa_mm[onedl]' for the onedl family)"
TOOLBOX = ('mmengine', 'mmcv', 'mmpretrain')
# The lowest versions that the tests pass with, by the name that is imported; setup.py asks for the same.
MINIMUM = {
    'torch': 'torch>=2.6',  # the first whose `torch.load` runs no code of the file that it reads
    'mmengine': 'mmengine>=0.10.4',
    'mmcv': 'mmcv-lite>=2.1',
    'mmpretrain': 'mmpretrain>=1.2',
    'open_clip': 'open_clip_torch>=3.1',  # the first with text towers that are read at an `eos_id`
    'sklearn': 'scikit-learn>=1.3',
}

_torchvision_library: torch.library.Library | None = None


def mend_torchvision() -> None:
    """Let torchvision's PyPI build be imported beside a CPU-only torch.

    Its compiled operators are missing there, and the import stops at the first fake kernel. Declaring the two
    schemas is enough for transforms and models; `torchvision.ops.nms` itself stays unusable.
    """
    global _torchvision_library
    try:
        importlib.import_module('torchvision')
    except RuntimeError as error:
        if 'torchvision::' not in str(error):
            raise
        for name in [name for name in sys.modules if name.split('.')[0] == 'torchvision']:
            del sys.modules[name]
        _torchvision_library = torch.library.Library('torchvision', 'DEF')
        for operator in ('nms', 'qnms'):
            _torchvision_library.define(f'{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
        importlib.import_module('torchvision')


def mend_tight_bbox() -> None:
    """Let mmpretrain's browse_dataset crop its pictures: matplotlib's `adjust_bbox` asks for the renderer since 3.8."""
    tight_bbox: Any = importlib.import_module('matplotlib._tight_bbox')
    original = tight_bbox.adjust_bbox
    renderer = inspect.signature(original).parameters.get('renderer')
    if renderer is None or renderer.default is not inspect.Parameter.empty:
        return

    def adjust_bbox(fig: Any, bbox_inches: Any, renderer: Any = None, fixed_dpi: Any = None) -> Any:
        return original(fig, bbox_inches, renderer or fig.canvas.get_renderer(), fixed_dpi)

    tight_bbox.adjust_bbox = adjust_bbox


def mend_scalars(optimiser: torch.optim.Optimizer) -> None:
    """Let mmpretrain's Lamb move parameters without a dimension, at which it fails: they have one within its step."""
    if type(optimiser).__name__ != 'Lamb':
        return

    def reshape(old: int, shape: tuple[int, ...]) -> None:
        for parameter in (p for group in optimiser.param_groups for p in group['params']):
            if id(parameter) in scalars and parameter.dim() == old and parameter.grad is not None:
                gradient, parameter.grad = parameter.grad.reshape(shape), None
                parameter.data = parameter.data.reshape(shape)
                parameter.grad = gradient

    scalars = {id(p) for group in optimiser.param_groups for p in group['params'] if p.dim() == 0}
    optimiser.register_step_pre_hook(lambda *_: reshape(0, (1,)))
    optimiser.register_step_post_hook(lambda *_: reshape(1, ()))


@functools.cache
def format_configs_once() -> None:
    """Let mmengine remember how it has formatted a config: a Runner asks four times, and yapf takes a second each."""
    module: Any = importlib.import_module('mmengine.config.config')
    format_code = getattr(module, 'FormatCode', None)
    if format_code is None:  # onedl imports it when it is needed
        return
    formatted: dict[str, Any] = {}

    def remembered(text: str, **options: Any) -> Any:
        key = f'{options} {text}'
        if key not in formatted:
            formatted.clear()  # the last one is asked for again
            formatted[key] = format_code(text, **options)
        return formatted[key]

    module.FormatCode = remembered


def version_tuple(text: str) -> tuple[int, ...]:
    """The leading numbers of a version string: '0.10.7rc1' -> (0, 10, 7)."""
    numbers = []
    for part in text.split('+')[0].split('.'):
        digits = ''.join(c for c in part if c.isdecimal())
        if not digits or not part[0].isdecimal():
            break
        numbers.append(int(digits) if part.isdecimal() else int(part[: len(part) - len(part.lstrip('0123456789'))]))
    return tuple(numbers)


def require_toolbox() -> None:
    """Check that the toolbox and its dependencies are installed and new enough.

    Raises:
        ToolboxError: a package is missing or too old; the message holds the command that repairs it.
    """
    for name, requirement in MINIMUM.items():
        command = INSTALL if name in TOOLBOX else f"pip install '{requirement}'"
        try:
            found = _installed_version(name, requirement)
        # mmpretrain asserts the version of mmcv.
        except (ImportError, AssertionError) as error:
            reason = ' '.join(str(error).split())
            raise ToolboxError(
                f'{name} cannot be imported ({reason}); cssa_mm needs it. Install it with: {command}'
            ) from error
        minimum = requirement.split('>=')[1]
        if version_tuple(found) + (0, 0) < version_tuple(minimum):
            raise ToolboxError(f'{name} {found} is too old, expected >= {minimum}. Upgrade with: {command}')


def _installed_version(name: str, requirement: str) -> str:
    if name == 'sklearn':  # importing it takes seconds, and most commands do without
        return metadata.version(requirement.split('>=')[0])
    return getattr(importlib.import_module(name), '__version__', 'without a version')


def init_cpu_process_group(launcher: str, join: Callable[[], Mapping[str, Any]] = dict) -> bool:
    """Start gloo for a launcher on a machine without CUDA, where mmengine's own start calls CUDA; True if so.

    Call it before the Runner is built: the Runner keeps an existing process group.

    Args:
        launcher: 'none', 'pytorch', 'slurm' or 'mpi'.
        join: waits for the other processes, and gives keywords of torch's `init_process_group`.
    """
    if launcher == 'none' or torch.cuda.is_available() or torch.distributed.is_initialized():
        return False
    if launcher == 'slurm':
        os.environ.setdefault('RANK', os.environ.get('SLURM_PROCID', '0'))
        os.environ.setdefault('WORLD_SIZE', os.environ.get('SLURM_NTASKS', '1'))
        os.environ.setdefault('LOCAL_RANK', os.environ.get('SLURM_LOCALID', '0'))
        os.environ.setdefault('MASTER_ADDR', '127.0.0.1')
        os.environ.setdefault('MASTER_PORT', '29500')
    if launcher == 'mpi':
        for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'):
            os.environ[name] = os.environ[f'OMPI_COMM_WORLD_{name}']
        os.environ.setdefault('MASTER_ADDR', '127.0.0.1')
        os.environ.setdefault('MASTER_PORT', '29500')
    torch.distributed.init_process_group('gloo', **join())
    atexit.register(_leave_process_group)
    return True


def _leave_process_group() -> None:
    """Stop gloo's threads before Python exits: a thread that frees a tensor later would abort the finished process.

    They stop with the last reference to the group. A Runner holds one in a cycle, so collect garbage first.
    """
    gc.collect()
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


# mmcv-lite warns on every import about a missing operator that nothing here uses.
warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')
mend_torchvision()
