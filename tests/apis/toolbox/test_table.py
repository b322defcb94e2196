"""The table of mmpretrain's tools against the files that are installed."""

from importlib import import_module

import pytest

from cssa_mm.apis.toolbox.running import list_tools, run_tool
from cssa_mm.apis.toolbox.scripts import TOOLS, called_with, load_script, tool_files
from cssa_mm.apis.toolbox.table import MENDED, NOT_MEANT, REPLACED, RUNS, TABLE, entry
from cssa_mm.errors import ConfigError


@pytest.mark.smoke
def test_every_file_of_the_toolbox_has_an_entry_and_every_entry_a_file():
    files = {str(path.relative_to(TOOLS)) for path in TOOLS.rglob('*') if path.is_file() and path.suffix != '.pyc'}
    assert {name.removesuffix('.py') for name in files} == set(tool_files())
    used = {tool.name for tool in map(entry, tool_files()) if tool is not None}
    assert used == {tool.name for tool in TABLE}
    assert [name for name in tool_files() if entry(name) is None] == []


def test_an_entry_says_how_its_tool_runs():
    for tool in TABLE:
        assert tool.verdict in (RUNS, MENDED, REPLACED, NOT_MEANT)
        assert bool(tool.module) == (tool.verdict in (MENDED, REPLACED)), tool.name
        if tool.module:
            assert callable(import_module(f'cssa_mm.apis.toolbox.{tool.module}').run)
        assert tool.name in list_tools()


@pytest.mark.smoke
@pytest.mark.parametrize('name', [name for name in tool_files() if entry(name).verdict == NOT_MEANT])
def test_what_is_not_meant_ends_in_one_line_that_says_why(name):
    with pytest.raises(ConfigError) as caught:
        run_tool(name, ['--anything'])
    text = str(caught.value)
    assert '\n' not in text
    assert name in text
    assert entry(name).note in text


def test_a_tool_without_its_folder_is_told_with_it():
    with pytest.raises(ConfigError, match="Did you mean 'visualization/vis_cam'"):
        run_tool('vis_cam.py', [])


def test_a_config_is_found_by_its_name_and_a_missing_one_is_named(tmp_path):
    tool = load_script('misc/print_config')
    with called_with('misc/print_config', []):
        assert tool.Config.fromfile('cssa_coco_p10').train_dataloader.dataset.split.proportion == 0.1
        with pytest.raises(ConfigError, match="found no file 'cssa_coco_p11'"):
            tool.Config.fromfile('cssa_coco_p11')
    with pytest.raises(FileNotFoundError):
        tool.Config.fromfile('cssa_coco_p10')
