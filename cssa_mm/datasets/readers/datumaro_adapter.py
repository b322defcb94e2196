"""The long tail of formats, read by Datumaro in a Python of its own: its OpenCV would overwrite the one in use here."""

from __future__ import annotations

import json
import os
import subprocess  # nosec B404 # no shell, see below
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from cssa_mm.errors import ConfigError, DataError, ToolboxError, nearest
from cssa_mm.files import cache_root

PACKAGES = ('datumaro==1.13.*', 'protobuf')  # without protobuf, looking at a folder with tables ends in an ImportError
SCRIPT = Path(__file__).with_name('datumaro_script.py')
VARIABLE = 'CSSA_DATUMARO_PYTHON'

# What was tried with files that Datumaro had not written: name -> title.
TRIED = {
    'ade20k2017': 'ADE20k (2017)',
    'camvid': 'CamVid',
    'common_semantic_segmentation': 'masks with dataset_meta.json',
    'dota': 'DOTA',
    'imagenet_txt': 'ImageNet list (synsets.txt)',
    'kitti_detection': 'KITTI objects',
    'label_me': 'LabelMe (XML of the website)',
    'mot_seq': 'MOT sequences',
    'mvtec_classification': 'MVTec AD',
    'open_images': 'Open Images',
    'roboflow_create_ml': 'CreateML',
    'vott_csv': 'VoTT (CSV)',
    'vott_json': 'VoTT (JSON)',
    'wider_face': 'WIDER FACE',
}
# What Datumaro reads otherwise than people mean it.
MISREAD = {
    'celeba': 'its classes are the persons, not the attributes: import Anno/list_attr_celeba.txt as a table',
    'align_celeba': 'its classes are the persons, not the attributes: import Anno/list_attr_celeba.txt as a table',
    'cityscapes': 'classes with instances, such as cars, are lost: convert the masks to COCO first',
}
# Readers of our own tell unlabelled images from those with none of the classes.
OWN = (
    'coco', 'voc', 'yolo', 'cvat', 'imagenet', 'mmdet_coco', 'roboflow_coco', 'roboflow_voc', 'roboflow_yolo',
    'roboflow_multiclass', 'roboflow_yolo_obb', 'imagenet_with_subset_dirs',
)  # fmt: skip


class Item(NamedTuple):
    """An image that Datumaro found: its file, its part of the set, and class names that it shows and does not show."""

    path: str | None
    subset: str
    positives: tuple[str, ...]
    negatives: tuple[str, ...]


class Found(NamedTuple):
    """What Datumaro found: the format, its version, class names, items, and annotations without a class by kind."""

    format: str
    version: str
    class_names: list[str]
    items: list[Item]
    left: dict[str, int]


def environment(say: Callable[[str], None] = lambda line: None) -> str:
    """The Python that has Datumaro: that of CSSA_DATUMARO_PYTHON, else one in the cache, which is made once.

    Args:
        say: Is told before something is installed.

    Raises:
        ToolboxError: It cannot be made.
    """
    if os.environ.get(VARIABLE):
        return os.environ[VARIABLE]
    root = cache_root() / 'datumaro-1.13'
    python = root / ('Scripts/python.exe' if os.name == 'nt' else 'bin/python')
    done = root / 'complete'
    if done.is_file():
        return str(python)
    say(f'Installing {" and ".join(PACKAGES)} into {root} (once; some 600 MB)')
    for words in ([sys.executable, '-m', 'venv', '--clear', str(root)], [str(python), *PIP, *PACKAGES]):
        finished = subprocess.run(words, capture_output=True, text=True, check=False)  # nosec B603 # our own words
        if finished.returncode:
            lines = (finished.stderr or finished.stdout).strip().splitlines() or ['no message']
            raise ToolboxError(
                f'datumaro: {" ".join(words[1:4])} failed ({lines[-1].strip()}), expected an environment in {root}; '
                f'install datumaro into another Python and give it: --datumaro PYTHON.'
            )
    done.touch()
    return str(python)


PIP = ('-m', 'pip', 'install', '--quiet', '--disable-pip-version-check')


def read_by_datumaro(source: str, python: str, name: str | None = None) -> Found:
    """Read a folder by Datumaro.

    Args:
        source: The folder.
        python: An interpreter that can import datumaro.
        name: Datumaro's name of the format; None: the one that it detects.

    Raises:
        ConfigError: The interpreter or the format is unknown, or the format is one of our own readers.
        DataError: Datumaro finds no format or several, reads it otherwise than meant, or fails.
    """
    answer = _ask(source, python, name or '')
    error, formats = answer.get('error'), answer.get('formats', [])
    if error == 'unknown':
        raise DataError(
            f'{source}: found no form of labels that Datumaro detects, expected one of its formats; choose one by '
            f'--format, or see docs/formats.md for what is read without it.'
        )
    if error == 'several':
        raise DataError(
            f'{source}: found what can be read as {" or ".join(formats)}, expected one format; choose by --format.'
        )
    if error == 'no such format':
        raise ConfigError(
            f"format: found '{name}', expected one of Datumaro's: {', '.join(formats)}.{nearest(name or '', formats)}"
        )
    if error:
        raise DataError(f'{source}: Datumaro cannot read it ({error}), expected a complete data set; mend it.')
    found = answer['format']
    if found in MISREAD:
        raise DataError(f"{source}: found Datumaro's format '{found}', which would be misread: {MISREAD[found]}.")
    return Found(
        found,
        answer['version'],
        list(answer['classes']),
        [Item(i['path'], i['subset'], tuple(i['positives']), tuple(i['negatives'])) for i in answer['items']],
        dict(answer['left']),
    )


def is_own(found: str) -> bool:
    """Whether a format of Datumaro's is one of our own readers."""
    return found in OWN or found.startswith(('coco_', 'voc_'))


def _ask(source: str, python: str, name: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, 'answer.json')
        # Isolated: neither this package's folder nor PYTHONPATH may shadow datumaro.
        words = [python, '-I', str(SCRIPT), os.path.abspath(source), name, out]
        try:
            # A Python that the user names, and no shell.
            finished = subprocess.run(words, capture_output=True, text=True, check=False)  # nosec B603
        except OSError as error:
            raise ConfigError(
                f"datumaro: found '{python}', which cannot be run ({error.strerror or error}), expected a Python with "
                f'datumaro; give its path, or --datumaro alone to make one.'
            ) from error
        try:
            with open(out, encoding='utf-8') as file:
                answer = json.load(file)
        except (OSError, ValueError) as error:
            lines = finished.stderr.strip().splitlines() or ['no message']
            raise DataError(
                f"{source}: the reading by '{python}' ended with status {finished.returncode} and no answer "
                f'({lines[-1].strip()}), expected what datumaro found; try `{python} -c "import datumaro"`.'
            ) from error
    if 'missing' in answer:
        raise ConfigError(
            f"datumaro: found no datumaro in '{python}' ({answer['missing']}), expected a Python that has it; install "
            f'{" ".join(PACKAGES)} there, or give --datumaro alone to make one.'
        )
    return answer
