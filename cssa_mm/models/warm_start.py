"""A new model that starts from a trained one: what it takes over, and what it makes anew.

A warm start takes over what was learned of images and words: the prompts, the temperature and the teacher's averages of
both. What rests on labels begins as in a fresh model: contexts and their classifier, taught classes, evidence,
thresholds and calibration; the biases of student and teacher are calibrated, each by its own scores. The tower must be
the same; options of contexts and evidence may differ. Where the classes differ, rows are matched by the names of the
classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cssa_mm.errors import CheckpointError
from cssa_mm.models.classifier import CSSAClassifier
from cssa_mm.models.description import KEY, encode_description, read_description
from cssa_mm.names import one_form

HEAD, TEACHER = 'head.', 'teacher.'
FIX = 'strict_classes=False keeps the prompts of the classes of the same name'


@dataclass(frozen=True)
class WarmStart:
    """The state dict that a model starts from, and what became of the classes.

    Attributes:
        state: all entries of the new model.
        kept: classes whose prompts are taken over.
        new: classes that start as in a fresh model.
        dropped: classes of the trained model that the new one does not have.
        reworded: kept classes whose wording in the prompt is another one now.
        is_shared: whether all classes share their prompts.
    """

    state: dict[str, Tensor]
    kept: tuple[str, ...]
    new: tuple[str, ...]
    dropped: tuple[str, ...]
    reworded: tuple[str, ...]
    is_shared: bool


def warm_start(
    model: CSSAClassifier, fresh: Mapping[str, Tensor], trained: Mapping[str, Tensor], strict_classes: bool = True
) -> WarmStart:
    """What a model starts from when it starts from a trained one; nothing is changed.

    Args:
        model: the new model, which tells names, options and tower.
        fresh: its entries as it was built.
        trained: the state dict of the trained model.
        strict_classes: whether the trained model must have the same classes, with the same wordings, in the same order.

    Raises:
        CheckpointError: it was not written by a training or not whole, or it has another tower, head or, if strict,
            other classes; or no class is the same.
    """
    saved = read_description(trained)
    compared = ('tower', 'class_names', 'prompts', 'head') if strict_classes else ('tower', 'head')
    model.refuse_other_model(saved, compared, FIX)
    theirs, ours = saved['class_names'], list(map(one_form, model.class_names))
    common = [name for name in ours if name in theirs]
    own_rows = model.head.of_classes()
    is_shared = not any(name.endswith('.context') for name in own_rows)
    if not common and not is_shared:
        raise CheckpointError(
            f"checkpoint: found none of the {len(ours)} classes of this model, such as '{ours[0]}', expected one at "
            'least whose prompts can be kept; leave load_from out'
        )
    rows = torch.tensor([(ours.index(name), theirs.index(name)) for name in common], dtype=torch.long).view(-1, 2)
    state = {name: value.detach().clone() for name, value in fresh.items()}
    for name, parameter in model.head.named_parameters():
        rows_of = (rows, len(theirs)) if name in own_rows else None
        own = [HEAD + name, *(key for key in averages_of(name) if key in state)]
        found = [HEAD + name, *averages_of(name)]
        _take(state, own[:1], trained, found[:1], rows_of)
        if parameter.requires_grad:
            _take(state, own[1:], trained, found[1:], rows_of)
    # The view that it was trained with: a difference from the model's own is told where the state is loaded.
    state[KEY] = encode_description(model.description() | dict(view=saved['view']))
    wording = dict(zip(theirs, saved['prompts'], strict=True))
    words = zip(ours, model.class_words.prompts, strict=True)
    return WarmStart(
        state,
        kept=tuple(common),
        new=tuple(name for name in ours if name not in theirs),
        dropped=tuple(name for name in theirs if name not in ours),
        reworded=tuple(name for name, texts in words if name in wording and wording[name] != list(texts)),
        is_shared=is_shared,
    )


def averages_of(name: str) -> tuple[str, str]:
    """Names that the teacher's average of a parameter of the head may have: without and with feedback of contexts."""
    key = name.replace('.', '__')
    return f'{TEACHER}{key}', f'{TEACHER}head__{key}'


def _take(
    state: dict[str, Tensor],
    own: Sequence[str],
    trained: Mapping[str, Tensor],
    found: Sequence[str],
    rows: tuple[Tensor, int] | None,
) -> None:
    """Take over an entry that is called one of `found` there, whole or the rows (k, 2) of own and their classes."""
    name = next((name for name in found if name in trained), None)
    if name is None:
        raise CheckpointError(
            f"checkpoint: found no entry '{found[0]}', expected all that training wrote; take the whole file"
        )
    target, value = state[own[0]], trained[name]
    expected = tuple(target.shape) if rows is None else (rows[1], *target.shape[1:])
    if tuple(value.shape) != expected:
        raise CheckpointError(
            f"checkpoint: found '{name}' of shape {tuple(value.shape)}, expected {expected}; take the file that "
            'training wrote'
        )
    value = value.to(target)
    if rows is None:
        target.copy_(value)
    else:
        mine, their = rows[0].to(target.device).unbind(1)
        target[mine] = value[their]
