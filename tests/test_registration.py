import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config
from mmpretrain import registry

import cssa_mm  # noqa: F401

ROOT = Path(__file__).parents[1]
COMPONENTS = {
    'MODELS': [
        'AverageViewsTTA',
        'CSSAClassifier',
        'CSSADataPreprocessor',
        'ContextHead',
        'DiscriminantEvidence',
        'Neighbours',
        'LabelAlignmentHead',
        'MaskedAsymmetricLoss',
        'OpenCLIPBackbone',
    ],
    'DATASETS': [
        'COCOMultiLabelDataset',
        'ConcatMultiLabelDataset',
        'IconsDataset',
        'NUSWIDEMultiLabelDataset',
        'TableDataset',
        'UnlabelledDataset',
        'VOCMultiLabelDataset',
    ],
    'TRANSFORMS': ['LoadRGBImage', 'ScaledView', 'View'],
    'DATA_SAMPLERS': ['SemiSupervisedSampler', 'GlobalBatchSampler'],
    'HOOKS': [
        'BadImageHook',
        'CSSACheckpointHook',
        'CollapseHook',
        'GuardHook',
        'NonFiniteHook',
        'PlainCheckpointHook',
        'ProgressHook',
        'PseudoLabelHook',
        'StepLoggerHook',
        'StepSchedulerHook',
    ],
    'LOOPS': ['SemiSupervisedTrainLoop'],
    'METRICS': ['CSSAMetric'],
    'RUNNERS': ['CSSARunner'],
}


@pytest.mark.smoke
@pytest.mark.parametrize('name', COMPONENTS)
def test_every_component_stands_in_the_toolbox_s_registry(name):
    for component in COMPONENTS[name]:
        found = getattr(registry, name).get(component)
        assert found is not None, component
        assert found.__module__.startswith('cssa_mm.')


@pytest.mark.smoke
def test_a_config_alone_registers_everything_in_an_empty_process():
    code = (
        'import sys\n'
        'from mmengine.config import Config\n'
        'assert not any(name.startswith("cssa_mm") for name in sys.modules)\n'
        'config = Config.fromfile("configs/cssa_demo.py")\n'
        'from mmpretrain import registry\n'
        f'for name, components in {COMPONENTS!r}.items():\n'
        '    for component in components:\n'
        '        assert getattr(registry, name).get(component) is not None, component\n'
        'print(registry.MODELS.get(config.model.type).__name__)\n'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip().endswith('CSSAClassifier'), done.stderr[-2000:]


@pytest.mark.parametrize('path', sorted((ROOT / 'configs').glob('*.py')), ids=lambda path: path.stem)
def test_every_config_asks_for_the_import(path):
    wanted = Config.fromfile(path).custom_imports
    assert wanted == dict(imports=['cssa_mm'], allow_failed_imports=False)
