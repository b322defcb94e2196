"""Problems between the model of a config and its data, found without building the model."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence

from mmengine.config import Config

from cssa_mm.apis.findings import FIX, NOTE, WARN, Finding
from cssa_mm.apis.parts import Part
from cssa_mm.datasets.class_words import ClassWords, same_classes
from cssa_mm.errors import CSSAError
from cssa_mm.models.class_names import resolve_classes
from cssa_mm.models.context_head import adapted_contexts
from cssa_mm.models.description import with_defaults
from cssa_mm.models.open_clip_loader import load_open_clip, load_tokenizer
from cssa_mm.models.prompts import ClassPrompts
from cssa_mm.models.tokens import token_problems
from cssa_mm.models.tower_hub import refuse_out_of_reach
from cssa_mm.models.tower_plan import plan_tower


def classes_of(config: Config) -> ClassWords | CSSAError | None:
    """The classes of the model of a config; the error where they cannot be read, None where there are none."""
    source = config.get('model', {}).get('class_names')
    try:
        return None if source is None else resolve_classes(source)
    except CSSAError as error:
        return error


def of_model(parts: Sequence[Part], config: Config, words: ClassWords | CSSAError | None) -> Iterator[Finding]:
    """Findings between the model and its data: other classes, names that are cut, fewer contexts."""
    if isinstance(words, CSSAError):
        # What stops the reading of the training images stops that of the model's classes, too.
        if any(part.name == 'train' for part in parts):
            yield Finding(FIX, 'model', 'error that stops the reading', [str(words)], '')
        return
    if words is None:
        return
    told: list[list[str]] = []
    for part in parts:
        names = part.dataset.class_names
        if not same_classes(names, words.names) and names not in told:
            told.append(names)
            expected = words.names
            differing = [name for name in dict.fromkeys([*names, *expected]) if (name in names) != (name in expected)]
            fix = 'make model.class_names and the class_names of the data sets the same'
            kind = 'class names that model and data do not share'
            yield Finding(FIX, part.name, kind, differing or ['another order'], fix)
    yield from of_prompts(words, config)
    contexts = config.model.get('context_head')
    options = None if contexts is None else with_defaults('ContextHead', contexts)
    line = adapted_contexts(options, len(words.names))[1]
    if line:
        yield Finding(NOTE, 'model', 'option that is adapted to the classes', [line], '')


def of_prompts(words: ClassWords, config: Config) -> Iterator[Finding]:
    """Class names that the text tower would cut, by its tokenizer alone."""
    backbone = config.model.backbone
    prompts = (config.model.get('head') or {}).get('prompts') or {}
    default = inspect.signature(ClassPrompts).parameters['num_context'].default
    tower = (backbone.get('model_name'), backbone.get('pretrained'), backbone.get('config_dir'))
    try:
        tokenizer = load_tokenizer(*tower)
        plan = plan_tower(*tower, backbone.get('activation'))
        if plan.weights is not None and plan.tag is None:  # a file can be broken, or of another tower
            load_open_clip(*tower, backbone.get('activation'), backbone.get('allow_torchscript', False))
    except CSSAError as error:
        yield Finding(FIX, 'model', 'tower that cannot be used', [str(error)], '')
        return
    try:
        if plan.tag is not None:
            refuse_out_of_reach(plan.name, plan.tag)
    except CSSAError as error:
        yield Finding(WARN, 'model', 'tower that cannot be downloaded now', [str(error)], '')
    lines = token_problems(tokenizer, words, prompts.get('num_context', default))
    if lines:
        yield Finding(FIX, 'model', 'class names that the text tower would cut', lines, '')
