"""The scripts of mmpretrain's tools: where they lie, how they are run, and how configs are found by name in them."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import mmpretrain
from mmengine.config import Config

from cssa_mm.errors import ConfigError
from cssa_mm.files import shipped_config

TOOLS = Path(mmpretrain.__file__).parent / '.mim' / 'tools'


def tool_files() -> list[str]:
    """The paths of all files below mmpretrain's folder of tools, Python's without their `.py`."""
    files = [path.relative_to(TOOLS) for path in TOOLS.rglob('*') if path.suffix in ('.py', '.sh')]
    return sorted(str(path.with_suffix('') if path.suffix == '.py' else path) for path in files)


def run_script(name: str) -> None:
    """Run a tool as if it were called itself."""
    runpy.run_path(str(TOOLS / f'{name}.py'), run_name='__main__')


def load_script(name: str) -> ModuleType:
    """A tool as a module, whose parts can be mended or called; its `main` has not run."""
    loader = SourceFileLoader(f'mmpretrain_{Path(name).stem.replace("-", "_")}', str(TOOLS / f'{name}.py'))
    module = ModuleType(loader.name)
    module.__file__ = loader.path
    loader.exec_module(module)
    return module


@contextmanager
def called_with(name: str, arguments: Sequence[str]) -> Iterator[None]:
    """Let tools read these arguments, and take the names of shipped configs, such as cssa_table, for their files."""
    argv, read = sys.argv, Config.__dict__['fromfile']

    def fromfile(filename: Any, *args: Any, **options: Any) -> Config:
        path = filename if Path(filename).is_file() else shipped_config(filename)
        if path is None:
            raise ConfigError(
                f"config: found no file '{filename}', expected one such as configs/cssa_demo.py, or the name of a "
                'shipped config such as cssa_demo'
            )
        return read.__func__(path, *args, **options)

    sys.argv = [str(TOOLS / f'{name}.py'), *arguments]
    Config.fromfile = staticmethod(fromfile)
    try:
        yield
    finally:
        sys.argv = argv
        Config.fromfile = read
