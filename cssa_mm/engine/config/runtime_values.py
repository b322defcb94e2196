"""The scope and the launcher of a config, which must fit this package and this process."""

from __future__ import annotations

import os
from collections.abc import Mapping

from cssa_mm.errors import ConfigError

SCOPE = 'mmpretrain'
# What a launcher sets for each of its processes.
SET_BY = {
    'pytorch': ('RANK', 'torchrun', 'bash tools/dist_train.sh CONFIG NUMBER_OF_PROCESSES'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'mpirun', 'mpirun -np 2 -x MASTER_ADDR=127.0.0.1 cssa train ... --launcher mpi'),
}


def check_runtime_values(config: Mapping) -> None:
    """Check scope and launcher.

    Raises:
        ConfigError: a value is none that mmengine can use.
    """
    if config.get('default_scope', SCOPE) != SCOPE:
        raise ConfigError(
            f"default_scope: found {config['default_scope']!r}, expected '{SCOPE}', where our components are found; "
            'leave it out'
        )
    _check_launcher(config.get('launcher') or 'none')


def _check_launcher(launcher: str) -> None:
    variable, starter, example = SET_BY.get(launcher, (None, None, None))
    if variable is not None and variable not in os.environ:
        raise ConfigError(
            f"launcher: found '{launcher}' without {variable} in the environment, expected a process that {starter} "
            f'has started; start it so: {example}'
        )
