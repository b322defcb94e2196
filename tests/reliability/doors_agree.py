"""Every door gives the same scores and labels, image by image: tools/acceptance.sh doors [CONFIG CHECKPOINT].

The doors: Predictor, `cssa test --out`, mmpretrain's own test.py and its inferencer, CSSAInferencer by each kind of
image, and the ONNX file of `cssa export`. The checkpoint gets another calibration, and thresholds in the middle of its
scores, so that a door that forgets one of them is found.

All doors have batches of one size: processors add up in another order for another one, which changes float32 scores of
the demo by 6e-6. Predictor is compared with an oracle, for which that holds, too: pixels by Pillow, raw scores image by
image, calibration and thresholds as formulas in NumPy. The others are compared with Predictor.
"""

from __future__ import annotations

import argparse
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

import cssa_mm
from cssa_mm import CSSAInferencer, Predictor
from cssa_mm.models.score_calibration import ScoreCalibration
from cssa_mm.models.thresholds import ClassThresholds

TOLERANCE, ONNX_TOLERANCE = 1e-6, 1e-4
ROUNDING = 1e-5  # between batches of other sizes
BATCH_SIZE = 40
Call = Callable[[Sequence[str]], None]


class Answers(NamedTuple):
    """What a door says of N images: calibrated and raw scores (N, C), raw ones if it tells them, and labels (N, C)."""

    scores: np.ndarray
    raw: np.ndarray | None
    labels: np.ndarray


class Agreement(NamedTuple):
    """The largest differences to what was expected, and the number of labels that differ far from a threshold."""

    door: str
    scores: float
    raw: float
    labels: int
    tolerance: float

    @property
    def is_good(self) -> bool:
        """Whether the door agrees."""
        return self.scores <= self.tolerance and self.raw <= self.tolerance and self.labels == 0

    def __str__(self) -> str:
        """One line."""
        verdict = 'agrees' if self.is_good else 'DIFFERS'
        return f'{self.door:44}{verdict}  scores {self.scores:.1e}  raw {self.raw:.1e}  labels {self.labels}'


def demanding(checkpoint: Path, images: Sequence[str], out: Path) -> ClassThresholds:
    """Write the checkpoint with a calibration and thresholds that matter; returns the thresholds."""
    model = cssa_mm.load_model(checkpoint, device='cpu')
    num_classes = len(model.class_names)
    steps = np.arange(num_classes)
    slope, offset = 0.6 + 0.2 * (steps % 5), 1.5 - 0.5 * (steps % 7)
    model.calibration = ScoreCalibration(tuple(slope.tolist()), tuple(offset.tolist()), 'platt')
    scores = np.stack([each.scores for each in Predictor(model).predict(images)])
    values = np.quantile(scores.astype(np.float64), 0.3 + 0.1 * (steps % 5), axis=0).diagonal()
    model.thresholds = ClassThresholds(tuple(values.tolist()), 'f1', (7,) * num_classes, ('own',) * num_classes)
    content = torch.load(checkpoint, map_location='cpu', weights_only=True)
    content['state_dict'] = model.state_dict()
    torch.save(content, out)
    return model.thresholds


@torch.no_grad()
def oracle(checkpoint: Path, images: Sequence[str]) -> Answers:
    """One image at a time by Pillow, NumPy and the tower; calibration and thresholds as formulas."""
    model = cssa_mm.load_model(checkpoint, device='cpu')
    mean, std = (torch.tensor(getattr(model.backbone.clip, name))[:, None, None] for name in ('mean', 'std'))
    raw = []
    for path in images:
        image = Image.open(path).convert('RGB')
        if model.view.size is not None:
            image = image.resize(model.view.size[::-1], getattr(Image.Resampling, model.view.interpolation.upper()))
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        raw.append(model.score(*model.backbone(((pixels / 255 - mean) / std)[None]))[0].numpy())
    raw = np.stack(raw)
    exact = raw.astype(np.float64).clip(1e-45, 1 - 2.0**-25)
    logit = np.log(exact) - np.log1p(-exact)
    scores = 1 / (1 + np.exp(-(np.array(model.calibration.slope) * logit + np.array(model.calibration.offset))))
    return Answers(scores, raw, scores >= np.array(model.thresholds.values))


def compare(door: str, found: Answers, expected: Answers, thresholds: ClassThresholds, tolerance: float) -> Agreement:
    """How far a door is from what is expected; a label within `tolerance` of its threshold may be either."""
    away = np.abs(expected.scores - np.array(thresholds.values)) > tolerance
    return Agreement(
        door,
        float(np.abs(found.scores - expected.scores).max()),
        0.0 if found.raw is None else float(np.abs(found.raw - expected.raw).max()),
        int(((found.labels != expected.labels) & away).sum()),
        tolerance,
    )


def of_predictor(predictor: Predictor, images: Sequence) -> Answers:
    """By Predictor."""
    found = list(predictor.predict(images))
    labels = [[name in each.labels for name in predictor.class_names] for each in found]
    return Answers(np.stack([e.scores for e in found]), np.stack([e.raw_scores for e in found]), np.array(labels))


def of_results(results: Sequence[dict], num_classes: int) -> Answers:
    """By the results of an inferencer."""
    labels = np.zeros((len(results), num_classes), bool)
    for row, result in enumerate(results):
        labels[row, result['pred_labels']] = True
    scores, raw = (np.stack([result[key] for result in results]) for key in ('pred_scores', 'raw_scores'))
    return Answers(scores, raw, labels)


def of_predictions(path: Path, images: Sequence[str]) -> Answers:
    """By the predictions that a test wrote."""
    by_path = {sample['img_path']: sample for sample in pickle.loads(path.read_bytes())}
    samples = [by_path[image] for image in images]
    scores, raw = (np.stack([np.asarray(sample[key]) for sample in samples]) for key in ('pred_score', 'raw_score'))
    labels = np.zeros(scores.shape, bool)
    for row, sample in enumerate(samples):
        labels[row, np.asarray(sample['pred_label'])] = True
    return Answers(scores, raw, labels)


def agreements(
    config: str | Path,
    checkpoint: Path,
    images: Sequence[str],
    folder: Path,
    tests: dict[str, Call],
    options: Sequence[str] = (),
    *,
    batch_size: int = BATCH_SIZE,
    with_onnx: bool = True,
) -> list[Agreement]:
    """Compare all doors.

    Args:
        config: the config of the checkpoint.
        checkpoint: it is read, and written anew with `demanding`.
        images: paths of N test images, as the data set tells them.
        folder: for what is written.
        tests: name -> a function that runs a test with the given arguments: CONFIG CHECKPOINT --out FILE ...
        options: further arguments of the tests.
        batch_size: that of the tests.
        with_onnx: export, too.
    """
    demanded = folder / 'demanding.pth'
    thresholds = demanding(checkpoint, images, demanded)
    truth = oracle(demanded, images)
    if np.abs(truth.scores - truth.raw).max() < 0.05 or not 0.1 < truth.labels.mean() < 0.9:
        raise ValueError('the calibration or the thresholds change nothing: nothing could be found')
    model = cssa_mm.load_model(demanded, device='cpu')
    view, num_classes = model.view, len(model.class_names)
    arrays = [view.load(path) for path in images]
    inferencer = CSSAInferencer(demanded, device='cpu')
    by_config = cssa_mm.load_config(config)
    expected = of_predictor(Predictor(model, batch_size=batch_size), images)

    def infer(given, door=inferencer, **more) -> Answers:
        return of_results(door(given, batch_size=batch_size, **more), num_classes)

    found = {
        'Predictor, RGB arrays': of_predictor(Predictor(model, batch_size=batch_size), arrays),
        'CSSAInferencer, paths': infer(images),
        'CSSAInferencer, bytes': infer([Path(path).read_bytes() for path in images]),
        'CSSAInferencer, PIL': infer([Image.open(path) for path in images]),
        'CSSAInferencer, BGR arrays': infer([array[:, :, ::-1] for array in arrays], channel_order='bgr'),
        'CSSAInferencer, tensors': infer([torch.from_numpy(array).permute(2, 0, 1) for array in arrays]),
        "mmpretrain's ImageClassificationInferencer": infer(images, _toolbox(by_config, demanded)),
    }
    for name, run in tests.items():
        out = folder / f'{len(found)}.pkl'
        run([str(config), str(demanded), '--out', str(out), *options])
        found[name] = of_predictions(out, images)
    lines = [compare('Predictor, paths, to Pillow and NumPy', expected, truth, thresholds, ROUNDING)]
    lines += [compare(name, answers, expected, thresholds, TOLERANCE) for name, answers in found.items()]
    if with_onnx:
        answers = of_predictor(Predictor(_onnx(demanded, folder / 'model.onnx'), batch_size=batch_size), images)
        lines.append(compare('ONNX', answers, expected, thresholds, ONNX_TOLERANCE))
    return lines


def _toolbox(config, checkpoint: Path):
    from mmpretrain.apis import ImageClassificationInferencer

    return ImageClassificationInferencer(config, pretrained=str(checkpoint), device='cpu')


def _onnx(checkpoint: Path, out: Path):
    from cssa_mm.apis.exporting.onnx_file import export_onnx
    from cssa_mm.apis.exporting.opening import open_scorer

    export_onnx(checkpoint=checkpoint, out=out)
    return open_scorer(out)


def _command(*words: str) -> Call:
    def call(arguments: Sequence[str]) -> None:
        done = subprocess.run([sys.executable, *words, *arguments], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f'{" ".join(words)}: {done.stderr[-2000:]}')

    return call


def main() -> int:
    """Run the comparison on 200 test images."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'config', nargs='?', default='cssa_plus_demo', help='by default the demo, trained for two epochs'
    )
    parser.add_argument('checkpoint', nargs='?')
    parser.add_argument('--data-root')
    parser.add_argument('--images', type=int, default=200)
    options = parser.parse_args()
    tools = Path(find_spec('mmpretrain').origin).parent / '.mim' / 'tools'
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data_root = options.data_root or (str(folder / 'icons') if options.checkpoint is None else None)
        checkpoint = options.checkpoint
        if checkpoint is None:
            short = {'train_cfg.warmup_epochs': 1, 'train_cfg.semi_epochs': 1, 'train_cfg.val_begin': 99}
            work_dir = folder / 'run'
            result = cssa_mm.train(config=options.config, overrides=short, data_root=data_root, work_dir=work_dir)
            checkpoint = result.checkpoint
        # The whole config: mmpretrain's test.py knows neither names nor --data-root.
        config = cssa_mm.load_config(options.config, data_root=data_root)
        config.test_dataloader.batch_size = BATCH_SIZE
        config.dump(folder / 'config.py')
        images = _test_images(config)[: options.images]
        tests = {
            'cssa test --out': _command('-m', 'cssa_mm', 'test'),
            "mmpretrain's test.py": _command(str(tools / 'test.py')),
            'cssa toolbox test': _command('-m', 'cssa_mm', 'toolbox', 'test'),
        }
        work = ['--work-dir', str(folder / 'work')]
        lines = agreements(folder / 'config.py', Path(checkpoint), images, folder, tests, work)
    print(f'\n{options.config}: {len(images)} images')
    print(*lines, sep='\n')
    return 0 if all(line.is_good for line in lines) else 1


def _test_images(config) -> list[str]:
    """The paths of the test images, as the predictions of a test tell them."""
    from mmpretrain.registry import DATASETS

    dataset = DATASETS.build(config.test_dataloader.dataset)
    return [dataset.get_data_info(index)['img_path'] for index in range(len(dataset))]


if __name__ == '__main__':
    sys.exit(main())
