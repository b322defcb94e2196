"""The images of a folder, and what lies beside them and is not read."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from mmengine.fileio import BaseStorageBackend, LocalBackend

from cssa_mm.datasets.images.folder_walk import Walk
from cssa_mm.datasets.images.image_formats import (
    HEIF,
    HEIF_SUFFIXES,
    NAMES_OF_NO_INTEREST,
    OF_NO_INTEREST,
    OTHER,
    OTHER_IMAGES,
    UNKNOWN,
    begins_like_an_image,
    has_heif,
    looks_like_heif,
    readable_suffixes,
    reads_header,
)
from cssa_mm.errors import DataError
from cssa_mm.names import one_form

UNOPENED = 'without the extension of an image, in a storage that is only listed: add the extension'
NO_TEXT = 'with a name that is no text in UTF-8: rename them'


@dataclass(frozen=True)
class ImageFolder:
    """The images that a table can list: sorted ids, which are paths relative to ``root`` with forward slashes.

    All of them start with ``prefix``: '' or, where only a directory of the root counts, its name and a slash.

    Attributes:
        image_ids: id, in the one form of names -> the path relative to ``root`` as it is on the disk.
        left_out: reason -> what lies in the folder, may be meant as a photo and is not read, sorted.
        aliases: links to a directory that is listed already -> that directory, both relative to ``root``.
    """

    root: str
    prefix: str
    image_ids: dict[str, str]
    left_out: dict[str, list[str]] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)

    @cached_property
    def name(self) -> str:
        """The last part of ``root``."""
        root = self.root if '://' in self.root else os.path.abspath(self.root)
        return posixpath.basename(root.replace(os.sep, '/').rstrip('/'))

    @cached_property
    def directories(self) -> set[str]:
        """Every directory below ``root`` that holds images, as a relative path; '' for the root itself."""
        return {posixpath.dirname(image_id) for image_id in self.image_ids}

    def path_of(self, image_id: str) -> str:
        """The path of an image as it is on the disk, relative to ``root``."""
        return self.image_ids[image_id]

    def id_of(self, name: str) -> str:
        """The id of an image by a name of any Unicode form, also through a link to a directory that is listed."""
        name = one_form(name)
        for link, directory in self.aliases.items():
            if name.startswith(f'{link}/'):
                rest = name[len(link) + 1 :]
                return self.id_of(f'{directory}/{rest}' if directory else rest)
        return name

    def reason_left_out(self, name: str) -> str | None:
        """Why a file of the folder is not one of its images; None where it is, or where nothing is known of it."""
        reason = self._reasons.get(one_form(name))
        if reason is None and name not in self.image_ids:
            reason = _reason_of_no_interest(name)
        return reason

    @cached_property
    def _reasons(self) -> dict[str, str]:
        return {one_form(name): reason for reason, names in self.left_out.items() for name in names}


def list_images(backend: BaseStorageBackend, root: str, directory: str = '.') -> ImageFolder:
    """List the images below a directory of ``root``.

    An image is a file with an extension that Pillow reads here. Of files with an unknown extension, or none, the first
    bytes decide on local disks. Links are followed, and a directory is listed once, however many lead to it.

    Raises:
        DataError: The directory is missing, or in a storage that lists nothing; a directory below it may not be read;
            or two names differ in their Unicode form alone.
    """
    directory = posixpath.normpath(directory.replace(os.sep, '/'))
    prefix = '' if directory == '.' else f'{directory}/'
    folder = os.path.join(root, directory) if prefix else root
    is_local = isinstance(backend, LocalBackend)
    aliases: dict[str, str] = {}
    left_out: dict[str, list[str]] = {}
    if is_local:
        walk = Walk(folder)
        names: Iterable[str] = walk.files()
    else:
        names = _listed(backend, folder)
    images: dict[str, str] = {}
    for name in names:
        reason = reason_against(name, os.path.join(folder, name) if is_local else None)
        if reason is None:
            _add(images, f'{prefix}{name}', folder)
        elif reason:
            left_out.setdefault(reason, []).append(f'{prefix}{_printable(name)}')
    if is_local:
        aliases = {
            one_form(f'{prefix}{link}'): one_form(f'{prefix}{target}'.rstrip('/'))
            for link, target in walk.aliases.items()
        }
        for reason, others in walk.left_out.items():
            left_out.setdefault(reason, []).extend(f'{prefix}{_printable(name)}' for name in others)
    return ImageFolder(
        root,
        prefix,
        dict(sorted(images.items())),
        {reason: sorted(left_out[reason]) for reason in sorted(left_out)},
        aliases,
    )


def _listed(backend: BaseStorageBackend, folder: str) -> list[str]:
    try:
        names = list(backend.list_dir_or_file(folder or '.', list_dir=False, recursive=True))
    except (OSError, AttributeError) as error:  # storages such as HTTP have no such method
        raise DataError(
            f'{folder}: cannot be listed ({getattr(error, "strerror", None) or error}), expected the directory of the '
            f'images; check data_root and img_dir.'
        ) from error
    return [name for name in (name.replace(os.sep, '/') for name in names) if not _is_hidden(name)]


def reason_against(name: str, path: str | None) -> str | None:
    """Why a file is no image: None where it is one, '' where nobody wants to know.

    Args:
        name: Its path, with forward slashes.
        path: Where it may be opened; None where it may not.
    """
    stem, suffix = posixpath.splitext(posixpath.basename(name).lower())
    if suffix in HEIF_SUFFIXES and not has_heif():
        return HEIF
    if suffix in HEIF_SUFFIXES or suffix in readable_suffixes():
        return None if _is_text(name) else NO_TEXT
    if suffix in OF_NO_INTEREST or f'{stem}{suffix}' in NAMES_OF_NO_INTEREST:
        return ''
    if suffix in OTHER_IMAGES:
        return OTHER
    return UNOPENED if path is None else _reason_by_content(name, path)


def _reason_by_content(name: str, path: str) -> str | None:
    try:
        with open(path, 'rb') as file:
            start = file.read(64)
            if looks_like_heif(start) and not has_heif():
                return HEIF
            if begins_like_an_image(start) and reads_header(file):
                return None if _is_text(name) else NO_TEXT
    except OSError as error:
        return f'that cannot be opened ({error.strerror or error})'
    return UNKNOWN


def _reason_of_no_interest(name: str) -> str | None:
    if _is_hidden(name):
        return 'hidden, or in a hidden directory, which is not read: rename it'
    suffix = posixpath.splitext(name)[1].lower()
    return f"of the extension '{suffix}', which is not read as an image" if suffix in OF_NO_INTEREST else None


def _add(images: dict[str, str], name: str, folder: str) -> None:
    image_id = name if name.isascii() and ' ' not in name else one_form(name)
    other = images.setdefault(image_id, name)
    if other != name:
        raise DataError(
            f'{folder}: found {ascii(other)} and {ascii(name)}, whose names differ in the form of their letters or '
            f'blanks alone, expected names that can be told apart; rename one.'
        )


def _is_hidden(name: str) -> bool:
    return any(part.startswith('.') and part not in ('.', '..') for part in name.split('/'))


def _is_text(name: str) -> bool:
    return name.isascii() or not any('\udc80' <= letter <= '\udcff' for letter in name)


def _printable(name: str) -> str:
    return os.fsencode(name).decode('utf-8', 'backslashreplace')
