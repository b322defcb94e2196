"""VOC's XML files: a folder of them, or the list of an image set."""

from __future__ import annotations

import os
from collections.abc import Iterator

from tqdm import tqdm

from cssa_mm.datasets.images.image_folder import ImageFolder
from cssa_mm.datasets.readers.label_table import LabelTable, TableRow, table_of_rows
from cssa_mm.datasets.readers.matching.image_finder import ImageFinder
from cssa_mm.datasets.readers.matching.meant_images import find_meant, kept_images
from cssa_mm.datasets.readers.objects.unannotated import (
    LABEL,
    ask_about_empty_files,
    note_unannotated,
    note_without_files,
)
from cssa_mm.datasets.readers.objects.voc_files import EXPECTED, Pairing, names_in_list, read_voc_file, stem_of
from cssa_mm.datasets.readers.source import LabelSource, ReadOptions
from cssa_mm.datasets.readers.understanding import Understanding
from cssa_mm.errors import DataError

XML_FOLDERS = ('Annotations', 'annotations', 'annots', 'Annotation', 'annotation', 'xml', 'xmls')
DEEP_FOLDERS = ('annotations', 'labels', 'xml', 'xmls')
IMAGE_FOLDERS = ('JPEGImages', 'images')
LOOKED_AT = 5  # files that tell the form of a folder
MANY = 1000  # files from which on progress is shown


def is_voc(source: LabelSource) -> bool:
    """Whether a folder holds XML files of VOC's form, or a list lies in ImageSets."""
    if not source.is_folder:
        return source.suffix == '.txt' and 'ImageSets' in os.path.dirname(source.path).replace(os.sep, '/').split('/')
    return xml_folder(source.path) is not None


def xml_folder(path: str) -> str | None:
    """The folder of the XML files: the folder itself, or Annotations in it; None where there is none."""
    for folder in (path, *(os.path.join(path, name) for name in XML_FOLDERS)):
        if any(_is_voc_file(os.path.join(folder, name)) for name in sorted(xml_files(folder))[:LOOKED_AT]):
            return folder
    return None


def xml_files(folder: str) -> Iterator[str]:
    """The paths of the XML files of a folder, relative to it; those below it where its name says that it holds them.

    Folders below one of another name may be other parts of the data.
    """
    is_deep = os.path.basename(os.path.abspath(folder)).lower() in DEEP_FOLDERS
    for directory, below, names in os.walk(folder):
        if not is_deep:
            below.clear()
        for name in names:
            if _is_xml(name):
                yield os.path.relpath(os.path.join(directory, name), folder).replace(os.sep, '/')


def _is_xml(name: str) -> bool:
    return name.lower().endswith('.xml') and not name.startswith('.')


def _is_voc_file(path: str) -> bool:
    try:
        with open(path, 'rb') as file:
            head = file.read(4096).replace(b'\0', b'')
    except OSError:
        return False
    return b'<annotation>' in head or b'<annotation ' in head


def read_voc(source: LabelSource, options: ReadOptions) -> LabelTable:
    """Read a folder of XML files, a directory with Annotations, or a list of ImageSets.

    Images without an XML file are unlabelled. A file without objects was saved by somebody, so it says 'none of the
    classes'; CVAT and Datumaro write such files for images that nobody annotated, too: there, ``options.unannotated``
    counts.

    Raises:
        DataError: A file is broken, or it could belong to several images.
    """
    understanding = Understanding(source.path)
    if source.is_folder:
        root = xml_folder(source.path)
        if root is None:
            raise DataError(
                f'{source.path}: found no XML file in VOC form (<annotation>), expected some in it or in Annotations; '
                'correct the path.'
            )
        files = sorted(xml_files(root))
        folder = _images(source, root, os.path.dirname(root) if root != source.path else source.path)
    else:
        base = source.path.replace(os.sep, '/').split('/ImageSets/')[0] if '/ImageSets/' in source.path else '.'
        root = os.path.join(base, 'Annotations')
        folder = _images(source, root, base)
    names: list[str] | None = None
    if not source.is_folder:
        known = {stem_of(name) for name in xml_files(root)} if source.files.is_local else set()
        names = names_in_list(source.text.splitlines(), known)
        files = [f'{name}.xml' for name in names if not source.files.is_local or name in known]
    pairing = Pairing(folder)
    rows, empty, unannotated = [], 0, []
    for name in tqdm(files, 'XML files', disable=None if len(files) > MANY else True):
        path = os.path.join(root, name)
        file = read_voc_file(source.files.read_bytes(path, EXPECTED), path)
        image_id = pairing.image_of(stem_of(name), file)
        others = 0
        if not file.objects and file.is_exported:
            unannotated.append(image_id)
            others = LABEL.get(options.unannotated or 'unlabelled', -1)
        elif not file.objects:
            empty += 1
        rows.append(TableRow(image_id, {name: 1 for name, _ in file.objects}, others, path))
    ask_about_empty_files(understanding, empty, len(files), 'XML files')
    note_unannotated(understanding, unannotated, len(files), options.unannotated or 'unlabelled', 'object')
    pairing.note(understanding)
    if options.unannotated == 'drop':
        gone = set(unannotated)
        rows = [row for row in rows if row.path not in gone]
    folder = _restricted(folder, rows, names, options, understanding)
    table = table_of_rows(rows, understanding)
    table.folder = folder
    table.is_split = False
    return table


def _images(source: LabelSource, xml_dir: str, base: str) -> ImageFolder:
    """The images of XML files: those of img_dir, beside them, or in JPEGImages or images beside their folder."""
    if source.img_dir is not None:
        return source.images
    if os.path.abspath(base) != os.path.abspath(source.files.data_root or '.'):
        for name in IMAGE_FOLDERS:
            if os.path.isdir(os.path.join(base, name)):
                return source.images_in(os.path.join(base, name))
        beside = source.images_in(xml_dir) if os.path.isdir(xml_dir) else None
        if beside is not None and beside.image_ids:
            return beside
    return source.images


def _restricted(
    folder: ImageFolder,
    rows: list[TableRow],
    names: list[str] | None,
    options: ReadOptions,
    understanding: Understanding,
) -> ImageFolder:
    """The images that belong to the set: of a list, those listed; without those that are to be dropped."""
    labelled = {row.path for row in rows}
    kept = list(folder.image_ids)
    if names is not None:
        finder = ImageFinder(folder)
        wanted = labelled | {find_meant(name, finder).image_id for name in names}
        kept = [image_id for image_id in kept if image_id in wanted]
    without = [image_id for image_id in kept if image_id not in labelled]
    option = 'drop' if options.unannotated == 'drop' else 'unlabelled'
    note_without_files(understanding, without, len(kept), option)
    if option == 'drop':
        kept = [image_id for image_id in kept if image_id in labelled]
    return kept_images(folder, kept)
