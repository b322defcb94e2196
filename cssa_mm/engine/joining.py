"""How the processes of a training find each other, and the one line that ends it where they do not.

torchrun keeps its store when it starts processes again, with the addresses of those that are gone, and torch (2.13)
reads them: now and then the new ones look for the old. So each attempt has keys of its own here.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch

from cssa_mm.errors import ConfigError

SECONDS = 1800.0  # torch's own default for gloo
POLL = 0.05
HINT = 'see the message of the process that ended, or raise env_cfg.dist_cfg.timeout'


def join(env_cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Wait until all processes of this training are there; the keywords of torch's `init_process_group`.

    Args:
        env_cfg: that of the config; `dist_cfg.timeout` is how many seconds to wait, here and in each exchange.

    Raises:
        ConfigError: a process did not come in time, the port is in use, or a variable of the launcher is missing.
    """
    seconds = float((env_cfg.get('dist_cfg') or {}).get('timeout', SECONDS))
    end, timeout = time.monotonic() + seconds, timedelta(seconds=seconds)
    address, is_of_agent = _address(), os.environ.get('TORCHELASTIC_USE_AGENT_STORE') == 'True'
    if is_of_agent or os.environ.get('RANK') != '0':
        _wait_for_first(address, end, seconds)
    with in_one_line():
        store, rank, world_size = next(iter(torch.distributed.rendezvous('env://', timeout=timeout)))
        store = torch.distributed.PrefixStore(f'cssa_mm/{_attempt()}', store)
        _wait_for_all(store, rank, world_size, end, seconds)
    return dict(store=store, rank=rank, world_size=world_size, timeout=timeout)


def joining_again(env_cfg: Mapping[str, Any]) -> Mapping[str, Any]:
    """An `env_cfg` by which mmengine joins processes with CUDA that torchrun has started again; as it is at first."""
    if not _attempt():
        return env_cfg
    found = join(env_cfg)
    del found['timeout']  # nccl has another default
    return {**env_cfg, 'dist_cfg': {**(env_cfg.get('dist_cfg') or {}), **found}}


@contextmanager
def in_one_line() -> Iterator[None]:
    """Say in one line why torch could not join the processes.

    Raises:
        ConfigError: a process did not come in time, the port is in use, or a variable of the launcher is missing.
    """
    try:
        yield
    except torch.distributed.DistNetworkError as error:
        host, port = _address()
        if 'EADDRINUSE' in str(error):
            raise ConfigError(
                f'MASTER_PORT: found port {port}, which another program uses, expected a free one; set another '
                'MASTER_PORT, or wait for the end of the other training'
            ) from error
        raise ConfigError(f'launcher: found nobody at {host}:{port} ({str(error).splitlines()[0]}); {HINT}') from error
    except torch.distributed.DistStoreError as error:
        count = int(os.environ.get('WORLD_SIZE', '1'))
        raise ConfigError(
            f'launcher: found fewer than the expected {count} processes ({str(error).splitlines()[0]}); {HINT}'
        ) from error
    except ValueError as error:
        if 'environment variable' not in str(error):
            raise
        raise ConfigError(f'launcher: {str(error).splitlines()[0]}; start the processes by torchrun') from error


def _wait_for_first(address: tuple[str, str], end: float, seconds: float) -> None:
    """Wait for the process that the others meet at: torch would print a page of frames where it does not come."""
    host, port = address
    while host and port.isdecimal():
        try:
            socket.create_connection((host, int(port)), timeout=max(end - time.monotonic(), POLL)).close()
            return
        except (OSError, OverflowError) as error:
            if time.monotonic() > end:
                raise ConfigError(
                    f'launcher: found nobody at {host}:{port} after {seconds:g} s ({error}), expected the first '
                    f'process; {HINT}'
                ) from error
        time.sleep(POLL)


def _wait_for_all(store: torch.distributed.Store, rank: int, world_size: int, end: float, seconds: float) -> None:
    """Wait for all processes by name: the store of torchrun is there before any of them."""
    keys = [f'{each} is here' for each in range(world_size)]
    store.set(keys[rank], 'yes')
    while missing := [each for each, key in enumerate(keys) if not store.check([key])]:
        if time.monotonic() > end:
            named = ', '.join(map(str, missing[:8])) + (', ...' if len(missing) > 8 else '')
            raise ConfigError(
                f'launcher: found {world_size - len(missing)} of {world_size} processes after {seconds:g} s, expected '
                f'all; missing: {named}; {HINT}'
            )
        time.sleep(POLL)


def _attempt() -> int:
    """How often torchrun has started the processes again."""
    return int(os.environ.get('TORCHELASTIC_RESTART_COUNT', 0))


def _address() -> tuple[str, str]:
    return os.environ.get('MASTER_ADDR', ''), os.environ.get('MASTER_PORT', '')
