"""Finds the label files in a folder of photos, so that a new user has to name none."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from cssa_mm.datasets.data_root import DataRoot
from cssa_mm.datasets.images.image_formats import readable_suffixes
from cssa_mm.datasets.readers import READERS
from cssa_mm.datasets.readers.objects.yolo_layout import parts_in
from cssa_mm.datasets.readers.source import LabelSource
from cssa_mm.errors import DataError

# The parts as file names and folders call them.
TRAIN = ('labels', 'train', 'training')
VALIDATION = ('val', 'valid', 'validation')
TEST = ('test', 'testing')
SUFFIXES = (
    '.csv',
    '.tsv',
    '.xlsx',
    '.json',
    '.jsonl',
    '.ndjson',
    '.manifest',
    '.xml',
    '.yaml',
    '.yml',
    '.data',
    '.txt',
)
UNREAD = (
    '.xls',
    '.ods',
    '.numbers',
    '.parquet',
    '.feather',
    '.arrow',
    '.pkl',
    '.mat',
    '.npy',
    '.npz',
    '.tfrecord',
    '.h5',
)
# Files beside labels that hold none.
OTHERS = ('classes', 'readme', 'requirements', 'license', 'sample_submission', 'bad_images', 'notes')
FOLDERS = ('annotations', 'Annotations', 'labels', 'train', 'training', 'valid', 'val', 'validation', 'test', 'data',
           'images')  # fmt: skip


class LocalFiles(DataRoot):
    """A directory of this machine."""

    def __init__(self, data_root: str) -> None:
        self.data_root = data_root
        self.backend_args = None


def discover(data_root: str, labels: str | None = None) -> dict[str, dict[str, str]]:
    """The label file of each part of the data below a directory, as options of a data set.

    Args:
        data_root: Directory of this machine.
        labels: The label file of the training set, where it is known; the others are looked for.

    Returns:
        'train', and where they are there 'val' and 'test' -> `ann_file` (relative to `data_root`), and `subset` in a
        file that holds several parts.

    Raises:
        DataError: There is no label file, or there are several to choose from.
    """
    found = label_files(data_root)
    if labels is not None:
        found = {part: [name for name in names if name != labels] for part, names in found.items()} | {
            'train': [labels]
        }
    if not found['train']:
        parts = _class_folders(data_root)
        if parts:
            return {_part_of(name): dict(ann_file=name) for name in reversed(parts)}
        unread = [path.name for path in sorted(Path(data_root).iterdir()) if path.suffix.lower() in UNREAD]
        deeper = next((path for path in _image_folders(Path(data_root)) if any(_candidates(str(path)))), None)
        hint = f' (the labels of {deeper.name}/ are read with --data-root {deeper})' if deeper else ''
        but = f' but {unread[0]}, which is not read,' if unread else ','
        raise DataError(
            f'{data_root}: found no label file{but} expected labels.csv (image,labels), COCO, YOLO, VOC, CVAT, Label '
            f'Studio or another form of docs/formats.md{hint}; label some images, or name the file: --labels FILE'
        )
    result = {part: dict(ann_file=_only(names, part, data_root)) for part, names in found.items() if names}
    for part, subset in subsets_of(os.path.join(data_root, result['train']['ann_file'])).items():
        result[part] = dict(ann_file=result['train']['ann_file'], subset=subset)
    return _with_image_folders(result, Path(data_root))


def label_files(data_root: str) -> dict[str, list[str]]:
    """The label files below a directory: 'train', 'val' and 'test' -> relative paths; folders of photos are none."""
    found: dict[str, list[str]] = {'train': [], 'val': [], 'test': []}
    for name in _candidates(data_root):
        part = _part_of(name)
        if part == 'train' or not _is_bare_list(Path(data_root, name)):
            found[part].append(name)
    return found


def _with_image_folders(found: dict[str, dict[str, str]], root: Path) -> dict[str, dict[str, str]]:
    """The parts with the folder of the images of each, where these have the same names: instances_val.json, val/."""
    folders: dict[str, Path] = {}
    for part, options in found.items():
        name = Path(options['ann_file']).stem.rpartition('_')[2]
        places = [root / 'images' / name, root / name] if options['ann_file'].endswith('.json') else []
        for place in filter(Path.is_dir, places[::-1]):
            folders[part] = place
    known = [set(os.listdir(folder)) for folder in folders.values()]
    if len(known) < len(found) or len(known) < 2 or not any(known[0] & other for other in known[1:]):
        return found
    return {part: options | dict(img_dir=str(folders[part].relative_to(root))) for part, options in found.items()}


def _candidates(data_root: str) -> Iterator[str]:
    """Label files at the top, else those in folders where tools write them; relative paths."""
    root = Path(data_root)
    top = [path for path in sorted(root.iterdir()) if path.is_file()]
    places = [top] + [sorted((root / name).iterdir()) for name in FOLDERS if _is_own_folder(root / name)]
    found = [[path for path in paths if _is_label_file(data_root, path)] for paths in places]
    chosen = found[0] or [path for paths in found[1:] for path in paths]
    for path in chosen:
        yield path.relative_to(root).as_posix()
    if not chosen:
        # Formats of a file an image are recognised by their folder.
        parts = [name for name in (*TRAIN[1:], *VALIDATION, *TEST) if _is_label_folder(data_root, root / name)]
        if any(_part_of(name) == 'train' for name in parts):
            yield from parts
        elif _is_label_folder(data_root, root):
            yield '.'


def _is_label_folder(data_root: str, path: Path) -> bool:
    if not path.is_dir():
        return False
    source = LabelSource(LocalFiles(data_root), str(path))
    return any(reader.recognises(source) for name, reader in READERS.items() if name != 'folders')


def _is_own_folder(path: Path) -> bool:
    # A disk that ignores case shows annotations and Annotations as one.
    return path.is_dir() and path.name in os.listdir(path.parent)


def _is_label_file(data_root: str, path: Path) -> bool:
    if path.suffix.lower() not in SUFFIXES or path.name.startswith('.'):
        return False
    if any(path.stem.lower().startswith(name) for name in OTHERS) or not path.is_file():
        return False
    if path.suffix.lower() == '.txt' and not (path.parent == Path(data_root) and _names_images(path)):
        return False
    source = LabelSource(LocalFiles(data_root), str(path))
    if path.suffix.lower() == '.json' and b'"shapes"' in source.head:
        return False  # labelme's file of one image
    reader = next((name for name, reader in READERS.items() if reader.recognises(source)), None)
    return reader is not None and not _is_one_of_many(path)


def _names_images(path: Path) -> bool:
    """Whether a text file lists images with something behind them, unlike notes, class names and bare lists."""
    with path.open('rb') as file:
        lines = file.read(2**16).lower().splitlines()
    suffixes = [suffix.encode() for suffix in readable_suffixes() if len(suffix) > 3]
    return any(suffix in line and not line.strip().endswith(suffix) for line in lines for suffix in suffixes)


def _is_bare_list(path: Path) -> bool:
    """Whether a table has a single column: Kaggle's test.csv lists images without labels."""
    if path.suffix.lower() not in ('.csv', '.tsv') or not path.is_file():
        return False
    with path.open('rb') as file:
        lines = file.read(2**16).replace(b'\0', b'').splitlines()[:100]
    return not any(mark in line for line in lines for mark in (b',', b';', b'\t', b'|'))


def _is_one_of_many(path: Path) -> bool:
    """Whether a file tells of one image, which has its name, as labelme's and VOC's."""
    stems = (path.with_suffix(suffix) for suffix in ('.jpg', '.jpeg', '.png', '.JPG', '.PNG'))
    return path.suffix.lower() in ('.json', '.xml') and any(stem.is_file() for stem in stems)


def _part_of(name: str) -> str:
    # The file's own name tells more than that of its folder.
    for text in (Path(name).stem, *reversed(Path(name).parent.parts)):
        words = set(_words(text))
        for part, known in (('train', TRAIN), ('val', VALIDATION), ('test', TEST)):
            if words & set(known):
                return part
    return 'train'


def _words(text: str) -> list[str]:
    return ''.join(character if character.isalpha() else ' ' for character in text.lower()).split()


def _only(names: Sequence[str], part: str, data_root: str) -> str:
    stems = [Path(name).stem.lower() for name in names]
    groups = [[name for name, stem in zip(names, stems, strict=True) if stem == usual] for usual in ('labels', part)]
    groups.append([name for name, stem in zip(names, stems, strict=True) if 'instances' in _words(stem)])  # COCO's
    chosen = next((group for group in groups if group), names)
    if len(chosen) == 1:
        return chosen[0]
    shown = ', '.join(names[:5]) + (', ...' if len(names) > 5 else '')
    key = '--labels FILE' if part == 'train' else f'{part}_dataloader.dataset.ann_file=FILE'
    raise DataError(f'{data_root}: found {len(names)} label files for {part} ({shown}), expected one; name it: {key}')


def subsets_of(path: str) -> dict[str, str]:
    """The parts of a YOLO data.yaml or darknet's .data whose images are there, as options of a data set.

    Raises:
        DataError: It is no valid YAML.
    """
    source = LabelSource(LocalFiles(os.path.dirname(path)), path)
    if not path.endswith(('.yaml', '.yml', '.data')) or not READERS['yolo'].recognises(source):
        return {}
    return {part: part for part in ('train', *parts_in(source, path))}


def _class_folders(data_root: str) -> list[str]:
    """Directories that hold a folder for each class: the training set's, and where there are, those of the others."""
    root = Path(data_root)
    parts = {name: root / name for name in (*TRAIN, *VALIDATION, *TEST) if (root / name).is_dir()}
    if 'train' in parts:
        return [name for name, path in parts.items() if any(child.is_dir() for child in path.iterdir())]
    place = root / 'images' if (root / 'images').is_dir() else root
    while len(children := _image_folders(place)) == 1 and len(_image_folders(children[0])) > 0:
        place = children[0]  # an archive often has a folder around everything
    return [place.relative_to(root).as_posix()] if len(children) > 1 else []


def _image_folders(folder: Path) -> list[Path]:
    children = [child for child in folder.iterdir() if child.is_dir() and not child.name.startswith('.')]
    return [child for child in children if _holds_images(child)]


def _holds_images(folder: Path) -> bool:
    suffixes = tuple(readable_suffixes())
    return any(name.lower().endswith(suffixes) for _, _, names in os.walk(folder) for name in names)
