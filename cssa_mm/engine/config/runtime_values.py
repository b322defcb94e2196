"""Values of a config that mmengine takes as they are, and stumbles over or ignores when they are wrong."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from cssa_mm.errors import ConfigError, is_whole_number, nearest, require_whole_number

SCOPE = 'mmpretrain'
SWITCHES = (
    'randomness.deterministic', 'randomness.diff_rank_seed', 'env_cfg.cudnn_benchmark', 'resume',
    'auto_scale_lr.enable', 'report',
)  # fmt: skip
COUNTS = ('default_hooks.logger.interval', 'log_processor.window_size')
STARTS = ('fork', 'spawn', 'forkserver')
LEVELS = ('DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL')
LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')
# What a launcher sets for each of its processes.
SET_BY = {
    'pytorch': ('RANK', 'torchrun', 'bash tools/dist_train.sh CONFIG NUMBER_OF_PROCESSES'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'mpirun', 'mpirun -np 2 -x MASTER_ADDR=127.0.0.1 cssa train ... --launcher mpi'),
}


def check_runtime_values(config: Mapping) -> None:
    """Check seed, switches, counts, log level, scope and launcher.

    Raises:
        ConfigError: a value is none that mmengine can use.
    """
    seed = _at(config, 'randomness.seed')
    if seed is not None and not (is_whole_number(seed) and seed < 2**32):
        raise ConfigError(f'randomness.seed: found {seed!r}, expected a whole number from 0 to 2**32 - 1, or None')
    for path in SWITCHES:
        value = _at(config, path)
        if value is not None and not isinstance(value, bool):
            raise ConfigError(f'{path}: found {value!r}, expected True or False')
    for path in COUNTS:
        value = _at(config, path)
        if value is not None:
            require_whole_number(path, value, 1)
    start = _at(config, 'env_cfg.mp_cfg.mp_start_method')
    if start is not None and start not in STARTS:
        raise ConfigError(f"env_cfg.mp_cfg.mp_start_method: found '{start}', expected one of {', '.join(STARTS)}")
    _check_level(config.get('log_level'))
    if config.get('default_scope', SCOPE) != SCOPE:
        raise ConfigError(
            f"default_scope: found {config['default_scope']!r}, expected '{SCOPE}', where our components are found; "
            'leave it out'
        )
    _check_launcher(config.get('launcher') or 'none')


def _check_level(level: Any) -> None:
    is_number = isinstance(level, int) and not isinstance(level, bool)
    if level is None or is_number or (isinstance(level, str) and isinstance(logging.getLevelName(level), int)):
        return
    raise ConfigError(f'log_level: found {level!r}, expected one of {", ".join(LEVELS)}.{nearest(str(level), LEVELS)}')


def _check_launcher(launcher: str) -> None:
    if launcher not in LAUNCHERS:
        raise ConfigError(f"launcher: found '{launcher}', expected one of {', '.join(LAUNCHERS)}")
    variable, starter, example = SET_BY.get(launcher, (None, None, None))
    if variable is not None and variable not in os.environ:
        raise ConfigError(
            f"launcher: found '{launcher}' without {variable} in the environment, expected a process that {starter} "
            f'has started; start it so: {example}'
        )


def _at(config: Mapping, path: str) -> Any:
    value: Any = config
    for name in path.split('.'):
        value = value.get(name) if isinstance(value, Mapping | Config) else None
    return value
