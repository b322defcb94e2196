"""What neighbours cost: bash tools/acceptance.sh neighbours.

On a ResNet-50 with random weights and on the demo's tower, both at 224 on one thread:

- predict: batches of noise through the whole model with and without 2,000 stored images, in turns; the median of the
  ratios, at most 5 % more;
- fit: evidence and neighbours of 2,000 images whose features are known (random ones of the tower's form), against the
  encoding of as many, which some batches tell; at most a tenth.

CPU seconds of this process, so that other work on the machine counts little; its load is printed. Exit status 1 if a
share is above its limit.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import torch

import cssa_mm  # noqa: F401 - registers the components
from cssa_mm.apis.scorer import TorchScorer
from cssa_mm.models import CSSAClassifier
from cssa_mm.semi.evidence import EvidenceImages

SLOWER, FIT = 0.05, 0.1
TOWERS = {'RN50, random weights': ('RN50', None), "demo's": ('cssa-demo-rn', 'demo')}
CLASSES = 20
LABELLED = 0.1  # of the images


def seconds(function: Callable[[], object]) -> float:
    """CPU seconds of a call."""
    began = time.process_time()
    function()
    return time.process_time() - began


def build(name: str, pretrained: str | None) -> CSSAClassifier:
    """A model of cssa_plus in eval mode."""
    torch.manual_seed(0)
    return CSSAClassifier(
        backbone=dict(type='OpenCLIPBackbone', model_name=name, pretrained=pretrained),
        class_names=[f'thing {number}' for number in range(CLASSES)],
        head=dict(shared_prompts=True, attention_temperature=5.0, prompts=dict(num_context=4, initial_words=None)),
        evidence=dict(type='DiscriminantEvidence'),
        neighbours=dict(type='Neighbours'),
        view=dict(type='View', size=224),
    ).eval()


def images_of(model: CSSAClassifier, count: int, batch: torch.Tensor) -> EvidenceImages:
    """Images with random features of the form that a batch of pixels has, a tenth of them labelled."""
    local, pooled = model.backbone(batch.float())
    generator = torch.Generator().manual_seed(0)
    batches = [
        tuple(
            torch.randn(50, *part.shape[1:], generator=generator) * part.std() + part.mean() for part in (local, pooled)
        )
        for _ in range(count // 50)
    ]
    labels = (np.random.default_rng(0).random((50 * len(batches), CLASSES)) < 0.1).astype(np.int8)
    labelled = int(LABELLED * len(labels))
    labels[labelled:] = -1
    rows = np.arange(len(labels))
    dataset = SimpleNamespace(
        labels=labels, labelled_indices=rows[:labelled], unlabelled_indices=rows[labelled:], bad_images=None
    )
    return EvidenceImages(SimpleNamespace(held=lambda *_: lambda: iter(batches)), dataset, len(labels), 0)


@torch.no_grad()
def measure(title: str, model: CSSAClassifier, options: argparse.Namespace) -> tuple[float, float]:
    """The share by which predicting is slower, and that of fitting in encoding."""
    generator = torch.Generator().manual_seed(1)
    batch = torch.randint(0, 256, (options.batch_size, 3, 224, 224), dtype=torch.uint8, generator=generator)
    images = images_of(model, options.images, batch)
    count = len(images.indices)
    fits = [seconds(lambda: images.fit(model)) for _ in range(3)]
    neighbours, score = model.neighbours, TorchScorer(model)
    score(batch)
    rounds, encoding = [], []
    for repeat in range(options.repeats):
        used = {}
        for is_on in (True, False) if repeat % 2 else (False, True):
            model.neighbours = neighbours if is_on else None
            used[is_on] = seconds(lambda: score(batch))
        model.neighbours = neighbours
        rounds.append(used)
        encoding.append(seconds(lambda: model.backbone(model.data_preprocessor(dict(inputs=list(batch)))['inputs'])))
    slower = statistics.median(used[True] / used[False] for used in rounds) - 1
    with_them, without = (statistics.median(used[is_on] for used in rounds) for is_on in (True, False))
    fit, encode = statistics.median(fits), statistics.median(encoding) * count / len(batch)
    print(
        f'{title}: predict, batches of {len(batch)}, {neighbours.num_images:,} stored images '
        f'({neighbours.megabytes:.1f} MB): {with_them:.2f} s with neighbours, {without:.2f} s without: {slower:+.1%} '
        f'(at most {SLOWER:.0%})\n'
        f'{title}: {count:,} images: fit {fit:.1f} s, encoding {encode:.1f} s: {fit / encode:.1%} (at most {FIT:.0%})',
        flush=True,
    )
    return slower, fit / encode


def main() -> int:
    """Measure both towers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--images', type=int, default=2000)
    parser.add_argument('--batch-size', type=int, default=32)
    parser.add_argument('--repeats', type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    shares = [measure(title, build(*tower), options) for title, tower in TOWERS.items()]
    print(f'load of the machine: {" ".join(f"{value:.1f}" for value in os.getloadavg())}, {os.cpu_count()} cores')
    return int(any(slower > SLOWER or fit > FIT for slower, fit in shares))


if __name__ == '__main__':
    sys.exit(main())
