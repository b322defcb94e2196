"""`_base_ = 'cssa_mm::cssa_table.py'` in a config: the shipped configs by mmengine's PACKAGE::PATH."""

from __future__ import annotations

from functools import wraps
from pathlib import Path
from typing import Any

from mmengine.config import Config

from cssa_mm.errors import ConfigError, nearest
from cssa_mm.files import configs_root, shipped_config

SCOPE = 'cssa_mm::'


def shipped_base(name: str) -> Path:
    """The shipped config that `cssa_mm::NAME` means, such as `cssa_mm::_base_/models/cssa.py`; `.py` may be left out.

    Raises:
        ConfigError: there is none.
    """
    wanted = name.removeprefix(SCOPE).removeprefix('configs/')
    found = shipped_config(wanted) or shipped_config(f'{wanted}.py')
    root = configs_root()
    if found is None or not wanted or Path(wanted).is_absolute():
        folder = None if root is None else root / 'configs'
        known = [] if folder is None else [path.relative_to(folder).as_posix() for path in folder.rglob('*.py')]
        raise ConfigError(
            f"config: found '{name}', expected a shipped config such as cssa_mm::cssa_table.py or "
            f'cssa_mm::_base_/models/cssa.py.{nearest(wanted, known)}'
        )
    return found


def know_shipped_bases() -> None:
    """Let mmengine find `cssa_mm::...`, which it looks up for its own packages alone.

    The types in these configs are found in mmpretrain's scope, so they get none of their own.
    """
    original = Config._get_cfg_path
    if hasattr(original, 'knows_shipped'):
        return

    @wraps(original)
    def get_cfg_path(cfg_path: str, filename: str) -> tuple[str, Any]:
        if cfg_path.startswith(SCOPE):
            return str(shipped_base(cfg_path)), None
        return original(cfg_path, filename)

    get_cfg_path.knows_shipped = True  # type: ignore[attr-defined]
    Config._get_cfg_path = staticmethod(get_cfg_path)
