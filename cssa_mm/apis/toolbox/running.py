"""Run one of mmpretrain's tools, as the table says."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from traceback import extract_tb

from cssa_mm.apis.toolbox.scripts import TOOLS, called_with, load_script, run_script, tool_files
from cssa_mm.apis.toolbox.table import NOT_MEANT, TABLE, entry
from cssa_mm.errors import ConfigError, CSSAError, ToolboxError, nearest
from cssa_mm.evaluation.text_table import aligned_left

# What a training raises is no matter of arguments.
TRAINING = ('train', 'test', 'kfold-cross-valid')


def run_tool(name: str, arguments: Sequence[str]) -> str | None:
    """Run a tool of mmpretrain's package, such as `visualization/browse_dataset`, as if it were called itself.

    Run this way, tools know our components, model names and shipped configs. And most of them import torchvision,
    which fails beside a CPU-only torch unless `cssa_mm.compat` is imported first.

    Returns:
        What is to be shown, of a tool that does not print it.

    Raises:
        ConfigError: there is no such tool, or it is not meant for several labels or a frozen tower.
        ToolboxError: it fails, such as for an argument that it can't use.
    """
    known = tool_files()
    name = name.removesuffix('.py')
    if name not in known:
        alike = next((each for each in known if each.rpartition('/')[2] == name), None)
        hint = nearest(name, known) if alike is None else f" Did you mean '{alike}'?"
        raise ConfigError(
            f"toolbox: found '{name}', expected one of the {len(known)} tools below {TOOLS}, such as "
            f'visualization/browse_dataset; cssa toolbox --list shows them.{hint}'
        )
    tool = entry(name)
    if tool is not None and tool.verdict == NOT_MEANT:
        raise ConfigError(f'toolbox: {name} is not meant for several labels and a frozen tower: {tool.note}')
    with called_with(name, arguments):
        try:
            if tool is None or not tool.module:
                run_script(name)
                return None
            mend = import_module(f'cssa_mm.apis.toolbox.{tool.module}')
            return mend.run(load_script(name)) if tool.needs_script else mend.run()
        except CSSAError:
            raise
        except Exception as error:
            if name in TRAINING:
                raise
            # An assertion may have no text but itself.
            reason = ' '.join((str(error) or str(extract_tb(error.__traceback__)[-1].line)).split())[:300]
            raise ToolboxError(
                f'toolbox: {name} ended with {type(error).__name__}: {reason}; see cssa toolbox {name} --help'
            ) from error


def list_tools() -> str:
    """The table of all tools."""
    return aligned_left([['tool', 'here', 'meaning'], *([tool.name, tool.verdict, tool.note] for tool in TABLE)])
