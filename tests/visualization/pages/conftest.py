"""A report of made-up figures, whose names would break a page that does not escape them."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from cssa_mm.visualization.pages.report_data import (
    ClassRow,
    Contexts,
    Curve,
    Label,
    PairOfErrors,
    Picture,
    PseudoLabelEpoch,
    Report,
    SuspectedLabel,
)

NASTY = '<b>&"\'</script>'


def data_address(seed: int = 0, side: int = 60) -> str:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, 'JPEG')
    return f'data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}'


@pytest.fixture
def make_report():
    """make_report(num_classes=6, **parts) -> a report in which nothing is missing."""

    def make(num_classes: int = 6, **parts) -> Report:
        rng = np.random.default_rng(0)
        names = [NASTY, '$x_1$', '_hidden', 'traffic light', *(f'class {c}' for c in range(4, num_classes))]
        rows = tuple(
            ClassRow(name, c + 1, 3 * c, *rng.random(4).tolist(), 0.3 + 0.1 * (c % 5), 'own', *rng.random(3).tolist())
            for c, name in enumerate(names)
        )
        epochs = (1.0, 2.0, 3.0)
        labels = (
            Label(NASTY, 'wrong', 0.8, 0.5),
            Label('traffic light', 'missed', 0.2, 0.5, overlay=data_address(9, side=8)),
        )
        shown = names[:50]
        report = dict(
            title='run <1>',
            made_by='cssa_mm 0',
            settings=(('tower', NASTY), ('seed', '1')),
            config=f'names = [{NASTY!r}]',
            split=(('rule', 'cap'), ('hash of the test images', 'ab12')),
            metrics={'mAP': 0.781, 'CF1': 0.6, 'OF1': 0.7, 'ECE': 0.02, 'Brier': 0.04, 'zero-shot mAP': 0.5},
            num_images=12,
            num_all=12,
            classes=rows,
            curves={
                'mAP': (Curve('EMA teacher', epochs, (50.0, 60.0, 65.5)), Curve('student', epochs, (45.0, 50.0, 51.0))),
                'loss': (Curve('labelled', epochs, (3.0, 2.0, 1.0)),),
            },
            pseudo_labels=(PseudoLabelEpoch(2, 0.8, 0.5, 0.3), PseudoLabelEpoch(3, 0.85, 0.6, 0.25)),
            contexts=Contexts(
                (tuple(shown[::2]), tuple(shown[1::2])),
                (*shown[::2], *shown[1::2]),
                tuple(map(tuple, rng.random((len(shown), len(shown))).tolist())),
                True,
            ),
            pictures=(
                Picture(f'{NASTY}.jpg', data_address(), ('worst',), labels, 2.5),
                Picture('gone.jpg', '', ('best', 'uncertain'), (), 0.1),
            ),
            error_pairs=(PairOfErrors((NASTY, 'wrong'), ('traffic light', 'missed'), 12, 2.25),),
            suspects=(SuspectedLabel('7.jpg', data_address(2), NASTY, False, 0.031),),
        )
        return Report(**report | parts)

    return make
