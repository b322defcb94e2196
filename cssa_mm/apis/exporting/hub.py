"""Export a model as a folder that the Hugging Face hub takes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from safetensors.torch import save

from cssa_mm.apis.exporting.hub_card import card
from cssa_mm.apis.exporting.hub_folder import CARD, CONFIG, PARTS, PREPROCESSOR, TOWER, WEIGHTS
from cssa_mm.apis.exporting.hub_tower import (
    base_model,
    check_included,
    local_weights,
    published_tower,
    where_to_get,
    write_tower,
)
from cssa_mm.apis.exporting.module import stored_line
from cssa_mm.apis.loading import load_model
from cssa_mm.apis.scorer import model_facts, stored_in_words
from cssa_mm.datasets.resizing import NAMES
from cssa_mm.datasets.view import View
from cssa_mm.features.view import model_view
from cssa_mm.files import new_folder, write_json, write_text
from cssa_mm.models import CSSAClassifier
from cssa_mm.models.description import KEY, encode_description


@dataclass(frozen=True)
class HubExport:
    """What `export_hub` wrote.

    folder: where.
    files: paths in the folder.
    tower: in words, where the weights of the tower are to be had.
    needs_path: whether the loader has to be told where the tower's weights are.
    stored: the training images whose features lie in it, in words; '' without neighbours.
    """

    folder: Path
    files: tuple[str, ...]
    tower: str
    needs_path: bool
    stored: str = ''

    def text(self) -> str:
        """Some lines for a terminal."""
        path = ', tower=PATH' if self.needs_path else ''
        return '\n'.join(
            [
                f'{self.folder}: {", ".join(self.files)}',
                f'Tower: {self.tower}.{stored_line(self.stored)}',
                f'Load it: cssa_mm.load_model({str(self.folder)!r}{path})',
                f'Before you upload it: set the licence in {CARD}.',
            ]
        )


def export_hub(
    *,
    checkpoint: str | os.PathLike,
    out: str | os.PathLike,
    tower: str | os.PathLike | None = None,
    with_tower: bool = False,
    force: bool = False,
) -> HubExport:
    """Write a trained model as a folder that the Hugging Face hub takes and `load_model` opens.

    `model.safetensors` holds what was learned; `config.json` describes the model; `preprocessor_config.json` says how
    images become pixels; `README.md` is the card; `tower` holds the tower's config and vocabulary, where open_clip does
    not know them. No path of this machine is written.

    Args:
        checkpoint: a file that training wrote, or such a folder.
        out: the folder, new or empty.
        tower: new path of the weights of the tower, if they were moved; their hash is checked.
        with_tower: copy the tower's weights too, so that the folder needs nothing else.
        force: replace these files in a folder that holds something.

    Raises:
        CheckpointError: the checkpoint or its tower is missing, unreadable or another one.
        ConfigError: the folder holds something, the tower's weights are no file that could be copied, or the model
            does not know its view.

    Examples:
        >>> from cssa_mm.apis.exporting.hub import export_hub
        >>> export_hub(checkpoint='work_dirs/cssa_demo/epoch_162.pth', out='hub').files  # doctest: +SKIP
        ('README.md', 'config.json', 'model.safetensors', 'preprocessor_config.json')
    """
    model = load_model(checkpoint, tower=tower, device='cpu')
    view = model_view(model)
    if with_tower:
        check_included(model)
    is_file = local_weights(model) is not None
    source = f'included in the folder {TOWER}' if with_tower and is_file else where_to_get(model)
    needs_path = is_file and not with_tower
    description = model.description() | dict(tower=published_tower(model, with_tower))
    facts = model_facts(model)
    facts['tower'] |= {key: description['tower'].get(key) for key in facts['tower']}
    base = base_model(model)
    state = {name: value.detach().cpu().clone().contiguous() for name, value in model.state_dict().items()}
    with new_folder(out, replaces=force, parts=PARTS) as folder:
        content = save(state | {KEY: encode_description(description)}, metadata=dict(format='pt'))
        Path(folder, WEIGHTS).write_bytes(content)  # save_file of newer safetensors lets no other user read it
        write_json(Path(folder, CONFIG), _config(facts, description))
        write_json(Path(folder, PREPROCESSOR), preprocessor(model, view))
        text = card(
            facts=facts,
            base_model=base,
            source=source,
            is_included=with_tower and is_file,
            needs_path=needs_path,
            preprocessing=_in_words(view),
        )
        write_text(Path(folder, CARD), text)
        write_tower(model, description['tower'], Path(folder, TOWER), with_tower)
        files = tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file()))
    return HubExport(Path(out), files, source, needs_path, stored_in_words(facts))


def preprocessor(model: CSSAClassifier, view: View) -> dict[str, Any]:
    """`preprocessor_config.json` in the words of transformers' image processors; `view` is our own, exact one."""
    height, width = view.size or (None, None)
    return dict(
        image_processor_type='ViTImageProcessor',  # resizes to height and width, crops nothing
        do_convert_rgb=True,
        do_resize=view.size is not None,
        size=None if view.size is None else dict(height=height, width=width),
        resample=int(Image.Resampling[view.interpolation.upper()]) if view.backend == 'pillow' else None,
        do_center_crop=False,
        do_rescale=True,
        rescale_factor=1 / 255,
        do_normalize=True,
        image_mean=list(model.backbone.clip.mean),
        image_std=list(model.backbone.clip.std),
        view=view.as_config(),
    )


def _config(facts: dict[str, Any], description: dict[str, Any]) -> dict[str, Any]:
    names = facts['class_names']
    return dict(
        architectures=['CSSAClassifier'],
        model_type='cssa',
        problem_type='multi_label_classification',
        id2label={str(index): name for index, name in enumerate(names)},
        label2id={name: index for index, name in enumerate(names)},
        **facts,
        description=description,
    )


def _in_words(view: View) -> str:
    size = 'of their own size' if view.size is None else f'resized to {view.size[0]} x {view.size[1]} (height x width)'
    how = '' if view.size is None else f' by {view.interpolation} interpolation of {NAMES[view.backend]}, no crop'
    return f'upright (EXIF), RGB, {size}{how}; exactly: `view` in `{PREPROCESSOR}`'
