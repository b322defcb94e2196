"""What a reader may look at: a label file or folder, its text in any common encoding, and the images beside it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import Any

from mmengine.fileio import LocalBackend

from cssa_mm.datasets.data_root import DataRoot
from cssa_mm.datasets.images.image_folder import ImageFolder, list_images
from cssa_mm.datasets.readers.text import decode_text
from cssa_mm.errors import DataError

LFS = b'version https://git-lfs.github.com/'
HEAD = 2**20


@dataclass
class ReadOptions:
    """How to read a label file; the keys of :class:`~cssa_mm.datasets.table.TableDataset`. None: found by content."""

    image_column: str | None = None
    label_column: str | None = None
    label_separators: str | None = None
    none_word: tuple[str, ...] = ('none',)
    unknown_word: tuple[str, ...] = ()
    blank: str | None = None
    minus_one: str | None = None
    delimiter: str | None = None
    ignore_columns: tuple[str, ...] = ()
    unannotated: str | None = None
    subset: str | None = None
    encoding: str | None = None
    group_column: str | None = None
    may_lack: bool = False  # columns of ignore_columns may be missing: those of another file
    class_names: tuple[str, ...] = ()  # the classes that are wanted, where they are known


class LabelSource:
    """A label file or folder that a reader is asked to read.

    Attributes:
        path: Where it lies.
        expected: What an error says that it should be.
    """

    def __init__(self, files: DataRoot, path: str, img_dir: str | None = None, expected: str = 'a label file') -> None:
        self.files = files
        self.path = path
        self.img_dir = img_dir
        self.expected = expected

    @property
    def suffix(self) -> str:
        """The extension in lower case, '' for a folder."""
        return '' if self.is_folder else PurePath(self.path).suffix.lower()

    @cached_property
    def is_folder(self) -> bool:
        """Whether it is a directory of this machine."""
        return self.files.is_local and os.path.isdir(self.path)

    @cached_property
    def content(self) -> bytes:
        """The bytes of the file."""
        content = self.files.read_bytes(self.path, self.expected)
        if content.startswith(LFS):
            raise DataError(
                f"{self.path}: found a pointer of Git LFS, expected {self.expected}; run 'git lfs pull' first."
            )
        return content

    @cached_property
    def head(self) -> bytes:
        """The first bytes of the file, which tell its form."""
        if isinstance(self.files.backend(self.path), LocalBackend) and os.path.isfile(self.path):
            with open(self.path, 'rb') as file:
                return file.read(HEAD)
        return self.content[:HEAD]

    @cached_property
    def decoded(self) -> tuple[str, str]:
        """The text of the file and the name of its encoding."""
        return decode_text(self.content, self.path)

    @property
    def text(self) -> str:
        """The text of the file."""
        return self.decoded[0]

    @cached_property
    def json(self) -> Any:
        """The parsed content of a JSON file.

        Raises:
            DataError: It holds no valid JSON.
        """
        try:
            return json.loads(self.text)
        except ValueError as error:
            raise DataError(
                f'{self.path}: found no valid JSON ({error}), expected {self.expected}; write or export it again.'
            ) from error

    def read_beside(self, *parts: str, expected: str) -> str:
        """The text of another file, its path counted from this one's folder (from the folder itself)."""
        directory = self.path if self.is_folder else os.path.dirname(self.path)
        path = os.path.join(directory, *parts)
        return decode_text(self.files.read_bytes(path, expected), path)[0]

    @cached_property
    def images(self) -> ImageFolder:
        """The images that rows can mean: those below ``img_dir``, or where images are wont to lie."""
        if self.img_dir is not None:
            return self._list(self.files.in_root(self.img_dir))
        own = self.path if self.is_folder else os.path.dirname(self.path)
        places = [self.files.in_root(name) for name in ('images', 'JPEGImages')]
        if not self.files.is_local:
            return self._list(places[0])
        root = self.files.data_root or '.'
        usual = next((place for place in places if os.path.isdir(place)), root)
        # A label file of another place, such as a folder of downloads, means the images of the data root.
        is_below = os.path.abspath(own).startswith(os.path.join(os.path.abspath(root), ''))
        order = [own, usual] if is_below else [usual, own]
        folders = (self._list(place) for place in order if os.path.isdir(place))
        return next((folder for folder in folders if folder.image_ids), None) or self._list(usual)

    def _list(self, root: str) -> ImageFolder:
        return list_images(self.files.backend(root), root)

    def images_in(self, directory: str) -> ImageFolder:
        """The images below another directory of the data root; ids count from the data root."""
        root = self.files.data_root
        return list_images(self.files.backend(root), root, os.path.relpath(directory, root or '.'))
