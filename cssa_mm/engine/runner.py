"""MMEngine's runner with a checked config and a start on any machine."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from mmengine.visualization import Visualizer
from torch import nn

from cssa_mm.compat import init_cpu_process_group
from cssa_mm.engine.class_types import name_types
from cssa_mm.engine.compiling import compile_options, compile_tower
from cssa_mm.engine.config_guard import check_config, check_sections
from cssa_mm.engine.data_parts import apply_data
from cssa_mm.engine.picture_hook import with_own_pictures
from cssa_mm.engine.runtime_values import check_runtime_values
from cssa_mm.engine.test_time import bare_config, complete_views
from cssa_mm.engine.vis_backends import check_vis_backends, start_vis_backends
from cssa_mm.errors import ConfigError
from cssa_mm.features.view import LOADERS, apply_view
from cssa_mm.semi.pseudo_label_hook import bare_model

DEVICES = ('cpu', 'cuda', 'mps')
MMENGINE_HOOKS = {'runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint'}


def prepare_config(config: Config) -> Config:
    """Check every key of a config, and make its parts agree, in place; returns the config.

    Raises:
        ConfigError: a key or component is unknown, or parts contradict each other.
    """
    with bare_config(config):
        check_sections(config)
        for key in config:
            name_types(config[key])
        check_runtime_values(config)
        compile_options(config.get('compile'))
        check_vis_backends(config)
        apply_data(config)
        complete_views(config)
        check_config(config)
        apply_view(config)
    for name in LOADERS:
        if config.get(name) and not config[name].get('num_workers'):
            config[name].persistent_workers = False  # torch refuses persistent workers without workers
    return config


@RUNNERS.register_module()
class CSSARunner(Runner):
    """The runner of our configs (`runner_type='CSSARunner'`), also in mmpretrain's own tools."""

    @classmethod
    def from_cfg(cls, cfg: Config) -> CSSARunner:
        """Build the runner of a config, after `prepare_config`; gloo starts here where there is no CUDA."""
        config = prepare_config(cfg)
        launcher = config.get('launcher', 'none')
        init_cpu_process_group(launcher)
        # Not only where the group was started just now: a process may do several runs.
        if launcher != 'none' and not torch.cuda.is_available():
            config.model_wrapper_cfg.device_ids = None  # the wrapper refuses GPU numbers for CPU modules
        return super().from_cfg(config)

    def register_default_hooks(self, hooks: dict | None = None) -> None:
        """Register the hooks; None removes any of them, while mmengine allows that for its own hooks only.

        mmpretrain's VisualizationHook, which writes pictures of one file name over each other, becomes ours.
        """
        given = (hooks or {}).items()
        super().register_default_hooks(
            {name: with_own_pictures(hook) for name, hook in given if hook is not None or name in MMENGINE_HOOKS}
        )

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Move the model to the config's `device`, by default to the best one, and wrap it for distributed runs."""
        device = self.cfg.get('device')
        if device is None:
            return super().wrap_model(model_wrapper_cfg, model)
        if self.distributed:
            raise ConfigError(
                f"device: found '{device}' in a distributed run, expected none, as each process uses its own GPU, "
                'or the CPU without CUDA; leave it out'
            )
        return model.to(checked_device(device))

    def build_visualizer(self, visualizer: Any = None) -> Visualizer:
        """Build the visualizer, and start its backends."""
        return start_vis_backends(super().build_visualizer(visualizer))

    def _maybe_compile(self, target: str) -> None:
        """Compile the tower where the config's `compile` says so; mmengine would compile the whole step."""
        compile_tower(bare_model(self), self.cfg.get('compile'))


def checked_device(device: str | torch.device | None) -> torch.device:
    """The device of this name; by default CUDA if available, else Apple's MPS, else the CPU.

    Raises:
        ConfigError: the name is unknown, or this machine has no such device.
    """
    available = dict(cpu=True, cuda=torch.cuda.is_available(), mps=torch.backends.mps.is_available())
    if device is None:
        return torch.device(next(name for name in ('cuda', 'mps', 'cpu') if available[name]))
    kind, _, index = str(device).partition(':')
    if kind not in available or (index and not index.isdecimal()):
        raise ConfigError(f"device: found '{device}', expected one of {', '.join(DEVICES)}")
    if not available[kind]:
        found = ', '.join(name for name, is_there in available.items() if is_there)
        raise ConfigError(f"device: found '{device}', which this machine lacks, expected one of {found}")
    return torch.device(device)
