"""Readers of label files, one a format: how each is recognised, read, and tells unlabelled from none."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cssa_mm.datasets.readers.fiftyone import is_fiftyone, read_fiftyone
from cssa_mm.datasets.readers.folders import read_folders
from cssa_mm.datasets.readers.label_table import LabelTable
from cssa_mm.datasets.readers.manifests import is_manifest, read_manifest
from cssa_mm.datasets.readers.mmpretrain import is_mmpretrain, read_mmpretrain
from cssa_mm.datasets.readers.objects.coco import is_coco, read_coco
from cssa_mm.datasets.readers.objects.cvat import is_cvat, read_cvat
from cssa_mm.datasets.readers.objects.labelme import is_labelme, read_labelme
from cssa_mm.datasets.readers.objects.via import is_via, read_via
from cssa_mm.datasets.readers.objects.voc import is_voc, read_voc
from cssa_mm.datasets.readers.objects.yolo import is_yolo, read_yolo
from cssa_mm.datasets.readers.source import LabelSource, ReadOptions
from cssa_mm.datasets.readers.studio.label_studio import is_label_studio, read_label_studio
from cssa_mm.datasets.readers.studio.label_studio_min import is_label_studio_min, read_label_studio_min
from cssa_mm.datasets.readers.tables.forms import is_table, read_table
from cssa_mm.datasets.readers.tables.records import is_records, read_records
from cssa_mm.datasets.readers.tables.sheets import is_sheet, read_sheet
from cssa_mm.errors import DataError


class Reader(NamedTuple):
    """A format of label files.

    Attributes:
        title: What people call it.
        recognises: Whether a source has this format, by its extension and content; it raises nothing.
        read: Reads it, or raises a DataError with file, place, what was found and what was expected.
        unlabelled: How an unlabelled image shows.
        none: How an image shows that has none of the classes.
        example: A short one.
    """

    title: str
    recognises: Callable[[LabelSource], bool]
    read: Callable[[LabelSource, ReadOptions], LabelTable]
    unlabelled: str
    none: str
    example: str


# In the order in which they are asked: the special before the general.
READERS: dict[str, Reader] = {
    'coco': Reader(
        title='COCO instances (JSON)',
        recognises=is_coco,
        read=read_coco,
        unlabelled='an image without annotation',
        none="the same, with unannotated='negative'",
        example='{"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": [{"image_id": 1, "category_id": 3}]}',
    ),
    'cvat': Reader(
        title='CVAT for images 1.1 (XML)',
        recognises=is_cvat,
        read=read_cvat,
        unlabelled='an image without tag or shape',
        none="the same, with unannotated='negative'",
        example='<annotations><image name="1.jpg"><tag label="cat"/></image></annotations>',
    ),
    'voc': Reader(
        title='Pascal VOC (a folder of XML, or a list of ImageSets)',
        recognises=is_voc,
        read=read_voc,
        unlabelled='an image without XML file',
        none='an XML file without object',
        example='<annotation><filename>1.jpg</filename><object><name>cat</name></object></annotation>',
    ),
    'yolo': Reader(
        title='YOLO (data.yaml, or a folder with images, labels and classes.txt)',
        recognises=is_yolo,
        read=read_yolo,
        unlabelled='an image without text file',
        none='an empty text file',
        example='labels/1.txt: 0 0.5 0.5 0.2 0.2',
    ),
    'label_studio': Reader(
        title='Label Studio export (JSON)',
        recognises=is_label_studio,
        read=read_label_studio,
        unlabelled='a task without a finished annotation; a label on which annotators do not agree',
        none='an annotation without a result',
        example='[{"data": {"image": "1.jpg"}, "annotations": [{"result": [...]}]}]',
    ),
    'label_studio_min': Reader(
        title='Label Studio export (JSON-MIN or CSV)',
        recognises=is_label_studio_min,
        read=read_label_studio_min,
        unlabelled='a record without annotation_id',
        none='a record with annotation_id and without labels',
        example='image,labels,annotation_id,annotator,lead_time',
    ),
    'mmpretrain': Reader(
        title="mmpretrain's multi-label JSON",
        recognises=is_mmpretrain,
        read=read_mmpretrain,
        unlabelled='an entry without gt_label, or with null',
        none='an empty gt_label',
        example='{"metainfo": {"classes": ["cat"]}, "data_list": [{"img_path": "1.jpg", "gt_label": [0]}]}',
    ),
    'fiftyone': Reader(
        title="FiftyOne's image classification (labels.json)",
        recognises=is_fiftyone,
        read=read_fiftyone,
        unlabelled='an image with null',
        none='an empty list',
        example='{"classes": ["cat", "dog"], "labels": {"folder/1": ["cat", "dog"], "folder/2": []}}',
    ),
    'manifest': Reader(
        title='JSON lines of SageMaker Ground Truth, Vertex AI or Azure',
        recognises=is_manifest,
        read=read_manifest,
        unlabelled='a line without a label, or whose labelling failed',
        none='an empty list of labels',
        example='{"image_url": "azureml://x/paths/1.jpg", "label": ["cat", "dog"]}',
    ),
    'via': Reader(
        title='VGG Image Annotator (JSON)',
        recognises=is_via,
        read=read_via,
        unlabelled='an image without region and attribute',
        none="the same, with unannotated='negative'; boxes of which none is marked",
        example='{"1.jpg9": {"filename": "1.jpg", "regions": [], "file_attributes": {"tags": {"cat": true}}}}',
    ),
    'labelme': Reader(
        title='labelme (a folder of JSON)',
        recognises=is_labelme,
        read=read_labelme,
        unlabelled='an image without JSON file',
        none='a JSON file without shape, or without a flag that is set',
        example='{"imagePath": "1.jpg", "shapes": [{"label": "cat"}], "flags": {}}',
    ),
    'folders': Reader(
        title='a folder for each class',
        recognises=lambda source: source.is_folder,
        read=read_folders,
        unlabelled='an image directly in the directory, or in the folder unlabelled',
        none='an image in the folder none',
        example='photos/cat/1.jpg',
    ),
    'records': Reader(
        title='JSON lines, or a JSON list of entries',
        recognises=is_records,
        read=read_records,
        unlabelled='no field labels, or null',
        none='an empty list, or the word none',
        example='{"image": "1.jpg", "labels": ["cat", "dog"]}',
    ),
    'xlsx': Reader(
        title='Excel sheet (.xlsx)',
        recognises=is_sheet,
        read=read_sheet,
        unlabelled='a blank label cell, or no row',
        none='the word none, or 0 in each column of a class',
        example='image | labels',
    ),
    'csv': Reader(
        title='CSV, TSV or text table',
        recognises=is_table,
        read=read_table,
        unlabelled='a blank label cell, or no row',
        none='the word none, [], or 0 in each column of a class',
        example='image,labels',
    ),
}
FORMATS = tuple(READERS)


def read_labels(source: LabelSource, options: ReadOptions, format: str | None = None) -> LabelTable:
    """Read a label file in the format that is given, or in the first that recognises it.

    Raises:
        DataError: no reader recognises it, or it is broken.
    """
    name = format or next((name for name, reader in READERS.items() if reader.recognises(source)), None)
    if name is None:
        raise DataError(
            f"{source.path}: found no known form of labels in this '{source.suffix}' file, expected one of "
            f'{", ".join(reader.title for reader in READERS.values())}; save the labels as CSV (image,labels), or set '
            f'format to one of {", ".join(FORMATS)}.'
        )
    table = READERS[name].read(source, options)
    table.understanding.format = name
    return table
