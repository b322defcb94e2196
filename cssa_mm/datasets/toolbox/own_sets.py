"""The toolbox's own data sets: those with several labels become ours, those with one are refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmpretrain.datasets import CustomDataset, MultiLabelDataset
from mmpretrain.registry import DATASETS

from cssa_mm.errors import ConfigError

# Options that MMEngine's data sets take and that change nothing here.
IDLE = {'type', '_scope_', 'lazy_init', 'serialize_data', 'max_refetch'}
KNOWN = {'ann_file', 'data_root', 'data_prefix', 'metainfo', 'classes', 'with_label', 'pipeline', 'test_mode',
         'extensions', 'indices', 'filter_cfg'}  # fmt: skip
# Of the images that mmpretrain reads by default; a TableDataset reads these, and takes no other choice.
EXTENSIONS = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif')


def class_of(options: Mapping) -> Any:
    """The class of a section's `type`, which may be a class; None where the name is unknown."""
    kind = options.get('type')
    if not isinstance(kind, str):
        return kind
    scope, _, name = kind.rpartition('.')
    # MMEngine's wrappers are mmpretrain's, too, but not under its name.
    return DATASETS.get(kind) or (DATASETS.get(name) if scope in ('mmengine', 'mmpretrain') else None)


def adapted(options: Mapping, where: str) -> dict[str, Any]:
    """The options of a data set; those of mmpretrain's CustomDataset and MultiLabelDataset as one of ours.

    Raises:
        ConfigError: It is another data set of mmpretrain, or an option has no match.
    """
    kind = class_of(options)
    if kind not in (CustomDataset, MultiLabelDataset):
        _refuse_other(kind, where)
        return dict(options)
    name = kind.__name__
    found: dict[str, Any] = {}
    for key, value in options.items():
        if key in IDLE or value is None:
            continue
        if key not in KNOWN or _has_no_match(key, value):
            raise ConfigError(
                f'{where}.{key}: found {value!r} in a {name}, which is read as a TableDataset and has no match for it, '
                "expected it left out; or write type='TableDataset' with its own options (docs/formats.md)"
            )
        if key in ('ann_file', 'data_root', 'pipeline', 'test_mode'):
            found[key] = value
    directory = _directory(options.get('data_prefix'), where, name)
    if directory:
        found['img_dir'] = directory
    if options.get('with_label', True) is False:
        return dict(type='UnlabelledDataset', **found)
    classes = options.get('classes')
    if classes is None:
        metainfo = options.get('metainfo') or {}
        classes = next((metainfo[key] for key in ('classes', 'CLASSES') if key in metainfo), None)
    if classes is not None:
        found['class_names'] = classes if isinstance(classes, str) else list(classes)
    if not found.get('ann_file'):
        if kind is MultiLabelDataset:
            raise ConfigError(f'{where}.ann_file: found none in a MultiLabelDataset, expected its JSON file; add it')
        found['ann_file'] = found.pop('img_dir', '.')  # a folder for each class
    return dict(type='TableDataset', include_unlisted=False, held_out=[], **found)


def _has_no_match(key: str, value: Any) -> bool:
    if key == 'extensions':
        return {str(each).lower() for each in value} != set(EXTENSIONS)
    return key in ('indices', 'filter_cfg')


def _directory(prefix: Any, where: str, name: str) -> str:
    if prefix is None or isinstance(prefix, str):
        return prefix or ''
    if isinstance(prefix, Mapping) and set(prefix) <= {'img_path'}:
        return str(prefix.get('img_path') or '')
    raise ConfigError(
        f'{where}.data_prefix: found {prefix!r} in a {name}, expected a folder or dict(img_path=FOLDER); or write '
        "type='TableDataset' with img_dir"
    )


def _refuse_other(kind: Any, where: str) -> None:
    module = getattr(kind, '__module__', '')
    if isinstance(kind, type) and module.startswith('mmpretrain.datasets.'):
        raise ConfigError(
            f'{where}.type: found {kind.__name__} of mmpretrain, which is not meant for several labels with a part of '
            "them hidden, expected a data set of cssa_mm; for your own photos type='TableDataset', which also reads "
            'class folders, tables, COCO and VOC files (docs/formats.md)'
        )
