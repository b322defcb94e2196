"""Packaging of cssa_mm; the tools' settings are in pyproject.toml."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
VERSION = re.search(r"__version__ = '(.+)'", (HERE / 'cssa_mm' / 'version.py').read_text('utf-8')).group(1)
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
    license_files=['LICENSE'],
    keywords='multi-label classification, semi-supervised learning, CLIP, prompt learning, mmpretrain, PyTorch',
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Developers',
        'Intended Audience :: Science/Research',
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3 :: Only',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.13',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
        'Topic :: Scientific/Engineering :: Image Recognition',
        'Typing :: Typed',
    ],
    python_requires='>=3.10',
    cmdclass={'build_py': BuildWithConfigs},
    packages=find_packages(include=['cssa_mm', 'cssa_mm.*']),
    py_modules=['cssa'],
    entry_points={'console_scripts': ['cssa = cssa:main']},
    package_data={
        'cssa_mm': ['py.typed'],
        'cssa_mm.models': ['*.txt'],
        'cssa_mm.demo.clip': ['*.json', '*.safetensors', '*.gz', '*.md'],
        'cssa_mm.visualization.pages': ['*.html', '*.css', '*.js'],
    },
    # The lowest versions that the tests pass with (requirements/lowest.txt); cssa_mm/compat.py checks them at import.
    install_requires=[
        'torch>=2.6',
        'torchvision>=0.21',
        'open_clip_torch>=3.1',
        'scikit-learn>=1.3',
        'numpy>=1.24',
        'pillow>=9.4',
        'safetensors>=0.4',
        'matplotlib>=3.7',
        'jinja2>=3.1',
        'tqdm>=4.65',
        'filelock>=3.12',  # torch brings it; who encodes which block of a feature folder
        'pyarrow>=14',  # scores.parquet
        'defusedxml>=0.7.1',  # XML of label files
    ],
    # The two families share their import names and can't live together: the user chooses one.
    extras_require={
        'openmmlab': ['mmengine>=0.10.4', 'mmcv-lite>=2.1', 'mmpretrain>=1.2', 'setuptools>=77,<82'],
        'onedl': ['onedl-mmengine>=0.10.8', 'onedl-mmcv>=2.3', 'onedl-mmpretrain>=1.3'],
        'onnx': [
            'onnx>=1.17',
            'onnxscript>=0.3',
            'onnxruntime>=1.20',
        ],  # cssa export, and predicting with what it wrote
        # More than a million stored images. hnswlib would need a compiler: PyPI has its source alone.
        'faiss': ['faiss-cpu>=1.8'],
        # cssa predict --engine ray; 2.64 drops the options that bound how often a failing worker is started again.
        'ray': ['ray[data]>=2.60,<2.64'],
        'live': ['tensorboard>=2.12'],  # cssa train --tensorboard
        'excel': ['openpyxl>=3.1'],  # label tables in .xlsx
        'heif': ['pillow-heif>=0.16'],  # photos of iPhones: .heic and .heif
        # The tokenizers of SigLIP, SigLIP 2, CLIPA and MetaCLIP 2 worldwide.
        'siglip': ['transformers>=4.45', 'sentencepiece'],
        'test': [
            'pytest>=7.4',
            'pytest-xdist>=3.3',
            'ruff',
            'mypy',
            'types-tqdm',
            'types-openpyxl',
            'scipy',
            'pyyaml',
            'hypothesis',
            'bandit',
            'playwright',  # drives the Chromium of the system; it downloads no browser by itself
            'openpyxl>=3.1',
            'tensorboard>=2.12',
            'onnx>=1.17',
            'onnxscript>=0.3',
            'onnxruntime>=1.20',
        ],
    },
)
