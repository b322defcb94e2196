"""What an ONNX file says of its model: metadata that are written into it, and read from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cssa_mm.apis.exporting.module import ExportModule
from cssa_mm.apis.scorer import model_facts, stored_in_words
from cssa_mm.features.view import model_view
from cssa_mm.models import CSSAClassifier

OPSET = 18  # the one that torch writes without conversion; onnxruntime reads it from 1.14 on
INPUT, OUTPUTS = 'image', ('scores', 'raw_scores')
NEEDED = ('class_names', 'zero_shot_names', 'thresholds', 'view', 'input_size')


def metadata(model: CSSAClassifier, module: ExportModule) -> dict[str, str]:
    """The metadata of a file, texts and JSON.

    cssa_mm: `model_facts`; class_names; thresholds: a calibrated score for each class, null where there is none;
    preprocessing: what images go through, by keys; description: the same in words.
    """
    facts, view = model_facts(model), model_view(model)
    steps = dict(
        decode='upright by EXIF, transparent pixels on the ground, RGB',
        ground=list(view.decoder.ground),
        resize=None if view.size is None else list(view.size),
        interpolation=view.interpolation,
        library=view.backend,
        layout='NCHW',
        channels='RGB',
        dtype='uint8',
        range=[0, 255],
        any_size=module.takes_any_size,
    )
    return dict(
        cssa_mm=json.dumps(facts),
        class_names=json.dumps(facts['class_names']),
        thresholds=json.dumps(facts['thresholds']['values']),
        preprocessing=json.dumps(steps),
        description=_description(steps, facts),
    )


def _description(steps: dict[str, Any], facts: dict[str, Any]) -> str:
    resized = 'kept at its size'
    if steps['resize'] is not None:
        height, width = steps['resize']
        how = f'{steps["interpolation"]} of {steps["library"]}, no crop'
        resized = f'resized to height {height}, width {width} ({how})'
    chosen = 'the class with the highest score (the model is untrained and has no thresholds)'
    if facts['thresholds']['rule'] != 'none':
        chosen = 'the classes whose score reaches their number in thresholds'
    stored = stored_in_words(facts)
    return (
        f'Input image: uint8 (batch, 3, height, width), RGB, 0 to 255; each image upright by its EXIF tag, {resized}; '
        'the file normalises. Outputs: scores (batch, classes), calibrated, and raw_scores, before calibration; '
        f'float32 in 0..1, in the order of class_names. Labels: {chosen}. Opset {OPSET}.'
        f'{f" It holds the features of {stored}." if stored else ""}'
    )


def read_facts(found: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The facts of the model and the preprocessing in the metadata of a file; None if it is none of ours."""
    try:
        facts, steps = json.loads(found['cssa_mm']), json.loads(found['preprocessing'])
    except (KeyError, ValueError):
        return None
    is_ours = isinstance(facts, dict) and set(NEEDED) <= set(facts) and isinstance(steps, dict)
    return (facts, steps) if is_ours else None
