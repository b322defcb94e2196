"""The one rule by which a written path leads to an image of a folder, also where it is the path of another machine."""

from __future__ import annotations

import os
import posixpath
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

from cssa_mm.datasets.images.image_folder import ImageFolder
from cssa_mm.datasets.readers.matching.written_paths import WrittenPath, upload_names
from cssa_mm.names import one_form

AS_WRITTEN = 'as written'
BY_END = 'by the end of the path'
BY_ADDRESS = 'by the path in the address'
BY_NAME = 'by the file name'
BY_UPLOAD = 'by the file name as uploads are stored'
CASE = 'without regard to case'
STEM = 'without the extension'
# The ways of comparing names, in the order in which they are tried.
WAYS: dict[str, dict[str, bool]] = {
    '': dict(any_case=False, stem=False),
    STEM: dict(any_case=False, stem=True),
    CASE: dict(any_case=True, stem=False),
    f'{STEM} and {CASE}': dict(any_case=True, stem=True),
}


class Found(NamedTuple):
    """Where a path leads.

    Attributes:
        image_id: The image; None where there is none.
        rule: How it was found, in words.
        cut: The directory of another machine that was left off, '' where none was.
        is_open: Whether the cut directory must be confirmed by other rows of the table.
        others: The images that fit, where there are several.
    """

    image_id: str | None
    rule: str = AS_WRITTEN
    cut: str = ''
    is_open: bool = False
    others: tuple[str, ...] = ()


MISSING = Found(None)


class Names:
    """The names of a folder's images and directories in one way of comparing them.

    Args:
        folder: The images.
        any_case: Compare without case.
        stem: Compare the images' names without their extension.
    """

    def __init__(self, folder: ImageFolder, any_case: bool, stem: bool) -> None:
        self.any_case = any_case
        self.by_path: dict[str, list[str]] = defaultdict(list)
        self.directories: dict[str, str] = {}  # also links to them -> the one whose images are listed
        self._below: dict[str, list[str]] = defaultdict(list)  # end of a directory -> those that end so
        for image_id in folder.image_ids:
            self.by_path[self.form(posixpath.splitext(image_id)[0] if stem else image_id)].append(image_id)
        for link, target in folder.aliases.items():
            for directory in folder.directories:
                if f'{directory}/'.startswith(f'{target}/') or not target:
                    rest = directory[len(target) :].lstrip('/')
                    self.directories[self.form(posixpath.join(link, rest))] = self.form(directory)
        for directory in sorted(folder.directories):
            key = self.form(directory)
            self.directories[key] = key
            parts = key.split('/')
            for start in range(1, len(parts)):
                self._below['/'.join(parts[start:])].append(key)
        self.root_name = self.form(folder.name)

    @cached_property
    def by_name(self) -> dict[str, list[str]]:
        """Image ids by their last part."""
        result: dict[str, list[str]] = defaultdict(list)
        for path, image_ids in self.by_path.items():
            result[posixpath.basename(path)] += image_ids
        return result

    def form(self, text: str) -> str:
        """The form in which texts are compared."""
        text = text if text.isascii() and text.isprintable() else one_form(text)
        return text.casefold() if self.any_case else text

    def images_at(self, directory: str, name: str) -> list[str]:
        """The images of that name in a directory of the folder."""
        return self.by_path.get(f'{directory}/{name}' if directory else name, [])

    def below(self, directory: str, name: str) -> list[str]:
        """The images of that name in the directories that end in ``directory``."""
        if not directory:
            return self.by_name.get(name, [])
        return [image_id for place in self._below.get(directory, ()) for image_id in self.images_at(place, name)]


class Place(NamedTuple):
    """Where in the folder a written directory leads: ``start`` parts of it are cut off; None: to none that is there."""

    directory: str | None
    cut: str


class ImageFinder:
    """Finds images of a folder by written paths.

    The path as it is written comes first; then the longest end of it whose directory is one of the folder's tells where
    the image lies, with the folder's own name before it or not; then a path that is the end of a single image's. A name
    alone stands for an image of another directory only where nothing contradicts it: in a folder without directories,
    or where other rows confirm what was cut off. Names are compared as they are, without case, and without extension.
    """

    def __init__(self, folder: ImageFolder) -> None:
        self.folder = folder
        self.is_flat = folder.directories <= {''}
        self._root = os.path.abspath(folder.root).replace(os.sep, '/') if '://' not in folder.root else ''
        self._names: dict[str, Names] = {}
        self._places: dict[tuple[str, str], Place] = {}
        self._siblings: dict[str, bool] = {}

    def find(self, written: WrittenPath) -> Found:
        """The image that a path leads to."""
        if not written.name:
            return MISSING
        for way, names in self._ways():
            found = self._find(written, way, names)
            if found.image_id is not None or found.others:
                return found._replace(rule=_rule(found.rule, way))
        return MISSING

    def is_only_name(self, image_id: str) -> bool:
        """Whether no other directory of the folder has an image of the same name."""
        names = next(self._ways())[1]
        return len(names.by_name[names.form(posixpath.basename(image_id))]) == 1

    @cached_property
    def _uploaded(self) -> dict[str, list[str]]:
        """Image ids by the names that uploads are stored by."""
        result: dict[str, list[str]] = defaultdict(list)
        for image_id in self.folder.image_ids:
            for name in upload_names(posixpath.basename(self.folder.path_of(image_id))):
                result[name].append(image_id)
        return result

    def _ways(self) -> Iterator[tuple[str, Names]]:
        for way, options in WAYS.items():
            if way not in self._names:
                self._names[way] = Names(self.folder, **options)
            yield way, self._names[way]

    def _find(self, written: WrittenPath, way: str, names: Names) -> Found:
        name = names.form(written.name)
        if written.is_kept_name and not written.directory:
            found = names.below('', name)
            # An upload loses blanks and signs, so that other images can have the same name as this one.
            uploaded = [] if way else self._uploaded.get(name, [])
            return _one_of(list(dict.fromkeys([*found, *uploaded])), BY_NAME if found else BY_UPLOAD)
        place = self._places.get((written.directory, way))
        if place is None:
            place = self._places[written.directory, way] = self._place(written.directory, names)
        if place.directory is not None:
            found = names.images_at(place.directory, name)
            if found or written.directory:
                return _one_of(found, BY_END if place.cut else AS_WRITTEN, place.cut)
        found = names.below(names.form(written.directory), name)
        if found:
            return _one_of(found, BY_END if written.directory else BY_NAME)
        if place.directory is None and not written.is_kept_name and not self._is_elsewhere(written):
            return _one_of(names.images_at('', name), BY_END, written.directory)._replace(is_open=not self.is_flat)
        return MISSING

    def _place(self, directory: str, names: Names) -> Place:
        if not directory:
            return Place('', '')
        form, root = names.form(directory), names.form(self._root)
        if root and f'{form}/'.startswith(f'{root}/'):
            rest = form[len(root) + 1 :]
            return Place(names.directories.get(rest, rest), '')
        parts = form.split('/')
        for start in range(len(parts)):
            end = '/'.join(parts[start:])
            if end in names.directories:
                return Place(names.directories[end], '/'.join(directory.split('/')[:start]))
            if parts[start] == names.root_name:
                rest = '/'.join(parts[start + 1 :])
                if not rest or rest in names.directories:
                    return Place(names.directories.get(rest, ''), '')
        return Place(None, '')

    def has_siblings(self, directory: str) -> bool:
        """Whether an end of a written directory is there beside the image folder."""
        if directory not in self._siblings:
            self._siblings[directory] = any(os.path.isdir(end) for end in self._beside(directory))
        return self._siblings[directory]

    def _beside(self, directory: str) -> list[str]:
        parts = directory.split('/') if self._root else []
        parent = posixpath.dirname(self._root)
        return [posixpath.join(parent, *parts[start:]) for start in range(len(parts)) if parts[start]]

    def _is_elsewhere(self, written: WrittenPath) -> bool:
        """Whether the image, or its directory if the path is relative, is there beside the image folder."""
        if not self.has_siblings(written.directory):
            return False
        paths = [posixpath.join(end, written.name) for end in self._beside(written.directory)]
        there = [path for path in paths if os.path.exists(path)]
        if there:  # unless it is a link to the same one
            own = posixpath.join(self._root, written.name)
            return not (os.path.exists(own) and all(os.path.samefile(path, own) for path in there))
        start = written.directory.split('/')[0]
        return bool(start) and not start.endswith(':')


def _one_of(image_ids: list[str], rule: str, cut: str = '') -> Found:
    if len(image_ids) == 1:
        return Found(image_ids[0], rule, cut)
    return Found(None, rule, others=tuple(image_ids))


def _rule(rule: str, way: str) -> str:
    if not way:
        return rule
    return way if rule == AS_WRITTEN else f'{rule} {way}'
