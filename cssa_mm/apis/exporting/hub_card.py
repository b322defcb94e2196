"""The model card of a hub folder: README.md with the metadata that the Hugging Face hub reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from huggingface_hub import ModelCardData

from cssa_mm.apis.scorer import stored_in_words

TAGS = ('cssa_mm', 'multi-label-classification', 'semi-supervised-learning', 'clip')
RULES = {
    'f1': 'the best F1 on labelled images',
    'rate': 'the share of positives among the labelled images',
    'one': 'one number for all classes, by F1 on labelled images',
    'default': '.5 for every class: they were not fitted to labels',
    'given': 'given by the user',
    'none': 'none: the model was never trained, and an image gets the class with its highest score',
}
CALIBRATIONS = {
    'none': 'The scores are not calibrated: a score of .8 does not mean that four images in five have the label.',
    'platt': 'The scores are calibrated (Platt, per class) on labelled images.',
}


def metadata(base_model: str | None) -> ModelCardData:
    """What the hub reads of the card; the licence is the user's to fill in."""
    return ModelCardData(
        license='other',
        license_name='to-be-filled-in',
        license_link='LICENSE',
        library_name='cssa_mm',
        pipeline_tag='image-classification',
        tags=list(TAGS),
        base_model=base_model,
    )


def card(
    *,
    facts: Mapping[str, Any],
    base_model: str | None,
    source: str,
    is_included: bool,
    needs_path: bool,
    preprocessing: str,
) -> str:
    """The text of the card.

    Args:
        facts: what `model_facts` says of the model.
        base_model: the repository of the hub that the tower is, if it is one.
        source: in words, where the tower's weights are to be had.
        is_included: the tower's weights lie in the folder.
        needs_path: the loader has to be told where the tower's weights are.
        preprocessing: in words, how an image file becomes pixels.
    """
    names, tower, thresholds = facts['class_names'], facts['tower'], facts['thresholds']
    where = 'included in the folder `tower`' if is_included else f'not included; {source}'
    path = ", tower='PATH_OF_THE_WEIGHTS'" if needs_path else ''
    return f"""---
{metadata(base_model).to_yaml()}
---

# Multi-label image classifier, {len(names)} classes

{_what(facts)}

**Licence: to be filled in.** Set `license` above to your choice and add the file LICENSE. The licences of the tower's
weights and of the training images may bind you.

## Use

```python
# pip install cssa_mm
import cssa_mm
from huggingface_hub import snapshot_download

model = cssa_mm.load_model(snapshot_download('ORG/NAME'){path})
for prediction in cssa_mm.Predictor(model).predict(['photo.jpg']):
    print(prediction.path, prediction.labels, prediction.scores)
```

## Tower

| | |
|---|---|
| name | `{tower['model_name']}` |
| weights | {where} |
| hash of the weights | `{tower['weights_hash']}`, checked when the model is loaded |
| images | {preprocessing} |

## Classes and thresholds

An image gets a label when its score reaches the threshold of the class. How they were found:
{RULES.get(thresholds['rule'], thresholds['rule'])}.
{CALIBRATIONS.get(facts['calibration']['rule'], '')}

{_table(names, facts['prompts'], thresholds)}
{_stored_images(facts)}
## Limits

{_limits(facts)}
"""


def _what(facts: Mapping[str, Any]) -> str:
    if facts['thresholds']['rule'] == 'none':
        return f"CLIP's own answer to the names of the classes; nothing was trained (`{facts['made_by']}`)."
    return (
        f'Prompts learned on a frozen CLIP by semi-supervised multi-label learning (`{facts["made_by"]}`). An image '
        'gets any\nnumber of the labels, each with a score from 0 to 1.'
    )


def _table(names: list[str], prompts: list[list[str]], thresholds: Mapping[str, Any]) -> str:
    counts = thresholds['positives'] or ['-'] * len(names)
    sources = thresholds['sources'] or ['-'] * len(names)
    values = ['-' if value is None else f'{value:.4g}' for value in thresholds['values']]
    columns = zip(
        map(_cell, names), (_cell(', '.join(texts)) for texts in prompts), values, counts, sources, strict=True
    )
    rows = [f'| {" | ".join(map(str, row))} |' for row in columns]
    head = '| class | in the prompt | threshold | labelled positives that it rests on | fitted |\n|---|---|---|---|---|'
    return '\n'.join([head, *rows])


def _stored_images(facts: Mapping[str, Any]) -> str:
    stored = stored_in_words(facts)
    if not stored:
        return ''
    return f"""
## Training images in this file

An image leans on what the model says of the training images that look like it. For this, `model.safetensors` holds
features of {stored}: for each a vector of the tower and the model's readings of every class, in float16. No
photo, name or label is in it, but features describe photos: with the same tower one can tell whether a given photo was
among them, and roughly what they show. Ask those whose photos they are before you publish it, or train with
`model.neighbours=None`.
"""


def _limits(facts: Mapping[str, Any]) -> str:
    names, thresholds = facts['class_names'], facts['thresholds']
    pooled = [
        name
        for name, origin in zip(names, thresholds['sources'] or [''] * len(names), strict=True)
        if origin == 'pooled'
    ]
    lines = [
        'It knows the classes above and no others: an image of something else gets no label, or a wrong one.',
        'Scores and thresholds hold for images like those that it was trained on; on other photos, look at some '
        'predictions and set thresholds of your own before you rely on them.',
    ]
    if not thresholds['positives']:
        lines.append('Its thresholds rest on no labelled image: set your own on labelled images.')
    if pooled:
        lines.append(
            f'{len(pooled)} of {len(names)} classes had too few labelled positives for a threshold of their own and '
            f'share one fit with the others: {_cell(", ".join(pooled))}.'
        )
    size = facts['input_size']
    if size:
        lines.append(f'It reads images of {size[0]} x {size[1]} pixels (height x width); others score differently.')
    lines.append('What the tower learned from its own training data, biases included, stays in it: it was frozen.')
    return '\n'.join(f'- {line}' for line in lines)


def _cell(text: str) -> str:
    """A text that breaks no table."""
    return ' '.join(text.replace('|', '\\|').replace('<', '&lt;').split())
