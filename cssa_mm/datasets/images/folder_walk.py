"""Every file below a directory of a local disk, each directory once, through links and without hidden ones."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator

from cssa_mm.errors import DataError

# What systems, archives and network disks put beside photos: never the photos themselves.
SYSTEM_DIRECTORIES = ('__macosx', 'lost+found', '$recycle.bin', 'system volume information', '@eadir')
DEAD_LINK = 'links that lead nowhere: restore what they lead to'
NO_FILE = 'neither files nor directories'

Identity = tuple[int, int] | str


class Walk:
    """The files below ``folder``; read ``left_out`` and ``aliases`` after :meth:`files` has ended.

    A directory is listed once, under its own name where it lies below ``folder``, so a link that leads back into it
    neither ends the listing nor doubles it.

    Attributes:
        left_out: reason -> names that are no files.
        aliases: link -> the directory that it leads to and that is listed under another name, '' for the folder itself.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder or '.'
        self.left_out: dict[str, list[str]] = {}
        self.aliases: dict[str, str] = {}
        self._seen: dict[Identity, str] = {}

    def files(self) -> Iterator[str]:
        """Each file as a path relative to the folder, with forward slashes.

        Raises:
            DataError: a directory is missing or may not be read.
        """
        links: deque[str] = deque()
        yield from self._below('', links)
        while links:  # after all real directories, so that these keep their names
            link = links.popleft()
            listed = self._seen.get(self._identity(link))
            if listed is None:
                yield from self._below(link, links)
            else:
                self.aliases[link] = listed

    def _below(self, start: str, links: deque[str]) -> Iterator[str]:
        directories = [start]
        while directories:
            directory = directories.pop()
            identity = self._identity(directory)
            if identity in self._seen:
                continue
            self._seen[identity] = directory
            for entry in self._entries(directory):
                name = f'{directory}/{entry.name}' if directory else entry.name
                if entry.name.startswith('.') or entry.name.lower() in SYSTEM_DIRECTORIES:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    directories.append(name)
                elif _is_file(entry):
                    yield name
                elif os.path.isdir(entry.path):
                    links.append(name)
                else:
                    self.left_out.setdefault(DEAD_LINK if entry.is_symlink() else NO_FILE, []).append(name)

    def _entries(self, directory: str) -> list[os.DirEntry]:
        path = os.path.join(self.folder, directory) if directory else self.folder
        try:
            with os.scandir(path) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            expected = 'a directory that may be read' if directory else 'the directory of the images'
            advice = 'let it be read, or move it elsewhere' if directory else 'check data_root and img_dir'
            raise DataError(
                f'{path}: cannot be listed ({error.strerror or error}), expected {expected}; {advice}.'
            ) from error

    def _identity(self, directory: str) -> Identity:
        path = os.path.join(self.folder, directory) if directory else self.folder
        try:
            status = os.stat(path)
        except OSError as error:
            raise DataError(
                f'{path}: cannot be listed ({error.strerror or error}), expected the directory of the images; check '
                f'data_root and img_dir.'
            ) from error
        # Some network and Windows file systems number nothing.
        return (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(path)


def _is_file(entry: os.DirEntry) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link to itself
        return False
