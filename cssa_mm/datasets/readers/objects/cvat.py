"""CVAT's own XML, 'CVAT for images 1.1': its only form that keeps tags."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree.ElementTree import Element  # nosec B405 # a type: defusedxml parses

from cssa_mm.datasets.readers.label_table import LabelTable, TableRow, table_of_rows
from cssa_mm.datasets.readers.matching.meant_images import without_images
from cssa_mm.datasets.readers.objects.unannotated import LABEL, note_unannotated, note_unseen
from cssa_mm.datasets.readers.objects.xml_text import parse_xml
from cssa_mm.datasets.readers.source import LabelSource, ReadOptions
from cssa_mm.datasets.readers.understanding import Question, Understanding
from cssa_mm.errors import DataError

EXPECTED = "CVAT's XML for images (CVAT for images 1.1)"


def is_cvat(source: LabelSource) -> bool:
    """Whether an XML file begins with CVAT's element."""
    return source.suffix == '.xml' and b'<annotations' in source.head.replace(b'\0', b'')


def read_cvat(source: LabelSource, options: ReadOptions) -> LabelTable:
    """Read tags, boxes, polygons and other shapes of images: the labels of an image are those of all of them.

    An image without any is what ``options.unannotated`` says. ``options.subset`` keeps the images of one subset.

    Raises:
        DataError: The file has another form, as that for videos, or lacks the subset.
    """
    path = source.path
    root = parse_xml(source.content, path, EXPECTED)
    if root.tag != 'annotations':
        raise DataError(f'{path}: found the XML element <{root.tag}>, expected {EXPECTED}; export it so.')
    if root.find('track') is not None:
        raise DataError(
            f"{path}: found tracks of a video, expected {EXPECTED}; choose the format 'CVAT for images' in the export."
        )
    understanding = Understanding(path)
    images = list(root.iter('image'))
    subsets = sorted({image.get('subset', '') for image in images} - {''})
    elsewhere: list[str] = []
    if options.subset is not None:
        elsewhere = [
            image.get('name', '') for image in images if image.get('subset', '').casefold() != options.subset.casefold()
        ]
        images = [image for image in images if image.get('subset', '').casefold() == options.subset.casefold()]
        if not images:
            raise DataError(
                f"{path}: found no image of the subset '{options.subset}', expected one of "
                f'{", ".join(subsets) or "none, as the file has no subsets"}; correct subset.'
            )
    elif len(subsets) > 1:
        shown = ', '.join(subsets)
        understanding.questions.append(
            Question('subsets', f'{path}: found the subsets {shown}, which are read as one set', f'subset={subsets[0]}')
        )
    option = options.unannotated or 'unlabelled'
    rows, without = [], []
    for number, image in enumerate(images):
        name = image.get('name')
        where = f'{path}, image {image.get("id", number)}'
        if not name:
            raise DataError(f'{where}: found no name, expected that of the image; export the file again.')
        labels = {item.get('label', '').strip(): 1 for item in image if item.get('label', '').strip()}
        if not labels:
            without.append(name)
            if option == 'drop':
                continue
        rows.append(TableRow(name.replace('\\', '/'), labels, 0 if labels else LABEL[option], where))
    _note_attributes(understanding, images)
    note_unannotated(understanding, without, len(images), option, 'tag or shape')
    table = table_of_rows(rows, understanding)
    labels_of_task = (label for label in root.iterfind('.//labels/label') if label.find('parent') is None)
    declared = [label.findtext('name', '').strip() for label in labels_of_task]
    note_unseen(understanding, dict.fromkeys(filter(None, declared)), table.class_names)
    gone = [*elsewhere, *(without if option == 'drop' else [])]
    if gone:
        table.folder = without_images(source.images, gone)
    return table


def _note_attributes(understanding: Understanding, images: Iterable[Element]) -> None:
    """State that attributes are no labels; ask about the checkboxes of tags, which may say what an image shows."""
    boxes: dict[str, None] = {}
    for image in images:
        for attribute in image.iterfind('*/attribute'):
            value = (attribute.text or '').strip()
            understanding.left.setdefault(attribute.get('name', ''), f'an attribute ({value})')
        for attribute in image.iterfind('tag/attribute'):
            if (attribute.text or '').strip().lower() in ('true', 'false'):
                boxes[attribute.get('name', '')] = None
    if boxes:
        understanding.questions.append(
            Question(
                'checkboxes_of_tags',
                f'the checkboxes of tags ({", ".join(list(boxes)[:5])}) are not read, the labels of tags are',
                'make each a label of its own in CVAT if it says what an image shows',
            )
        )
