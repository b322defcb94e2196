"""MMEngine's runner with a checked config and a start on any machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import broadcast_object_list, is_distributed, is_main_process, master_only
from mmengine.hooks import CheckpointHook, Hook, ParamSchedulerHook
from mmengine.logging import print_log
from mmengine.optim import BaseOptimWrapper, OptimWrapper
from mmengine.registry import RUNNERS
from mmengine.runner import BaseLoop, Runner
from mmengine.visualization import Visualizer
from torch import nn
from torch.utils.data import DataLoader

from cssa_mm.compat import format_configs_once, init_cpu_process_group
from cssa_mm.datasets.workers import WorkerStart, start_method
from cssa_mm.engine.checkpoints import read_checkpoint
from cssa_mm.engine.compiling import compile_tower
from cssa_mm.engine.config.folders import check_folders
from cssa_mm.engine.config.metrics import check_parts
from cssa_mm.engine.config.optimiser import build_optimiser, scale_rates
from cssa_mm.engine.config.preparing import prepare_config
from cssa_mm.engine.config.vis_backends import start_vis_backends
from cssa_mm.engine.joining import in_one_line, join, joining_again
from cssa_mm.engine.latest import find_resumable
from cssa_mm.engine.picture_hook import with_own_pictures
from cssa_mm.engine.resuming import check_resume, go_on
from cssa_mm.engine.schedules import build_schedules
from cssa_mm.engine.warm_start import check_same_model, start_from
from cssa_mm.engine.work_dir import check_used, in_use
from cssa_mm.errors import ConfigError
from cssa_mm.files import replacing
from cssa_mm.semi.pseudo_label_hook import bare_model

DEVICES = ('cpu', 'cuda', 'mps')
MMENGINE_HOOKS = {'runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint'}


@RUNNERS.register_module()
class CSSARunner(Runner):
    """The runner of our configs (`runner_type='CSSARunner'`), also in mmpretrain's own tools."""

    _has_loaded: bool
    _resume: bool
    _load_from: str | None
    resumed_from: str | None = None  # the checkpoint that the training goes on from

    @classmethod
    def from_cfg(cls, cfg: Config) -> CSSARunner:
        """Build the runner of a config, after `prepare_config`; gloo starts here where there is no CUDA."""
        format_configs_once()
        config = prepare_config(cfg)
        check_parts(config)
        check_folders(config)
        launcher = config.get('launcher', 'none')
        init_cpu_process_group(launcher, lambda: join(config.get('env_cfg') or {}))
        # Not only where the group was started just now: a process may do several runs.
        if launcher != 'none' and not torch.cuda.is_available():
            config.model_wrapper_cfg.device_ids = None  # the wrapper refuses GPU numbers for CPU modules
        return super().from_cfg(config)

    def setup_env(self, env_cfg: dict) -> None:
        """Set up what processes share; where forking is missing or breaks libraries, workers are spawned.

        With CUDA, the processes of a training meet here.
        """
        processes = dict(env_cfg.get('mp_cfg') or {})
        if start_method() == 'spawn':
            processes['mp_start_method'] = 'spawn'
        if self.launcher == 'pytorch' and not is_distributed():
            env_cfg = dict(joining_again(env_cfg))
        with in_one_line():
            super().setup_env(env_cfg | dict(mp_cfg=processes))

    def train(self) -> nn.Module:
        """Train, alone in the work directory."""
        with in_use(self.work_dir):
            return super().train()

    def load_or_resume(self) -> None:
        """Resume, or load a checkpoint for a test; a training that loads one starts anew from its prompts."""
        is_training = isinstance(self._train_loop, BaseLoop)  # else it is not built
        if self._resume and self._load_from is None and not self._has_loaded:
            self._load_from = self._latest()
            self._resume = self._load_from is not None
        if is_training and not self._has_loaded and is_main_process():
            check_used(self.cfg, self.work_dir, self._load_from if self._resume else None)
        if is_training and not self._has_loaded and not self._resume and self._load_from is not None:
            start_from(self, self._load_from)
            self._has_loaded = True
        super().load_or_resume()

    def _latest(self) -> str | None:
        """The latest checkpoint of the work directory, as rank 0 finds it."""
        found = [find_resumable(self.work_dir)[0] if is_main_process() else None]
        broadcast_object_list(found)
        print_log(
            f"Nothing to resume: '{self.work_dir}' has no checkpoint, so training begins"
            if found[0] is None
            else f"Resuming from '{found[0]}'",
            'current',
        )
        return found[0]

    @master_only
    def save_checkpoint(
        self,
        out_dir: str,
        filename: str,
        file_client_args: dict | None = None,
        *options: Any,
        backend_args: dict | None = None,
        **named: Any,
    ) -> None:
        """Save a checkpoint, in a local folder whole or not at all."""
        if file_client_args is None and backend_args is None and '://' not in str(out_dir):
            with replacing(Path(out_dir, filename)) as partial:
                super().save_checkpoint(str(partial.parent), partial.name, None, *options, **named)
        else:
            named['backend_args'] = backend_args
            super().save_checkpoint(out_dir, filename, file_client_args, *options, **named)

    def register_hook(self, hook: Hook | dict, priority: Any = None) -> None:
        """Register a hook; ours takes the place of mmengine's CheckpointHook."""
        if isinstance(hook, dict) and hook.get('type') in ('CheckpointHook', 'mmengine.CheckpointHook', CheckpointHook):
            hook = hook | dict(type='CSSACheckpointHook')
        super().register_hook(hook, priority)

    def register_default_hooks(self, hooks: dict | None = None) -> None:
        """Register the hooks; None removes any of them, while mmengine allows that for its own hooks only.

        Ours take the places of mmengine's ParamSchedulerHook, which counts steps that were skipped, and of mmpretrain's
        VisualizationHook, which writes pictures of one file name over each other.
        """
        given = dict(param_scheduler=dict(type='StepSchedulerHook')) | dict(hooks or {})
        for name, hook in given.items():
            if isinstance(hook, dict) and hook.get('type') in ('ParamSchedulerHook', ParamSchedulerHook):
                given[name] = hook | dict(type='StepSchedulerHook')
        super().register_default_hooks(
            {
                name: with_own_pictures(hook)
                for name, hook in given.items()
                if hook is not None or name in MMENGINE_HOOKS
            }
        )

    @staticmethod
    def build_dataloader(*given: Any, **named: Any) -> DataLoader:
        """Build a loader whose workers end with this process."""
        loader = Runner.build_dataloader(*given, **named)
        loader.worker_init_fn = WorkerStart(loader.worker_init_fn)
        return loader

    def build_optim_wrapper(self, optim_wrapper: OptimWrapper | dict) -> OptimWrapper:
        """Build the optimiser, which counts steps (`engine/config/optimiser.py`)."""
        return build_optimiser(optim_wrapper, super().build_optim_wrapper)

    def scale_lr(self, optim_wrapper: OptimWrapper, auto_scale_lr: dict | None = None) -> None:
        """Scale the learning rate by the global batch, if the config's `auto_scale_lr` says so."""
        scale_rates(optim_wrapper, auto_scale_lr, self.train_dataloader.batch_sampler.batch_size)

    def build_param_scheduler(self, scheduler: Any) -> list:
        """Build the schedules of the optimiser, on the true steps of both phases (`engine/schedules.py`)."""
        return build_schedules(self, scheduler, super().build_param_scheduler)

    def resume(self, filename: str, *options: Any, **named: Any) -> None:
        """Go on from a checkpoint, with its moments and the settings of the config (`engine/resuming.py`)."""
        if not isinstance(self.optim_wrapper, BaseOptimWrapper):  # nothing is trained: mmengine's `val` and `test`
            return super().resume(filename, resume_optimizer=False, resume_param_scheduler=False)
        self.resumed_from = filename
        content, seed = read_checkpoint(filename), self._randomness_cfg.get('seed')
        check_same_model(self, content)
        check_resume(self, content, filename)
        super().resume(filename, resume_optimizer=False, resume_param_scheduler=False)
        if seed is None:
            if self.cfg.train_dataloader.sampler.get('seed') is None:
                # The loader was built with a drawn one.
                self.train_dataloader.batch_sampler.sampler.seed = self.seed
        elif seed != self.seed:
            self._randomness_cfg.update(seed=seed)
            self.set_randomness(**self._randomness_cfg)
        return go_on(self, content, filename)

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
