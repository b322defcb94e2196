"""Versions that are known not to work together, and what to do about each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import metadata
from typing import NamedTuple

from cssa_mm.compat import version_tuple

Versions = Mapping[str, str]  # name of a distribution -> version of the installed one
PYTORCH_TO_TORCHVISION = 15  # torch 2.6 goes with torchvision 0.21, 2.7 with 0.22, and so on
FAMILIES = ('mmpretrain', 'onedl-mmpretrain')
NAMES = (
    'torch', 'torchvision', 'open_clip_torch', 'scikit-learn', 'numpy', 'mmengine', 'mmcv', 'mmcv-lite', 'mmpretrain',
    'onedl-mmengine', 'onedl-mmcv', 'onedl-mmpretrain', 'setuptools', 'openmim', 'opencv-python',
    'opencv-python-headless', 'opencv-contrib-python', 'opencv-contrib-python-headless',
)  # fmt: skip


class Pair(NamedTuple):
    """Distributions that disturb each other.

    is_bad: whether they do, of the installed versions.
    found: what was found, in words.
    remedy: what to do.
    is_fatal: whether nothing works with them; else it is a part.
    """

    is_bad: Callable[[Versions], bool]
    found: str
    remedy: str
    is_fatal: bool


def _has(*names: str) -> Callable[[Versions], bool]:
    return lambda versions: all(name in versions for name in names)


def _other_torchvision(versions: Versions) -> bool:
    if 'torch' not in versions or 'torchvision' not in versions:
        return False
    torch, vision = (version_tuple(versions[name]) + (0, 0) for name in ('torch', 'torchvision'))
    return torch[0] == 2 and vision[0] == 0 and vision[1] != torch[1] + PYTORCH_TO_TORCHVISION


def _without_pkg_resources(versions: Versions) -> bool:
    return 'mmpretrain' in versions and version_tuple(versions.get('setuptools', '0')) >= (82,)


def _several_opencv(versions: Versions) -> bool:
    return sum(name.startswith('opencv-') for name in versions) > 1


PAIRS = (
    Pair(
        _has(*FAMILIES),
        'mmpretrain and onedl-mmpretrain, whose files overwrite each other',
        "a fresh environment with one of them: pip install 'cssa_mm[openmmlab]' or pip install 'cssa_mm[onedl]'",
        True,
    ),
    Pair(
        _has('mmcv', 'mmcv-lite'),
        'mmcv and mmcv-lite, whose files overwrite each other',
        'pip uninstall -y mmcv mmcv-lite && pip install mmcv-lite',
        False,
    ),
    Pair(
        _other_torchvision,
        'torchvision of another torch',
        'pip install torchvision==0.N.*, where N is the second number of the version of torch, plus 15',
        False,
    ),
    Pair(
        _without_pkg_resources,
        "mmpretrain beside setuptools from 82 on, without pkg_resources: configs that inherit from 'mmpretrain::' fail",
        "pip install 'setuptools>=77,<82'",
        False,
    ),
    Pair(
        _several_opencv,
        'several builds of OpenCV, of which the last one installed counts, whatever its version',
        'uninstall all opencv-* packages, then pip install opencv-python',
        False,
    ),
    Pair(_has('openmim'), 'openmim, which breaks setuptools', 'pip uninstall -y openmim; pip does what it does', False),
)


def installed_versions() -> dict[str, str]:
    """The versions of the distributions that are installed, of those that matter here."""
    found = {}
    for name in NAMES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def bad_pairs(versions: Versions) -> list[Pair]:
    """The known-bad pairs among installed versions."""
    return [pair for pair in PAIRS if pair.is_bad(versions)]
