"""ONNX files of real towers: how far their scores are from torch's, how fast they are, and that they need no torch.

    bash tools/acceptance.sh onnx                                  RN50 and ViT-B-32 with random weights
    bash tools/acceptance.sh onnx NAME:FILE ...                    these towers, with the JSON of the name beside FILE

Each tower becomes a model with evidence, calibration and thresholds, is exported, and is run beside torch in several
batches and sizes, one thread each, in turns. Then an empty virtual environment gets onnxruntime and Pillow, and the
program beside the file labels photos there.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

import numpy as np
import torch
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from PIL import Image

import cssa_mm  # noqa: F401 - before open_clip
from cssa_mm.apis.exporting.onnx_file import export_onnx
from cssa_mm.apis.exporting.onnx_scorer import OnnxScorer
from cssa_mm.apis.predictor import Predictor
from cssa_mm.apis.scorer import TorchScorer
from cssa_mm.models.score_calibration import ScoreCalibration
from cssa_mm.models.thresholds import ClassThresholds

NAMES = ['dog', 'cat', 'traffic light', 'red bicycle', 'table', 'window frame']
ROUNDS = 9


def model_of(tower: str) -> torch.nn.Module:
    """A model on a tower, NAME or NAME:FILE, as a training of `cssa_plus` could leave it."""
    torch.manual_seed(0)
    name, _, file = tower.partition(':')
    backbone = dict(type='OpenCLIPBackbone', model_name=name, pretrained=file or None)
    if file:
        backbone['config_dir'] = str(Path(file).parent)
    prompts = dict(num_context=4, initial_words='a photo of a')
    model = MODELS.build(
        dict(
            type='CSSAClassifier',
            backbone=backbone,
            class_names=NAMES,
            head=dict(prompts=prompts, shared_prompts=True),
            evidence=dict(type='DiscriminantEvidence'),
            view=dict(type='View', size=224),
        )
    )
    evidence = model.evidence
    evidence.direction.normal_()
    evidence.similarity_scale.fill_(0.05)
    evidence.anchor_scale.fill_(0.05)
    evidence.weights.copy_(torch.tensor([0.3, 0.4, 0.5]))
    evidence.is_fitted.fill_(True)
    model.calibration = ScoreCalibration((0.6, 0.9, 1.1, 1.5, 2.0, 1.0), (-0.5, 0.3, 0.0, 0.7, -1.0, 0.2), 'platt')
    model.thresholds = ClassThresholds((0.3, 0.4, 0.5, 0.6, 0.7, 0.45), 'f1', (9,) * 6, ('own',) * 6)
    return model.eval()


def write_photos(folder: Path) -> list[Path]:
    """Six JPEG files: coloured surfaces with noise, of several shapes."""
    rng, paths = np.random.default_rng(0), []
    for number in range(6):
        surface = rng.integers(0, 256, (1, 1, 3)) + rng.normal(0, 40, (200 + 40 * number, 300, 3))
        paths.append(folder / f'{number}.jpg')
        Image.fromarray(surface.clip(0, 255).astype(np.uint8)).save(paths[-1])
    return paths


def differences(model: torch.nn.Module, path: Path, takes_any_size: bool) -> dict[str, float]:
    """The largest difference of a calibrated score for each batch and size."""
    ours, theirs, found = OnnxScorer(path), TorchScorer(model), {}
    others = ((1, 256, 320), (3, 288, 224)) if takes_any_size else ()
    for batch, height, width in ((1, 224, 224), (5, 224, 224), *others):
        pixels = torch.randint(0, 256, (batch, 3, height, width), dtype=torch.uint8)
        found[f'{batch} x {height} x {width}'] = np.abs(ours(pixels).calibrated - theirs(pixels).calibrated).max()
    return found


def seconds(model: torch.nn.Module, path: Path, batch: int) -> tuple[float, float, float]:
    """Median seconds of torch and onnxruntime, and the median of their ratios, measured in turns."""
    pixels = torch.randint(0, 256, (batch, 3, 224, 224), dtype=torch.uint8)
    scorers, times = (TorchScorer(model), OnnxScorer(path)), []
    for _ in range(ROUNDS + 1):
        row = []
        for scorer in scorers:
            start = time.perf_counter()
            scorer(pixels)
            row.append(time.perf_counter() - start)
        times.append(row)
    # The first round warms up.
    torchs, onnxs = zip(*times[1:], strict=True)
    ratios = [one / other for one, other in zip(torchs, onnxs, strict=True)]
    return statistics.median(torchs), statistics.median(onnxs), statistics.median(ratios)


def labelled_without_torch(python: Path, path: Path, photos: list[Path]) -> np.ndarray:
    """Scores (photos, C) that the program beside a file prints in an environment of its own."""
    words = [python, '-I', path.with_name('run_onnx.py'), path, *photos, '--scores']
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=True)
    return np.array([[float(part.rsplit(' ', 1)[1]) for part in line.split(', ')] for line in done.stdout.splitlines()])


def empty_environment(folder: Path) -> Path:
    """The Python of a new virtual environment with onnxruntime and Pillow."""
    venv.create(folder, with_pip=True)
    python = folder / 'bin' / 'python'
    subprocess.run([str(python), '-m', 'pip', 'install', '--quiet', 'onnxruntime', 'pillow'], check=True)
    code = "import importlib.util as u; print([n for n in ('torch', 'cssa_mm', 'mmengine', 'onnx') if u.find_spec(n)])"
    found = subprocess.run([str(python), '-I', '-c', code], capture_output=True, text=True, check=True).stdout.strip()
    if found != '[]':
        raise SystemExit(f'error: the empty environment has {found}')
    return python


def main() -> int:
    """Print the table; returns 1 where a score is off by more than 1e-4."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('towers', nargs='*', default=['RN50', 'ViT-B-32'], metavar='NAME|NAME:FILE')
    options = parser.parse_args()
    torch.set_num_threads(1)
    init_default_scope('mmpretrain')
    worst = 0.0
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        python, photos = empty_environment(folder / 'venv'), write_photos(folder)
        for tower in options.towers:
            model, start = model_of(tower), time.perf_counter()
            name = tower.split(':')[0]
            result = export_onnx(checkpoint=model, out=folder / name / 'model.onnx')
            said = result.text().splitlines()[0].split(': ', 1)[1]
            print(f'\n{name}: exported in {time.perf_counter() - start:.0f} s, {said}')
            found = differences(model, result.path, result.takes_any_size)
            expected = np.stack([one.scores for one in Predictor(model).predict(list(map(str, photos)))])
            found['photos, no torch'] = np.abs(labelled_without_torch(python, result.path, photos) - expected).max()
            for what, difference in found.items():
                print(f'  {what:20} largest difference of a score {difference:.1e}')
            print(f'  scores of the photos from {expected.min():.3f} to {expected.max():.3f}')
            for batch in (1, 8):
                ours, theirs, ratio = seconds(model, result.path, batch)
                times = f'torch {1000 * ours:.0f} ms, onnxruntime {1000 * theirs:.0f} ms, {ratio:.2f} times as fast'
                print(f'  batch {batch}: {times}')
            worst = max(worst, *found.values())
    print(f'\nlargest difference of all: {worst:.1e}, expected at most 1e-4')
    return int(not worst <= 1e-4)


if __name__ == '__main__':
    sys.exit(main())
