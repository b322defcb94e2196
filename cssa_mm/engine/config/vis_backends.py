"""The backends of the visualizer, such as TensorBoard: started, or refused in one line, before the first step."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from typing import Any

from mmengine.dist import is_main_process
from mmengine.visualization import Visualizer

from cssa_mm.errors import ConfigError

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
WHERE = 'visualizer.vis_backends'


def check_vis_backends(config: Mapping) -> None:
    """Check that the backends are a list of dicts whose packages are installed.

    Raises:
        ConfigError: they are not; or `vis_backends` at the top level, a helper in mmpretrain's configs that nothing
            reads, says something else than the visualizer.
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
    for each in found or ():
        kind = each['type']
        name = kind if isinstance(kind, str) else kind.__name__
        package, installed_by = PACKAGES.get(name.rpartition('.')[2], (None, None))
        if package is not None and not _is_installed(package):
            raise ConfigError(
                f"{WHERE}: found '{name}', whose package {package} is not installed; install it with pip install "
                f'{installed_by}, or take the backend out'
            )


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


def _is_installed(package: str) -> bool:
    if package in sys.modules:
        return sys.modules[package] is not None
    return importlib.util.find_spec(package) is not None


def _plain(value: Any) -> str:
    return repr([dict(each) if isinstance(each, Mapping) else each for each in value] if value else value)
