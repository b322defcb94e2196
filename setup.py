"""Packaging of cssa_mm; the tools' settings are in pyproject.toml."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
VERSION = re.search(r"__version__ = '(.+)'", (HERE / 'cssa_mm' / '__init__.py').read_text('utf-8')).group(1)
README = HERE / 'README.md'


class BuildWithConfigs(build_py):
    """Puts the configs into the package that is built; cssa_mm/apis/model_index.py finds them there."""

    def run(self) -> None:
        super().run()
        if not getattr(self, 'editable_mode', False):
            target = Path(self.build_lib, 'cssa_mm', 'configs')
            shutil.copytree(HERE / 'configs', target, ignore=shutil.ignore_patterns('__pycache__'), dirs_exist_ok=True)


setup(
    name='cssa_mm',
    version=VERSION,
    description='CSSA: semi-supervised multi-label learning with a frozen CLIP, as a plugin for mmpretrain',
    long_description=README.read_text('utf-8') if README.exists() else '',
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.10',
    cmdclass={'build_py': BuildWithConfigs},
    packages=find_packages(include=['cssa_mm', 'cssa_mm.*']),
    py_modules=['cssa'],
    entry_points={'console_scripts': ['cssa = cssa:main']},
    package_data={'cssa_mm.demo.clip': ['*.json', '*.safetensors', '*.gz', '*.md']},
    install_requires=[
        'torch>=2.4',
        'torchvision',
        'open_clip_torch>=2.24',
        'scikit-learn>=1.3',
        'matplotlib',
        'tqdm',
    ],
    # The two families share their import names and can't live together: the user chooses one.
    extras_require={
        'openmmlab': ['mmengine>=0.10.4', 'mmcv-lite>=2.1', 'mmpretrain>=1.2', 'setuptools>=77,<82'],
        'onedl': ['onedl-mmengine>=0.10.12', 'onedl-mmcv>=2.3', 'onedl-mmpretrain>=1.3'],
        'test': ['pytest', 'ruff'],
    },
)
