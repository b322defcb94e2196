"""docs/configuration.md: every key of a config, from the constructors that take it and what the engine reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mmengine.config import Config
from mmpretrain.registry import HOOKS

from cssa_mm.apis.config_words import WORDS
from cssa_mm.apis.documented_keys import Key, first_line, in_markdown, keys_of
from cssa_mm.datasets import (
    COCOMultiLabelDataset,
    NUSWIDEMultiLabelDataset,
    SemiMultiLabelDataset,
    TableDataset,
    VOCMultiLabelDataset,
)
from cssa_mm.datasets.view import View
from cssa_mm.engine.bad_image_hook import BadImageHook
from cssa_mm.engine.calibration_hook import CalibrationHook
from cssa_mm.engine.checkpoint_hook import CSSACheckpointHook
from cssa_mm.engine.config.toolbox_values import hints_at
from cssa_mm.engine.live_view_hook import LiveViewHook
from cssa_mm.engine.loop import SemiSupervisedTrainLoop
from cssa_mm.engine.picture_hook import LabelPictureHook
from cssa_mm.evaluation.multilabel_metric import CSSAMetric
from cssa_mm.features.options import CacheOptions
from cssa_mm.files import shipped_config
from cssa_mm.models import (
    ContextHead,
    CSSAClassifier,
    DiscriminantEvidence,
    LabelAlignmentHead,
    MaskedAsymmetricLoss,
    OpenCLIPBackbone,
)
from cssa_mm.models.centring import BackgroundCentring
from cssa_mm.models.neighbours import Neighbours
from cssa_mm.models.prompts import ClassPrompts
from cssa_mm.models.teacher import ParameterEMA
from cssa_mm.models.test_time import AverageViewsTTA
from cssa_mm.semi.policies import POLICIES
from cssa_mm.semi.pseudo_label_hook import PseudoLabelHook
from cssa_mm.semi.sampler import SemiSupervisedSampler
from cssa_mm.values import described

PAGE = """# Configuration

Made by `cssa check --keys` from the code that reads each key; a test compares this page with it.

A config is a Python file that inherits parts of `configs/_base_/`: data, model, schedule and what every run needs. Any
key is set by its path, in a config of your own or on the command line:

```bash
# Zero-shot with a sharper attention and larger images.
python tools/test.py photos none --cfg-options model.head.attention_temperature=20 view.size=448
```

An unknown key is an error that names the nearest known one; so is a value of the wrong kind. Options of
`train_dataloader.dataset` serve validation, test and model, too. A name of your own that other values use begins with
`_`. `key=None` switches off a part such as `model.context_head`, and `_delete_=True` in a section drops what it would
inherit.

*Takes* is what fits; any other value is an error of one line before anything is built. *Default* is what the code takes
where no config says anything; *set to* is what the shipped `cssa_coco_p05` (the paper's settings) and `cssa_table`
(your own photos) say instead. `*_dataloader` stands for `train_dataloader`, `val_dataloader` and `test_dataloader`.
A part without a table here is one of PyTorch, MMEngine or mmpretrain, and takes the keys that its own documentation
lists.

SECTIONS
"""
SHIPPED = ('cssa_coco_p05', 'cssa_table')
LONGEST = 40  # characters of a value that a cell shows
EVERY = '*_dataloader'  # train, validation and test
DATASETS = (TableDataset, COCOMultiLabelDataset, VOCMultiLabelDataset, NUSWIDEMultiLabelDataset)
# Path of a section -> what takes its keys; None: what `WORDS` lists.
SECTIONS: dict[str, Callable | None] = {
    '': None,
    'model': CSSAClassifier,
    'model.backbone': OpenCLIPBackbone,
    'model.head': LabelAlignmentHead,
    'model.head.prompts': ClassPrompts,
    'model.head.centring': BackgroundCentring,
    'model.context_head': ContextHead,
    'model.loss': MaskedAsymmetricLoss,
    'model.ema': ParameterEMA,
    'model.evidence': DiscriminantEvidence,
    'model.neighbours': Neighbours,
    'view': View,
    EVERY: None,
    f'{EVERY}.dataset': SemiMultiLabelDataset,
    f'{EVERY}.dataset.split': None,
    f'{EVERY}.dataset.validation': None,
    f'{EVERY}.sampler': SemiSupervisedSampler,
    'train_cfg': SemiSupervisedTrainLoop,
    'optim_wrapper': None,
    'optim_wrapper.paramwise_cfg': None,
    'auto_scale_lr': None,
    'default_hooks.checkpoint': CSSACheckpointHook,
    'default_hooks.pseudo_labels': PseudoLabelHook,
    'default_hooks.pseudo_labels.feature_cache': CacheOptions,
    'default_hooks.calibration': CalibrationHook,
    'default_hooks.bad_images': BadImageHook,
    'default_hooks.visualization': LabelPictureHook,
    'default_hooks.live_view': LiveViewHook,
    'val_evaluator': CSSAMetric,
    'tta_model': AverageViewsTTA,
    'randomness': None,
    'env_cfg': None,
    'log_processor': None,
}


def config_page() -> str:
    """The text of docs/configuration.md."""
    configs = {name: Config.fromfile(shipped_config(name)).to_dict() for name in SHIPPED}
    parts = []
    for path, taker in SECTIONS.items():
        keys = keys_of(taker) if taker else _listed(path)
        parts.append(_section(path, taker, keys, configs))
        if path == f'{EVERY}.dataset':
            parts += [_section(path, kind, _own(keys_of(kind), keys), configs) for kind in DATASETS]
        if path == 'default_hooks.pseudo_labels':
            parts.append(_policies())
        if path == 'auto_scale_lr':
            parts.append(_hooks(configs[SHIPPED[0]]['default_hooks']))
    return PAGE.replace('SECTIONS', '\n\n'.join(parts))


def _listed(path: str) -> list[Key]:
    hints = hints_at(path.replace(EVERY, 'train_dataloader'))
    return [
        Key(name, '', text, in_markdown(described(hints[name])) if name in hints else '')
        for name, text in WORDS[path].items()
    ]


def _section(path: str, taker: Callable | None, keys: list[Key], configs: Mapping[str, Mapping]) -> str:
    title = f'`{path}`' if path else 'The top level'
    told = f'{first_line(taker)} (`{taker.__name__}`)\n\n' if taker else ''
    if taker in DATASETS:
        title = f'{title} of type `{taker.__name__}`'
        told = f'{first_line(taker)}\n\n'
    columns = {'key': [f'`{key.name}`' for key in keys]}
    if taker:
        columns['default'] = [f'`{key.default}`' if key.default else '(must be set)' for key in keys]
    columns['takes'] = [key.takes for key in keys]
    columns['set to'] = [
        _set_to({name: _value(config, path, key.name, taker) for name, config in configs.items()}, key.default)
        for key in keys
    ]
    columns['meaning'] = [key.meaning for key in keys]
    columns = {name: cells for name, cells in columns.items() if any(cells)}
    rows = [columns.keys(), ['---'] * len(columns), *zip(*columns.values(), strict=True)]
    return f'## {title}\n\n{told}' + '\n'.join(f'| {" | ".join(row)} |' for row in rows)


def _value(config: Mapping[str, Any], path: str, key: str, taker: Callable | None) -> str:
    """What a shipped config says of a key, as Python writes it; '' where it says nothing that a cell can show."""
    section: Any = config
    for name in path.replace(EVERY, 'train_dataloader').split('.') if path else ():
        section = section.get(name) if isinstance(section, Mapping) else None
    if not isinstance(section, Mapping) or isinstance(section.get(key), Mapping) or key not in section:
        return ''
    if taker in DATASETS and section.get('type') != taker.__name__:
        return ''
    text = repr(section[key])
    return text if len(text) <= LONGEST else ''


def _set_to(values: Mapping[str, str], default: str) -> str:
    said = {name: value for name, value in values.items() if value not in ('', default)}
    if len(said) == len(values) and len(set(said.values())) == 1:
        return f'`{next(iter(said.values()))}`'
    return ', '.join(f'{name}: `{value}`' for name, value in said.items())


def _own(keys: list[Key], shared: list[Key]) -> list[Key]:
    names = {key.name for key in shared}
    return [key for key in keys if key.name not in names]


def _policies() -> str:
    rows = ['| `name` | options | what it does |', '|---|---|---|']
    for name, policy in POLICIES.items():
        options = [key for key in keys_of(policy) if key.name in (policy.__kwdefaults__ or {}) or key.name == 'k']
        listed = '<br>'.join(
            f'`{key.name}={key.default}`: {key.meaning[:-1]} ({key.takes}).'
            for key in options
            if 'rates' not in key.name
        )
        rows.append(f'| `{name}` | {listed.replace("=`", "`")} | {first_line(policy)} |')
    return '## `default_hooks.pseudo_labels.policy`\n\n' + '\n'.join(rows)


def _hooks(hooks: Mapping[str, Mapping]) -> str:
    rows = ['| name | type | what it does |', '|---|---|---|']
    for name, hook in hooks.items():
        kind = HOOKS.get(hook['type'])
        is_ours = kind.__module__.startswith('cssa_mm')
        rows.append(f'| `{name}` | `{hook["type"]}` | {first_line(kind) if is_ours else "(MMEngine)"} |')
    return '## `default_hooks`\n\n`default_hooks.NAME=None` leaves a hook out.\n\n' + '\n'.join(rows)
