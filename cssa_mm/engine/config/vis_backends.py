"""The backends of the visualizer, such as TensorBoard: started, or refused in one line, before the first step."""

from __future__ import annotations

import importlib.util
import os
import shlex
import sys
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.visualization import LocalVisBackend, TensorboardVisBackend, Visualizer
from mmengine.visualization.vis_backend import BaseVisBackend

from cssa_mm.errors import ConfigError, nearest

# Backend -> the package that it imports, and what installs it.
PACKAGES = {
    'TensorboardVisBackend': ('tensorboard', 'tensorboard'),
    'WandbVisBackend': ('wandb', 'wandb'),
    'MLflowVisBackend': ('mlflow', 'mlflow'),
    'ClearMLVisBackend': ('clearml', 'clearml'),
    'NeptuneVisBackend': ('neptune', 'neptune'),
    'DVCLiveVisBackend': ('dvclive', 'dvclive pygit2'),
    'AimVisBackend': ('aim', 'aim'),
}
WHERE, LOCAL = 'visualizer.vis_backends', 'LocalVisBackend'


def apply_vis_backends(config: Config) -> None:
    """Add the backends that `live` names to those of the visualizer, in place, and check all of them.

    Raises:
        ConfigError: they are no list of dicts, `live` names an unknown one, or the package of one is not installed; or
            `vis_backends` at the top level, a helper in mmpretrain's configs that nothing reads, says something else
            than the visualizer.
    """
    found = (config.get('visualizer') or {}).get('vis_backends')
    helper = config.get('vis_backends')
    if helper is not None and helper != found:
        raise ConfigError(
            f'vis_backends: found {_plain(helper)}, which nothing reads, expected it in the visualizer, which has '
            f'{_plain(found)}; set {WHERE}'
        )
    if found is not None and (
        not isinstance(found, list | tuple) or not all(isinstance(each, Mapping) and 'type' in each for each in found)
    ):
        raise ConfigError(
            f"{WHERE}: found {_plain(found)}, expected a list such as [dict(type='LocalVisBackend'), "
            "dict(type='TensorboardVisBackend')]"
        )
    for name in live_services(config):
        kind = next(backend for backend, (package, _) in PACKAGES.items() if package == name)
        if kind not in map(_name_of, found or ()):
            found = [*(found or [dict(type=LOCAL)]), dict(type=kind)]
            if not config.get('visualizer'):
                config.visualizer = dict(type='UniversalVisualizer')
            config.visualizer.vis_backends = found
            if helper is not None:
                config.vis_backends = found
    for each in found or ():
        package, installed_by = PACKAGES.get(_name_of(each), (None, None))
        if package is not None and not _is_installed(package):
            raise ConfigError(
                f"{WHERE}: found '{_name_of(each)}', whose package {package} is not installed; install it with pip "
                f'install {installed_by}, or take the backend out'
            )


def live_services(config: Mapping) -> list[str]:
    """What the key `live` names, such as ['tensorboard']; one name or several.

    Raises:
        ConfigError: it is neither, or a name is unknown.
    """
    given = config.get('live') or ()
    names = [given] if isinstance(given, str) else given
    known = [package for package, _ in PACKAGES.values()]
    for name in names if isinstance(names, list | tuple) else [names]:
        if name not in known:
            raise ConfigError(
                f'live: found {name!r}, expected a list of {", ".join(known)}.{nearest(str(name), known)}'
            )
    return list(dict.fromkeys(names))


def start_vis_backends(visualizer: Visualizer) -> Visualizer:
    """Let each backend connect to what it writes to, which it would otherwise do at its first figure.

    Raises:
        ConfigError: one fails, such as a service that asks for a login.
    """
    if not is_main_process():
        return visualizer
    for backend in visualizer._vis_backends.values():
        try:
            backend.experiment  # noqa: B018 - connects
        except Exception as error:  # of many packages and services
            name = type(backend).__name__
            reason = ' '.join(str(error).split())[:200]
            raise ConfigError(
                f"{WHERE}: found '{name}', which cannot start ({type(error).__name__}: {reason}), expected one that "
                'can; mend that, or take the backend out'
            ) from error
    return visualizer


def watched(visualizer: Visualizer) -> list[BaseVisBackend]:
    """The backends that show a training to somebody: all but LocalVisBackend, which writes files."""
    return [each for each in visualizer._vis_backends.values() if not isinstance(each, LocalVisBackend)]


def how_to_watch(visualizer: Visualizer, work_dir: str) -> list[str]:
    """A line for each of them."""
    is_tensorboard = [isinstance(each, TensorboardVisBackend) for each in watched(visualizer)]
    names = [type(each).__name__ for each in watched(visualizer)]
    return [
        f'Live view: tensorboard --logdir {shlex.quote(work_dir)}' if shown_there else f'Live view: {name}'
        for name, shown_there in zip(names, is_tensorboard, strict=True)
    ]


def make_picture_folder(visualizer: Visualizer, name: str) -> None:
    """Make a folder in which LocalVisBackend can write pictures whose names begin with it: it makes none by itself."""
    for each in visualizer._vis_backends.values():
        if isinstance(each, LocalVisBackend):
            os.makedirs(os.path.join(each.experiment._img_save_dir, name), exist_ok=True)


def write_out(visualizer: Visualizer) -> None:
    """Let TensorBoard see at once what was added; its writer would wait for up to two minutes."""
    for each in watched(visualizer):
        if isinstance(each, TensorboardVisBackend):
            each.experiment.flush()


def _name_of(backend: Mapping) -> str:
    kind = backend['type']
    return (kind if isinstance(kind, str) else kind.__name__).rpartition('.')[2]


def _is_installed(package: str) -> bool:
    if package in sys.modules:
        return sys.modules[package] is not None
    return importlib.util.find_spec(package) is not None


def _plain(value: Any) -> str:
    return repr([dict(each) if isinstance(each, Mapping) else each for each in value] if value else value)
