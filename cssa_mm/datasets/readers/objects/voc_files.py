"""The XML files of VOC's form, and the images that they describe."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from typing import NamedTuple
from xml.etree.ElementTree import Element  # nosec B405 # a type: defusedxml parses

from cssa_mm.datasets.images.image_folder import ImageFolder
from cssa_mm.datasets.images.image_formats import open_image
from cssa_mm.datasets.readers.matching.image_finder import ImageFinder
from cssa_mm.datasets.readers.matching.meant_images import images_meant
from cssa_mm.datasets.readers.objects.xml_text import parse_xml
from cssa_mm.datasets.readers.understanding import Question, Understanding
from cssa_mm.errors import DataError

EXPECTED = 'the VOC annotation of an image'
FLAG = re.compile(r'\s+-?[01]$')
NUMBER = re.compile(r'\s+-?\d+$')


class VocFile(NamedTuple):
    """What an XML file says of its image.

    Attributes:
        path: Of the file.
        filename: The image as it names it, '' where it doesn't.
        size: Width and height as it has them; None where it doesn't.
        objects: Name of each object, and whether it is marked difficult.
        is_exported: CVAT and Datumaro wrote it, who write a file for images that nobody annotated, too.
    """

    path: str
    filename: str
    size: tuple[float, float] | None
    objects: list[tuple[str, bool]]
    is_exported: bool


def read_voc_file(content: bytes, path: str) -> VocFile:
    """Read an XML file of VOC's form.

    Raises:
        DataError: It has another form, or an object has no name.
    """
    root = parse_xml(content, path, EXPECTED)
    if root.tag != 'annotation':
        raise DataError(f'{path}: found the XML element <{root.tag}>, expected <annotation>; give VOC annotations.')
    objects = []
    for item in root.iter('object'):
        if (item.findtext('deleted') or '').strip() == '1':  # LabelMe's XML keeps what was taken back
            continue
        name = (item.findtext('name') or '').strip()
        if not name:
            raise DataError(f'{path}: found an object without a name, expected <name> with its class; repair the file.')
        objects.append((name, (item.findtext('difficult') or '').strip() == '1'))
    source = root.find('source')
    unknown = [] if source is None else [source.findtext(key) for key in ('annotation', 'image')]
    return VocFile(
        path=path,
        filename=(root.findtext('filename') or root.findtext('path') or '').strip(),
        size=size_in(root),
        objects=objects,
        is_exported=unknown == ['Unknown', 'Unknown'],
    )


def size_in(root: Element) -> tuple[float, float] | None:
    """Width and height as an annotation has them; None where it has none, or 0 as labelImg writes at times."""
    try:
        width, height = (float(root.findtext(f'size/{key}', '')) for key in ('width', 'height'))
    except ValueError:
        return None
    return (width, height) if width > 0 and height > 0 else None


def stem_of(path: str) -> str:
    """A path without its extension, with forward slashes."""
    return os.path.splitext(path)[0].replace(os.sep, '/')


def names_in_list(lines: Iterable[str], known: Collection[str]) -> list[str]:
    """The image names of an image set, of which lists of one class have a flag (-1, 0, 1) behind each.

    Args:
        lines: Of the list.
        known: The names that have an annotation, if they can be listed; names may hold blanks.
    """
    lines = [line.strip() for line in lines if line.strip()]
    has_flags = bool(lines) and all(FLAG.search(line) for line in lines)
    names = []
    for line in lines:
        forms = [line]  # without flags, one after the other
        while (cut := NUMBER.sub('', forms[-1])) != forms[-1]:
            forms.append(cut)
        name = next((form for form in forms if form in known), None)
        names.append((name or (forms[-1] if has_flags else line)).replace('\\', '/'))
    return names


class Pairing:
    """Finds the image of each XML file: that of the same name, or else the one that the file names."""

    def __init__(self, folder: ImageFolder) -> None:
        self.folder = folder
        self.finder = ImageFinder(folder)
        self.renamed: list[str] = []
        self.disagreeing: list[str] = []

    def image_of(self, stem: str, file: VocFile) -> str:
        """The id of the image; where there is none, a name that the folder lacks.

        Args:
            stem: Path of the XML file below its folder, without extension.
            file: Its content.

        Raises:
            DataError: It could be one of several.
        """
        own = images_meant(stem, self.finder)
        named = images_meant(file.filename, self.finder) if file.filename else []
        if len(own) > 1:
            own = [image_id for image_id in own if image_id in named] or own
        found = own or named
        if len(found) > 1:
            raise DataError(
                f'{file.path}: found the images {", ".join(found[:3])}, expected one that it belongs to; name it in '
                '<filename>, with its folder if need be, or set img_dir.'
            )
        if not found:
            return file.filename.replace('\\', '/') or f'{stem}.jpg'
        if not own:
            self.renamed.append(file.path)
        elif len(named) == 1 and named != own:
            self.disagreeing.append(file.path)
            if file.size and self._size(own[0]) != file.size == self._size(named[0]):
                return named[0]
        return found[0]

    def _size(self, image_id: str) -> tuple[float, float] | None:
        try:
            with open_image(os.path.join(self.folder.root, self.folder.path_of(image_id))) as image:
                return image.size
        except OSError:
            return None

    def note(self, understanding: Understanding) -> None:
        """State how the images were found."""
        if self.renamed:
            understanding.facts['images by <filename>'] = (
                f'{len(self.renamed)} XML files, such as {self.renamed[0]}, have no image of their own name'
            )
        if self.disagreeing:
            understanding.questions.append(
                Question(
                    'other_filename',
                    f'{len(self.disagreeing)} XML files name another image of the folder than that of their own name, '
                    f'such as {self.disagreeing[0]}: the size decided, else the own name',
                    'correct <filename> in them, or rename the files',
                )
            )
