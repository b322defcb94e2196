"""Where the files of a data set lie and how they are read: local disks and storage backends alike."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from mmengine import fileio
from mmengine.fileio import BaseStorageBackend, LocalBackend

from cssa_mm.errors import ConfigError, DataError


class DataRoot:
    """The part of a data set that knows its root directory; ``data_root`` may be an address like s3://bucket/x.

    Attributes:
        data_root (str): Directory or address that relative paths start from.
        backend_args (dict | None): Storage backend, as in MMEngine; None goes by the form of the path.
    """

    data_root: str
    backend_args: dict | None

    def in_root(self, *parts: str) -> str:
        """The path of ``parts`` below the data root; absolute parts and addresses stay as they are."""
        parts = tuple(part for part in parts if part != os.curdir)  # a folder found as '.' is the root itself
        start = max((index for index, part in enumerate(parts) if '://' in part), default=None)
        return os.path.join(self.data_root, *parts) if start is None else os.path.join(*parts[start:])

    def image_path(self, img_dir: str, name: str, source: str) -> str:
        """The path of an image that an annotation names.

        Args:
            img_dir: Directory of the images, as the config gives it.
            name: File name in the annotation.
            source: The annotation, for the message.

        Raises:
            DataError: The name leaves both the data root and ``img_dir``. Links may lead elsewhere.
        """
        path = self.in_root(img_dir, name)
        may_leave = os.path.isabs(name) or '..' in name or '://' in name
        if may_leave and not any(_is_below(path, root) for root in (self.data_root, self.in_root(img_dir))):
            raise DataError(
                f"{source}: found the image '{name}', which lies outside of data_root ('{self.data_root}'), expected "
                f'a path below it; correct the entry, or move or link the images there.'
            )
        return path

    def read_bytes(self, path: str, expected: str) -> bytes:
        """The content of an annotation file; the DataError of one that can't be read says ``expected``."""
        backend = self.backend(path)
        try:
            return backend.get(path)
        except (OSError, ValueError) as error:  # the latter of a name with a NUL
            reason = getattr(error, 'strerror', None) or error
            raise DataError(
                f'{path}: cannot be read ({reason}), expected {expected}; check data_root '
                f"('{self.data_root}') and the file's name."
            ) from error

    def read_text(
        self, path: str, expected: str, pieces: Callable[[bytes], Iterable[bytes]] = lambda content: [content]
    ) -> str:
        """The text of an annotation file in UTF-8, as :meth:`read_bytes` reads it; ``pieces`` may cut it down."""
        try:
            return b''.join(pieces(self.read_bytes(path, expected))).decode('utf-8-sig')
        except UnicodeDecodeError as error:
            raise DataError(
                f'{path}: cannot be read as UTF-8 text ({error.reason} at byte {error.start}), expected {expected}; '
                f'save it in UTF-8.'
            ) from error

    @property
    def is_local(self) -> bool:
        """Whether the files lie on a disk of this machine, where directories can be listed."""
        return isinstance(self.backend(self.data_root), LocalBackend)

    def backend(self, path: str) -> BaseStorageBackend:
        """The storage that ``path`` lies in."""
        try:
            return fileio.get_file_backend(path, backend_args=self.backend_args, enable_singleton=True)
        # Backends of any kind, whose constructors raise what they like.
        except Exception as error:
            raise ConfigError(
                f"backend_args: found {self.backend_args} for '{path}', which gives no storage backend "
                f'({type(error).__name__}: {" ".join(str(error).split())}), expected the name and options of one that '
                f'MMEngine knows, e.g. dict(backend=...); install or register it.'
            ) from error

    def locate(self, path: str) -> str:
        """The path of a file that a config names: below the data root where it is there, else as it is written."""
        below_root = self.in_root(os.path.expanduser(path))
        # Not every storage can be asked what exists: there, a local file comes first.
        is_below = os.path.exists(below_root) if self.is_local else not os.path.exists(path)
        return below_root if is_below else path


def _is_below(path: str, root: str) -> bool:
    if ('://' in path) != ('://' in root):
        return False
    # Links are not followed, so that they may lead elsewhere.
    path, root = os.path.abspath(path), os.path.abspath(root)
    return path != root and os.path.commonpath([path, root]) == root
