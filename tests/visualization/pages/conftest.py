"""A report of made-up figures, whose names would break a page that does not escape them; and a browser for pages."""

import base64
import io
import shutil

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
CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
QUIET = [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync',
]  # fmt: skip
TIMEOUT = 120_000  # milliseconds, on a machine that is busy
# Contrast and words of each text and placeholder that is seen, by the formulas of WCAG 2.
CONTRASTS = """() => {
  const numbers = (colour) => [...colour.match(/[0-9.]+/g).map(Number), 1].slice(0, 4);
  const over = (top, base) => base.map((value, k) => top[k] * top[3] + value * (1 - top[3]));
  const light = (colour) => {
    const [r, g, b] = colour.map((v) => (v <= 10.31475 ? v / 3294.6 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    const own = numbers(getComputedStyle(node).backgroundColor);
    if (own[3] === 1) return own.slice(0, 3);
    return over(own, node.parentElement ? behind(node.parentElement) : [255, 255, 255]);
  };
  const contrast = (colour, node) => {
    const paper = behind(node), ink = over(numbers(colour), paper);
    const [dark, bright] = [light(paper), light(ink)].sort((a, b) => a - b);
    return (bright + 0.05) / (dark + 0.05);
  };
  const result = [];
  for (const node of document.querySelectorAll('body *')) {
    if (!node.checkVisibility() || node.disabled) continue;
    const style = getComputedStyle(node);
    if (node.placeholder) {
      result.push([contrast(getComputedStyle(node, '::placeholder').color, node), node.placeholder]);
    }
    if ([...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim())) {
      const colour = node.namespaceURI.endsWith('svg') ? style.fill : style.color;
      if (colour !== 'none') result.push([contrast(colour, node), node.textContent.trim().slice(0, 40)]);
    }
  }
  return result;
}"""


@pytest.fixture(scope='module')
def chromium():
    """The Chromium of the system, which playwright drives; tests skip where one of them is missing."""
    playwright = pytest.importorskip('playwright.sync_api', reason='no playwright: pip install playwright')
    if CHROMIUM is None:
        pytest.skip('no Chromium on this machine: apt-get install chromium')
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=QUIET, timeout=TIMEOUT)
        yield browser
        browser.close()


@pytest.fixture(scope='session')
def lowest_contrast():
    """lowest_contrast(page) -> the lowest contrast of a text with what lies behind it, and the text."""
    return lambda page: min(page.evaluate(CONTRASTS))


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
