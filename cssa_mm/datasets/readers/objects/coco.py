"""COCO's instances JSON, which most annotation tools write."""

from __future__ import annotations

import numpy as np

from cssa_mm.datasets.readers.label_table import LabelTable
from cssa_mm.datasets.readers.matching.meant_images import without_images
from cssa_mm.datasets.readers.objects.instances import EXPECTED, Instances, read_instances
from cssa_mm.datasets.readers.objects.json_stream import pieces_of
from cssa_mm.datasets.readers.objects.unannotated import LABEL, ask_about_undeclared, note_unannotated, note_unseen
from cssa_mm.datasets.readers.source import LabelSource, ReadOptions
from cssa_mm.datasets.readers.text import MARKS
from cssa_mm.datasets.readers.understanding import Question, Understanding
from cssa_mm.errors import DataError
from cssa_mm.names import plain_name

# A key of the form, and one of its entries.
SIGNS = (('"images"', '"file_name"'), ('"annotations"', '"image_id"'), ('"categories"', '"supercategory"'))
PREDICTION = ('"image_id"', '"category_id"', '"score"')


def is_coco(source: LabelSource) -> bool:
    """Whether a JSON file begins like COCO's, or like a list of detections in its form."""
    if source.suffix != '.json':
        return False
    head = source.head.decode(_mark(source.head) or 'utf-8', 'ignore').lstrip('\ufeff \t\r\n')
    if head[:1] == '[':
        return all(sign in head[: head.find('}')] for sign in PREDICTION)
    return head[:1] == '{' and any(key in head and entry in head for key, entry in SIGNS) and '"data_list"' not in head


def read_coco(source: LabelSource, options: ReadOptions) -> LabelTable:
    """Read an instances JSON in COCO's form: a class is positive where the image has an instance of it.

    Crowd counts, keypoints and panoptic segments too. Categories without an instance are no classes. Images without
    annotation are what ``options.unannotated`` says.

    Raises:
        DataError: The file has another form, such as captions or predictions, or is broken.
    """
    path = source.path
    if source.head.lstrip(b'\xef\xbb\xbf \t\r\n')[:1] == b'[':
        raise DataError(
            f'{path}: found a list, as of predictions with image_id, category_id and score, expected {EXPECTED}, which '
            "holds 'images', 'annotations' and 'categories'; give the annotation file."
        )
    instances, encoding = _read(source)
    understanding = Understanding(path)
    if encoding != 'utf-8-sig':
        understanding.facts['encoding'] = encoding
    if 'segments_info' in instances.kinds:
        understanding.facts['annotations'] = 'panoptic: the category of each segment, things and stuff alike'
    names = instances.shown_names()
    note_unseen(understanding, instances.names, names)
    if options.class_names:
        ask_about_undeclared(understanding, options.class_names, instances.names)
    if instances.has_scores:
        understanding.questions.append(
            Question(
                'scores',
                f'{path}: annotations have a score, as predictions of a model do',
                'give a file of annotations that people made or checked',
            )
        )
    return _table(source, instances, names, understanding, options.unannotated or 'unlabelled')


def _read(source: LabelSource) -> tuple[Instances, str]:
    encoding = _mark(source.head) or 'utf-8-sig'
    try:
        return read_instances(pieces_of(source.files, source.path, source.expected), source.path, encoding), encoding
    except DataError as error:
        if encoding != 'utf-8-sig' or not isinstance(error.__cause__, UnicodeDecodeError):
            raise
    encoding = 'cp1252'
    return read_instances(pieces_of(source.files, source.path, source.expected), source.path, encoding), encoding


def _mark(head: bytes) -> str | None:
    return next((name for mark, name in MARKS if head.startswith(mark)), None)


def _table(
    source: LabelSource, instances: Instances, names: list[str], understanding: Understanding, option: str
) -> LabelTable:
    blank = np.flatnonzero(~instances.is_annotated)
    without = [instances.file_names[row] for row in blank]
    note_unannotated(understanding, without, len(instances.file_names), option, 'annotation')
    labels = labels_of(instances, names)
    others = np.zeros(len(labels), dtype=np.int8)
    folder = None
    rows = np.arange(len(labels))
    if option == 'drop':
        rows = np.flatnonzero(instances.is_annotated)
        folder = without_images(source.images, without) if without else None
    else:
        labels[blank] = others[blank] = LABEL[option]
    return LabelTable(
        class_names=names,
        paths=[instances.file_names[row].replace('\\', '/') for row in rows],
        labels=labels[rows],
        others=others[rows],
        where=lambda row: f'{source.path}, image {instances.image_ids[rows[row]]}',
        understanding=understanding,
        folder=folder,
    )


def labels_of(instances: Instances, names: list[str]) -> np.ndarray:
    """Labels int8 (n, C), 1 and 0, of the categories with these names; several categories may have one name."""
    columns = {plain_name(name): column for column, name in enumerate(names)}
    labels = np.zeros((len(instances.image_ids), len(names)), dtype=np.int8)
    for position, name in enumerate(instances.names):
        column = columns.get(plain_name(name))
        if column is not None:
            labels[instances.shows[:, position], column] = 1
    return labels
