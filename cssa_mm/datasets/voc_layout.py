"""The images of a VOC directory and their XML files: those of an image set, or all of them."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from typing import NamedTuple

from tqdm import tqdm

from cssa_mm.datasets.checks import refuse_doubled_ids
from cssa_mm.datasets.data_root import DataRoot
from cssa_mm.datasets.images.image_folder import list_images
from cssa_mm.datasets.images.named_images import are_there
from cssa_mm.datasets.readers.objects.voc import IMAGE_FOLDERS, MANY, xml_files, xml_folder
from cssa_mm.datasets.readers.objects.voc_files import EXPECTED, Pairing, VocFile, names_in_list, read_voc_file, stem_of
from cssa_mm.datasets.readers.understanding import Understanding
from cssa_mm.errors import DataError


class Entry(NamedTuple):
    """An image of the set: id, path, and its XML file, None where it has none."""

    image_id: str
    img_path: str
    file: VocFile | None


def read_files(files: DataRoot, paths: Sequence[str]) -> list[VocFile]:
    """The contents of XML files, with a progress bar on a terminal where they are many."""
    bar = tqdm(paths, 'XML files', disable=None if len(paths) > MANY else True)
    return [read_voc_file(files.read_bytes(path, EXPECTED), path) for path in bar]


def files_below(files: DataRoot, directory: str) -> list[VocFile]:
    """All XML files of a VOC directory, sorted by name.

    Raises:
        DataError: It has none.
    """
    folder = xml_folder(directory or '.') if os.path.isdir(directory or '.') else None
    if folder is None:
        raise DataError(
            f'{directory or "."}: found no XML file in VOC form, expected ImageSets/Main with lists of names, or XML '
            'files in Annotations or beside the images; check data_root.'
        )
    return read_files(files, [os.path.join(folder, name) for name in sorted(xml_files(folder))])


def listed_entries(files: DataRoot, image_set: str, may_lack_files: bool) -> list[Entry]:
    """One entry for each line of an image list, sorted by id.

    Args:
        files: The data set.
        image_set: Name of the list in ``ImageSets/Main``.
        may_lack_files: Whether images without an XML file are none of an error.

    Raises:
        DataError: The list or an XML file cannot be read, or a name leaves the data root.
    """
    path = files.in_root('ImageSets', 'Main', f'{image_set}.txt')
    lines = files.read_text(path, 'a VOC image list').splitlines()
    annotations = files.in_root('Annotations')
    has_blanks = any(len(line.split()) > 1 for line in lines)
    can_list = has_blanks and files.is_local and os.path.isdir(annotations)
    known = {stem_of(name) for name in xml_files(annotations)} if can_list else set()
    image_ids = sorted(names_in_list(lines, known))
    refuse_doubled_ids(image_ids, path)
    img_paths = [files.image_path('JPEGImages', f'{image_id}.jpg', path) for image_id in image_ids]
    xml_paths = [files.in_root('Annotations', f'{image_id}.xml') for image_id in image_ids]
    has_file = [not may_lack_files or files.backend(xml_path).exists(xml_path) for xml_path in xml_paths]
    read = iter(
        read_files(files, [xml_path for xml_path, is_there in zip(xml_paths, has_file, strict=True) if is_there])
    )
    entries = [
        Entry(image_id, img_path, next(read) if is_there else None)
        for image_id, img_path, is_there in zip(image_ids, img_paths, has_file, strict=True)
    ]
    return _with_other_extensions(files, entries, files.in_root('JPEGImages'))


def _with_other_extensions(files: DataRoot, entries: list[Entry], root: str) -> list[Entry]:
    """Images that are no .jpg: what lies there by the same name, or as <filename> says in storages without lists."""
    if not files.is_local:
        return [
            entry._replace(img_path=os.path.join(root, entry.file.filename))
            if entry.file is not None and posixpath.splitext(entry.file.filename)[0] == entry.image_id
            else entry
            for entry in entries
        ]
    if not os.path.isdir(root) or all(is_there := are_there([entry.img_path for entry in entries])):
        return entries
    folder = list_images(files.backend(root), root)
    pairing = Pairing(folder)
    result = []
    for entry, there in zip(entries, is_there, strict=True):
        file = entry.file or VocFile(entry.img_path, '', None, [], False)
        image_id = '' if there else pairing.image_of(entry.image_id, file)
        is_found = image_id in folder.image_ids
        result.append(entry._replace(img_path=os.path.join(root, folder.path_of(image_id))) if is_found else entry)
    return result


def all_entries(files: DataRoot, understanding: Understanding) -> list[Entry]:
    """One entry for each image of the directory, sorted by id; ids are paths without extension.

    Raises:
        DataError: There is no XML file, or one is broken or belongs to no image, or several.
    """
    root = files.in_root() or '.'
    found = files_below(files, root)
    beside = (os.path.join(root, name) for name in IMAGE_FOLDERS)
    image_root = next((path for path in beside if os.path.isdir(path)), root)
    folder = list_images(files.backend(image_root), image_root)
    pairing = Pairing(folder)
    start = xml_folder(root) or root
    files_of: dict[str, VocFile] = {}
    for file in found:
        image_id = pairing.image_of(stem_of(os.path.relpath(file.path, start)), file)
        if image_id not in folder.image_ids:
            raise DataError(
                f"{file.path}: found no image '{image_id}' in '{image_root}', expected that of the XML file; add it, "
                'or remove the file.'
            )
        other = files_of.setdefault(image_id, file)
        if other is not file:
            raise DataError(
                f"{file.path}: found the image '{image_id}', which {other.path} describes, too, expected one XML file "
                'an image; remove one, or correct its <filename>.'
            )
    pairing.note(understanding)
    understanding.facts['image set'] = f'all {len(found)} XML files of {start}'
    return sorted(
        Entry(
            posixpath.splitext(image_id)[0], os.path.join(image_root, folder.path_of(image_id)), files_of.get(image_id)
        )
        for image_id in folder.image_ids
    )
