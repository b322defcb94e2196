"""Which images are predicted: those of a folder, a pattern, a list, a table of any label format, or one file."""

from __future__ import annotations

import glob
import hashlib
import os
import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from mmengine.fileio import LocalBackend

from cssa_mm.datasets.images.image_folder import list_images, reason_against
from cssa_mm.datasets.images.image_formats import readable_suffixes
from cssa_mm.datasets.readers import READERS, read_labels
from cssa_mm.datasets.readers.matching.joining import images_of
from cssa_mm.datasets.readers.source import LabelSource, ReadOptions
from cssa_mm.datasets.readers.text import decode_text
from cssa_mm.datasets.table import CLASS_FILES, TableDataset
from cssa_mm.errors import DataError
from cssa_mm.files import file_facts
from cssa_mm.names import one_form

Images = str | os.PathLike | Sequence[str | os.PathLike]
LISTS = ('.txt', '.lst')
EXPECTED = 'a folder of images, a pattern such as "photos/*.jpg", a text file with a path a line, a table or an image'
HEADERS = ('image', 'images', 'path', 'file', 'filename', 'file_name', 'image_path', 'name')
DIGITS = re.compile(r'\d+')
NO_TEXT = re.compile('[\udc80-\udcff]')  # what stands for bytes that are no text in UTF-8


@dataclass(frozen=True)
class ImageList:
    """The images that are predicted, in order, each once.

    Attributes:
        source: where they were found, for messages.
        root: the folder that names count from.
        names: how tables name them: paths below `root`, with '/'; others as they are.
        files: the same as they are on the disk: relative to `root`, absolute, or addresses.
        left_out: reason -> number of files that are no images.
        repeated: the number of mentions of an image that was mentioned before.
    """

    source: str
    root: str
    names: Sequence[str]
    files: Sequence[str]
    left_out: dict[str, int] = field(default_factory=dict)
    repeated: int = 0

    def __len__(self) -> int:
        return len(self.names)

    def path(self, position: int) -> str:
        """The path of an image, or its address."""
        file = self.files[position]
        return file if is_address(file) else os.path.join(self.root, file)

    @property
    def place(self) -> str:
        """The whole path of `root`, as a text that can be written and shown."""
        return os.fsencode(os.path.abspath(self.root)).decode('utf-8', 'backslashreplace')

    @property
    def class_file(self) -> str | None:
        """The file in `root` that names classes, if there is one."""
        paths = (os.path.join(self.root, name) for name in CLASS_FILES)
        return next((path for path in paths if os.path.isfile(path)), None)

    @cached_property
    def digest(self) -> str:
        """A hash of the names, by which a changed list is seen."""
        digest = hashlib.sha256()
        for name in self.names:
            digest.update(name.encode('utf-8', 'surrogatepass') + b'\0')
        return digest.hexdigest()[:32]


def is_address(path: str) -> bool:
    """Whether a path is the address of an image in a storage."""
    return '://' in path


def facts_of(path: str) -> str:
    """Size and time of change of an image, by which a change is seen; an address has none."""
    if is_address(path):
        return 'address'
    return file_facts(path) if os.access(path, os.R_OK) else 'unreachable'


def find_images(images: Images) -> ImageList:
    """Find the images that a user names.

    Args:
        images: a folder, read with all folders below it but hidden ones; a pattern of `glob`, '**' for any folders; a
            text file (.txt, .lst) with a path a line, counted from its folder, or an address, '#' before a comment,
            unless a file is called so; a label file of any known format, whose labels are not used; one image; or a
            sequence of paths.

    Raises:
        DataError: there is no image, or a file is none of these.
    """
    if not isinstance(images, str | os.PathLike):
        return _listed([os.fspath(path) for path in images], os.curdir, 'images')
    source = os.path.expanduser(os.fspath(images))
    if os.path.isdir(source):
        return _in_folder(source)
    if not os.path.exists(source):
        if glob.has_magic(source):
            return _matching(source)
        raise DataError(f"images: found nothing at '{source}', expected {EXPECTED}; correct the path.")
    folder, name = os.path.split(source)
    suffix = os.path.splitext(name)[1].lower()
    if suffix in LISTS:
        return _in_list(source)
    if suffix in readable_suffixes() or reason_against(name, source) is None:
        return _once(source, folder or os.curdir, [name], {})
    reason = reason_against(name, source)
    if reason and suffix not in ('', '.labels'):
        raise DataError(f'{source}: found a file {reason}; expected {EXPECTED}.')
    return _in_table(source)


def natural(name: str) -> str:
    """The key by which names are sorted as people count: a text, which is small.

    >>> sorted(['img10.jpg', 'img2.jpg'], key=natural)
    ['img2.jpg', 'img10.jpg']
    """
    return f'{DIGITS.sub(lambda digits: digits[0].zfill(20), name)}\0{name}'


def _in_folder(folder: str) -> ImageList:
    found = list_images(LocalBackend(), folder)
    if not found.image_ids:
        seen = ', '.join(f'{len(names):,} {reason}' for reason, names in found.left_out.items())
        raise DataError(
            f'{folder}: found no image{f" but files that are not read ({seen})" if seen else ""}, expected photos '
            '(JPEG, PNG, WebP, ...); give the folder that holds them.'
        )
    names = sorted(found.image_ids, key=natural)
    left_out = {reason: len(names) for reason, names in found.left_out.items()}
    return ImageList(folder, folder, names, [found.image_ids[name] for name in names], left_out)


def _matching(pattern: str) -> ImageList:
    fixed: list[str] = []
    for part in pattern.replace(os.sep, '/').split('/')[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    root = '/'.join(fixed) or ('/' if pattern.startswith(os.sep) else os.curdir)
    left_out: dict[str, int] = {}
    paths = []
    for path in sorted(glob.iglob(pattern, recursive=True), key=natural):
        if os.path.isdir(path):
            continue
        reason = reason_against(path.replace(os.sep, '/'), path)
        if reason is None:
            paths.append(os.path.relpath(path, root))
        elif reason:
            left_out[reason] = left_out.get(reason, 0) + 1
    if not paths:
        raise DataError(
            f"images: found no image that fits '{pattern}', expected one at least; correct the pattern, and put it in "
            'quotes on the command line.'
        )
    return _once(pattern, root, paths, left_out)


def _in_list(path: str) -> ImageList:
    with open(path, 'rb') as file:
        text, _ = decode_text(file.read(), path)
    folder = os.path.dirname(path)
    lines = [line.strip() for line in text.splitlines()]
    paths = [line for line in lines if line and (line[0] != '#' or os.path.isfile(os.path.join(folder, line)))]
    return _listed(paths, folder, path)


def _in_table(path: str) -> ImageList:
    root, name = os.path.split(os.path.abspath(path))
    if os.path.splitext(name)[1].lower() in ('.csv', '.tsv'):
        with open(path, 'rb') as file:
            lines = decode_text(file.read(), path)[0].split('\n')
        if lines[0].strip(' \r"\'').lower() in HEADERS:  # no column but that of the images
            paths = [line.strip(' \r"') for line in lines[1:]]
            return _listed([line for line in paths if line], root, path)
    source = LabelSource(TableDataset(data_root=root, ann_file=name, lazy_init=True), path)
    if not any(reader.recognises(source) for reader in READERS.values()):
        raise DataError(
            f'{path}: found neither an image nor a table or label file of a known form, expected {EXPECTED}.'
        )
    table = read_labels(source, ReadOptions(unannotated='unlabelled'))
    folder = table.folder or source.images
    ids = images_of(table, folder)
    names = list(dict.fromkeys(ids))
    if not names:
        raise DataError(f'{path}: found no row with an image, expected one at least; add the images.')
    return ImageList(path, folder.root, names, [folder.path_of(image_id) for image_id in names])


def _listed(paths: Sequence[str], folder: str, source: str) -> ImageList:
    """Paths that are counted from a folder; where one lies elsewhere, names count from the folder of them all."""
    if not paths:
        raise DataError(f'{source}: found no path, expected {EXPECTED}; write a path a line.')
    strange = next((path for path in paths if '\0' in path), None)
    if strange is not None:
        raise DataError(f'{source}: found {strange[:80]!r}, expected the path of an image; write a path a line.')
    folder = os.path.abspath(folder)
    full = [path if is_address(path) else os.path.normpath(os.path.join(folder, path)) for path in paths]
    local = [path for path in full if not is_address(path)]
    root = folder
    if not all(path.startswith(os.path.join(folder, '')) for path in local):
        root = os.path.commonpath([os.path.dirname(path) for path in local])
    return _once(source, root, [path if is_address(path) else os.path.relpath(path, root) for path in full], {})


def _once(source: str, root: str, files: Iterable[str], left_out: dict[str, int]) -> ImageList:
    """The list of files, each one once."""
    found: dict[str, str] = {}
    repeated = 0
    for file in files:
        if NO_TEXT.search(file):
            raise DataError(
                f'{source}: found the name {ascii(file)}, which is no text in UTF-8, expected one; rename it.'
            )
        name = file if is_address(file) else one_form(file.replace(os.sep, posixpath.sep))
        other = found.setdefault(name, file)
        if other is not file:
            if other != file:
                raise DataError(
                    f'{source}: found {ascii(other)} and {ascii(file)}, whose names differ in the form of their '
                    'letters or blanks alone, expected names that can be told apart; rename one.'
                )
            repeated += 1
    return ImageList(source, root, list(found), list(found.values()), left_out, repeated)
