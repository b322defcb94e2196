import ast
import importlib
import os
import re
import subprocess
import sys
import types
from importlib import metadata
from pathlib import Path

import pytest
import torch

from cssa_mm import compat
from cssa_mm.errors import ToolboxError

ROOT = Path(__file__).parents[1]


@pytest.mark.smoke
@pytest.mark.parametrize(
    ('text', 'numbers'),
    [
        ('0.10.7', (0, 10, 7)),
        ('0.10.7rc1', (0, 10, 7)),
        ('2.13.0+cpu', (2, 13, 0)),
        ('1.2', (1, 2)),
        ('3.0.0.dev20250101', (3, 0, 0)),
        ('1.10.0', (1, 10, 0)),
        ('unknown', ()),
    ],
)
def test_the_leading_numbers_of_a_version_are_read(text, numbers):
    assert compat.version_tuple(text) == numbers


@pytest.mark.smoke
def test_what_is_installed_is_enough():
    compat.require_toolbox()


@pytest.fixture
def replace_package(monkeypatch):
    """replace_package('mmengine', module or exception): what an import of it gives."""

    def replace(name, result):
        original = importlib.import_module

        def import_module(wanted, package=None):
            if wanted != name:
                return original(wanted, package)
            if isinstance(result, Exception):
                raise result
            return result

        def version(wanted):
            if wanted != {'sklearn': 'scikit-learn'}.get(name):
                return metadata.version(wanted)
            return import_module(name).__version__

        monkeypatch.setattr(compat.importlib, 'import_module', import_module)
        monkeypatch.setattr(compat, 'metadata', types.SimpleNamespace(version=version))

    return replace


ON_DEMAND = ('matplotlib', 'pandas', 'scipy', 'sklearn')
TOOLBOX_COMMAND = "pip install 'cssa_mm[openmmlab]' (or 'cssa_mm[onedl]' for the onedl family)"


@pytest.mark.parametrize(
    ('name', 'command'),
    [
        ('mmengine', TOOLBOX_COMMAND),
        ('mmcv', TOOLBOX_COMMAND),
        ('mmpretrain', TOOLBOX_COMMAND),
        ('open_clip', "pip install 'open_clip_torch>=3.1'"),
        ('sklearn', "pip install 'scikit-learn>=1.3'"),
    ],
)
def test_a_missing_package_is_one_line_with_the_command_that_mends_it(replace_package, name, command):
    replace_package(name, ModuleNotFoundError(f"No module named '{name}'"))
    with pytest.raises(ToolboxError) as error:
        compat.require_toolbox()
    assert str(error.value) == (
        f"{name} cannot be imported (No module named '{name}'); cssa_mm needs it. Install it with: {command}"
    )


@pytest.mark.parametrize(
    ('name', 'version', 'minimum', 'command'),
    [
        ('torch', '2.5.1+cpu', '2.6', "pip install 'torch>=2.6'"),
        ('mmengine', '0.10.3', '0.10.4', TOOLBOX_COMMAND),
        ('mmcv', '2.0.1', '2.1', TOOLBOX_COMMAND),
        ('mmpretrain', '1.1.1', '1.2', TOOLBOX_COMMAND),
        ('open_clip', '3.0.0', '3.1', "pip install 'open_clip_torch>=3.1'"),
        ('open_clip', '2.32.0', '3.1', "pip install 'open_clip_torch>=3.1'"),
        ('sklearn', '1.2.2', '1.3', "pip install 'scikit-learn>=1.3'"),
    ],
)
def test_a_package_that_is_too_old_is_named_with_both_versions(replace_package, name, version, minimum, command):
    replace_package(name, types.SimpleNamespace(__version__=version))
    with pytest.raises(ToolboxError) as error:
        compat.require_toolbox()
    assert str(error.value) == f'{name} {version} is too old, expected >= {minimum}. Upgrade with: {command}'


def test_an_open_clip_that_tells_no_version_is_too_old(replace_package):
    # So are those up to 2.24.
    replace_package('open_clip', types.SimpleNamespace())
    with pytest.raises(ToolboxError, match='open_clip without a version is too old, expected >= 3.1. '):
        compat.require_toolbox()


def requirements_of_setup() -> dict[str, list[str]]:
    """Every list of requirements in setup.py: of the package and, by name, of its extras."""
    tree = ast.parse((ROOT / 'setup.py').read_text('utf-8'))
    keywords = {node.arg: node.value for node in ast.walk(tree) if isinstance(node, ast.keyword)}
    extras = ast.literal_eval(keywords['extras_require'])
    return {'package': ast.literal_eval(keywords['install_requires']), **extras}


def test_setup_asks_for_the_versions_that_are_checked_at_import():
    lists = requirements_of_setup()
    for name, requirement in compat.MINIMUM.items():
        assert requirement in lists['openmmlab' if name in compat.TOOLBOX else 'package']


def test_what_setup_asks_for_is_what_the_lowest_environment_holds():
    """Each minimum is pinned, or the comment above the pin names it and says why it could not be."""
    text = (ROOT / 'requirements' / 'lowest.txt').read_text('utf-8')
    lists = requirements_of_setup()
    for requirement in lists['package'] + lists['openmmlab']:
        name, minimum = re.match(r'([\w-]+)>=([\d.]+)', requirement).groups()
        excuse, pin = re.search(rf'((?:^#.*\n)?)^{name}==(.+)$', text, re.MULTILINE).groups()
        pinned = f'{pin}.'.startswith(f'{minimum}.')
        assert pinned or excuse.startswith(f'# minimum {minimum}: '), requirement


@pytest.mark.parametrize('version', ['1.2', '1.2.0', '1.2.1rc1', '1.10.0', '2.0'])
def test_a_version_from_the_minimum_on_is_new_enough(replace_package, version):
    replace_package('mmpretrain', types.SimpleNamespace(__version__=version))
    compat.require_toolbox()


def test_a_toolbox_whose_parts_do_not_fit_together_is_one_line_too(replace_package):
    # mmpretrain checks the version of mmcv by an assertion when it is imported.
    replace_package('mmpretrain', AssertionError('MMCV==1.7.0 is used but incompatible. Please install mmcv>=2.0.0.'))
    with pytest.raises(ToolboxError, match='mmpretrain cannot be imported .MMCV==1.7.0 is used but incompatible'):
        compat.require_toolbox()


def test_torchvision_and_its_transforms_work():
    import torchvision
    from torchvision.transforms import functional

    assert functional.hflip(torch.arange(3.0)[None, None]).tolist() == [[[2.0, 1.0, 0.0]]]
    assert torchvision.models.resnet18(weights=None) is not None


def test_another_fault_of_torchvision_is_not_swallowed(monkeypatch):
    def broken(name):
        raise RuntimeError('another fault')

    monkeypatch.setattr(compat.importlib, 'import_module', broken)
    with pytest.raises(RuntimeError, match='another fault'):
        compat.mend_torchvision()


def test_without_a_launcher_no_process_group_is_started():
    assert compat.init_cpu_process_group('none') is False
    assert not torch.distributed.is_initialized()


@pytest.fixture(scope='module')
def fresh_process():
    """The lines that a process prints: what `import cssa_mm` brought along, then what a launcher started."""
    code = (
        'import sys\n'
        'import torch\n'
        'from cssa_mm.compat import init_cpu_process_group\n'
        f'print([name for name in {ON_DEMAND} if name in sys.modules])\n'
        'started = init_cpu_process_group("slurm")\n'
        'print(started, torch.distributed.get_backend(), torch.distributed.get_world_size())\n'
        'print(init_cpu_process_group("pytorch"))\n'
    )
    variables = dict(SLURM_PROCID='0', SLURM_NTASKS='1', SLURM_LOCALID='0', MASTER_PORT='0', OMP_NUM_THREADS='1')
    environment = {key: value for key, value in os.environ.items() if key not in ('RANK', 'WORLD_SIZE', 'MASTER_ADDR')}
    done = subprocess.run(
        [sys.executable, '-c', code], env=environment | variables, capture_output=True, text=True, cwd=ROOT
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 3, done.stderr[-2000:]
    return lines


def test_packages_that_take_seconds_are_imported_on_demand(fresh_process):
    assert fresh_process[0] == '[]'


@pytest.mark.skipif(torch.cuda.is_available(), reason='mmengine starts nccl itself where there is CUDA')
def test_a_launcher_without_cuda_gets_gloo(fresh_process):
    assert fresh_process[1:] == ['True gloo 1', 'False']


def test_a_config_is_formatted_once_however_often_its_text_is_asked_for(monkeypatch):
    from mmengine.config import Config, config

    calls = []
    monkeypatch.setattr(
        config, 'FormatCode', lambda text, **options: calls.append(text) or (f'{text}# formatted', True)
    )
    compat.format_configs_once.cache_clear()
    compat.format_configs_once()
    one, other = Config(dict(a=1)), Config(dict(a=2))
    assert [one.pretty_text, one.pretty_text, other.pretty_text, one.pretty_text] == [
        f'a={value}# formatted' for value in (1, 1, 2, 1)
    ]
    assert calls == ['a=1', 'a=2', 'a=1']
    compat.format_configs_once.cache_clear()  # the next runner mends mmengine's own again


def test_a_figure_can_be_cropped_without_naming_the_renderer(monkeypatch):
    """As mmpretrain's browse_dataset does, which was written for an older matplotlib."""
    import matplotlib._tight_bbox as tight_bbox
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

    monkeypatch.setattr(tight_bbox, 'adjust_bbox', tight_bbox.adjust_bbox)
    compat.mend_tight_bbox()
    mended = tight_bbox.adjust_bbox
    compat.mend_tight_bbox()
    assert tight_bbox.adjust_bbox is mended
    figure = Figure(figsize=(4, 3))
    canvas = FigureCanvasAgg(figure)
    figure.add_subplot().plot([0, 1])
    mended(figure, Bbox([[0, 0], [2, 1]]))
    canvas.draw()
    assert (figure.bbox.width, figure.bbox.height) == (2 * figure.dpi, figure.dpi)
