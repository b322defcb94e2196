"""Write a model as an int8 ONNX file for CPUs: the kind that keeps the mAP of this tower, or none."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cssa_mm.apis.exporting.int8_data import LabelledImages, two_halves
from cssa_mm.apis.exporting.int8_kinds import kinds_for, prepare, quantise
from cssa_mm.apis.exporting.int8_measures import Speed, map_of, opened, scores_of, speed_of
from cssa_mm.apis.exporting.module import ExportModule, stored_line
from cssa_mm.apis.exporting.onnx_extra import needed
from cssa_mm.apis.exporting.onnx_file import SCRIPT, checked_out, checked_script, export_onnx
from cssa_mm.apis.exporting.onnx_metadata import INPUT
from cssa_mm.apis.loading import load_model
from cssa_mm.apis.scorer import model_facts, stored_in_words
from cssa_mm.errors import CheckpointError, ConfigError
from cssa_mm.features.view import model_view
from cssa_mm.files import replacing
from cssa_mm.models import CSSAClassifier

WORST_FALL = 1.0  # of mAP, in points
CLOSE = 0.1  # points of mAP within which the faster kind is taken
RANGE_IMAGES = 100  # more change the ranges little, and take their time


@dataclass(frozen=True)
class Trial:
    """One kind, tried: its mAP (per cent) on the half that it was fitted to, its speed, or why it failed."""

    kind: str
    map: float | None
    speed: Speed | None
    failure: str = ''


@dataclass(frozen=True)
class Int8Export:
    """An int8 file that was written.

    Attributes:
        path: the file.
        script: a program beside it that needs onnxruntime and Pillow alone.
        kind: how it was quantised.
        map_fp32, map_int8: per cent, on images that it was not fitted to.
        images, classes: the numbers that they rest on.
        mean_change: mean difference of a score to fp32 there.
        same_labels: per cent of labels (image and class) that are the same as with fp32 there.
        speed: on one thread.
        megabytes: sizes of the fp32 and the int8 file.
        trials: all kinds that were tried.
        stored: the training images whose features lie in it, in words; '' without neighbours.
    """

    path: Path
    script: Path
    kind: str
    map_fp32: float
    map_int8: float
    images: int
    classes: int
    mean_change: float
    same_labels: float
    speed: Speed
    megabytes: tuple[float, float]
    trials: tuple[Trial, ...]
    stored: str = ''

    def text(self) -> str:
        """What a command prints of it."""
        lines = [f'{"kind":48} {"mAP":>6} {"ms":>7}   (on the images that it was fitted to)']
        for trial in self.trials:
            figures = f'{trial.map:6.2f} {trial.speed.int8:7.1f}' if trial.speed else f'failed: {trial.failure}'
            lines.append(f'{trial.kind:48} {figures}{"   <- taken" * (trial.kind == self.kind)}')
        speed = self.speed
        lines += [
            f'{self.path}: {self.megabytes[1]:.1f} MB (fp32 {self.megabytes[0]:.1f}), {self.kind}',
            f'mAP {self.map_int8:.2f}, fp32 {self.map_fp32:.2f}, on {self.images} other images with {self.classes} '
            f'classes; scores differ by {self.mean_change:.3f} in the mean, {self.same_labels:.2f} % of the labels are '
            'the same',
            f'{speed.int8:.1f} ms an image, fp32 {speed.fp32:.1f}, on one thread of this machine: {speed.ratio:.2f} '
            f'times as fast{"" if speed.ratio > 1.05 else "; take the fp32 file: int8 gains nothing here"}',
            f'{self.script}: runs it on photos, needs onnxruntime and Pillow alone{stored_line(self.stored)}',
        ]
        return '\n'.join(lines)


def export_int8(
    *,
    checkpoint: str | os.PathLike | CSSAClassifier,
    out: str | os.PathLike,
    calibration_data: str | os.PathLike,
    tower: str | os.PathLike | None = None,
    data_root: str | os.PathLike | None = None,
) -> Int8Export:
    """Write a model as an int8 ONNX file for CPUs, in the form of `export_onnx`.

    Half of the labelled images give the ranges and choose between the kinds that suit the tower (the best mAP; of those
    within .1 the fastest); the mAP against fp32 is measured on the other half. Calibration and thresholds of the scores
    stay as they are. The figures lie in the metadata of the file, under 'int8'.

    Args:
        checkpoint: a file that training wrote, or a model.
        out: the file, which ends in .onnx; an older one is replaced.
        calibration_data: a label file, a folder with one (its part `test`, else `val`, else all), or a config whose
            test images count.
        tower: new path of the weights of the tower, if they were moved.
        data_root: directory of the data of a config.

    Raises:
        ToolboxError: onnx, onnxscript or onnxruntime is not installed.
        ConfigError: `out` is no name of an ONNX file, or the mAP falls by more than 1 with every kind.
        DataError: the labels cannot be read, are of other classes, or too few.
        CheckpointError: the checkpoint cannot be opened, or onnxruntime can quantise it in no way.
    """
    path = checked_out(out)
    script = checked_script(path)
    if isinstance(checkpoint, CSSAClassifier):
        model = checkpoint
    else:
        model = load_model(checkpoint, tower=tower, device='cpu')
    fitted, measured = two_halves(calibration_data, model, data_root)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fp32 = export_onnx(checkpoint=model, out=folder / 'fp32.onnx').path
        trials = _tried(model, fp32, folder, fitted)
        best = best_of(trials)
        result, facts = _measured(model, fp32, folder / f'{trials.index(best)}.onnx', measured, best, trials, path)
        if not result.map_fp32 - result.map_int8 <= WORST_FALL:
            raise ConfigError(
                f'--int8: found mAP {result.map_int8:.2f} with the best kind ({best.kind}) and {result.map_fp32:.2f} '
                f'with fp32, on {result.images} images, expected a fall of {WORST_FALL:g} at most; nothing was '
                'written: take the fp32 file (--onnx without --int8)'
            )
        _write(fp32, folder / f'{trials.index(best)}.onnx', path, facts)
        with replacing(script) as copy:
            shutil.copyfile(folder / SCRIPT, copy)
    return result


def _tried(model: CSSAClassifier, fp32: Path, folder: Path, fitted: LabelledImages) -> list[Trial]:
    """Every kind that suits the tower, as 0.onnx, 1.onnx, ... in the folder."""
    view, prepared = model_view(model), folder / 'prepared.onnx'
    images = list(LabelledImages(fitted.paths[:RANGE_IMAGES], fitted.labels[:RANGE_IMAGES]).pixels(view))
    batch = ExportModule(model).trial_images(3).numpy()
    trials = []
    try:
        prepare(fp32, prepared)
    except Exception as error:  # onnxruntime's classes share no base
        raise CheckpointError(
            f'--int8: onnxruntime cannot prepare this model ({_one_line(error)}), expected one that it can quantise; '
            'take the fp32 file (--onnx without --int8)'
        ) from error
    for index, kind in enumerate(kinds_for(prepared)):
        file = folder / f'{index}.onnx'
        try:
            quantise(prepared, file, kind, images)
            _check_batch(file, batch)
            found = map_of(scores_of(file, fitted, view), fitted)
            trials.append(Trial(kind.name, found, speed_of(fp32, file, images[0])))
        except Exception as error:  # the next kind may do
            trials.append(Trial(kind.name, None, None, _one_line(error)))
    return trials


def _check_batch(file: Path, batch: np.ndarray) -> None:
    """Check that several images at once can be scored, too."""
    scores = opened(file).run(None, {INPUT: batch})[0]
    if len(scores) != len(batch) or not np.isfinite(scores).all():
        raise ValueError(f'found {len(scores)} scores of {len(batch)} images, or such that are no numbers')


def best_of(trials: list[Trial]) -> Trial:
    """Of the kinds within `CLOSE` of the best mAP the fastest.

    Raises:
        CheckpointError: all failed.
    """
    done = [trial for trial in trials if trial.map is not None and trial.speed is not None]
    if not done:
        raise CheckpointError(
            f'--int8: onnxruntime can quantise this model in no way ({trials[0].kind}: {trials[0].failure}), expected '
            'one; take the fp32 file (--onnx without --int8)'
        )
    highest = max(trial.map or 0 for trial in done)
    close = [trial for trial in done if (trial.map or 0) >= highest - CLOSE]
    return max(close, key=lambda trial: trial.speed.ratio if trial.speed else 0)


def _measured(
    model: CSSAClassifier,
    fp32: Path,
    file: Path,
    images: LabelledImages,
    best: Trial,
    trials: list[Trial],
    path: Path,
) -> tuple[Int8Export, dict[str, Any]]:
    """The result of the best kind on images that it was not fitted to, and its facts for the metadata."""
    view = model_view(model)
    ours, theirs = (scores_of(one, images, view) for one in (file, fp32))
    speed = speed_of(fp32, file, next(images.pixels(view)))
    same = (model.thresholds.reached(ours) == model.thresholds.reached(theirs)).mean()
    figures: dict[str, Any] = dict(
        kind=best.kind,
        map_fp32=map_of(theirs, images),
        map_int8=map_of(ours, images),
        images=len(images.paths),
        classes=int(images.usable.sum()),
        mean_change=float(np.abs(ours - theirs).mean()),
        same_labels=100 * float(same),
    )
    sizes = fp32.stat().st_size / 1e6, file.stat().st_size / 1e6
    script, stored = path.with_name(SCRIPT), stored_in_words(model_facts(model))
    result = Int8Export(path, script, **figures, speed=speed, megabytes=sizes, trials=tuple(trials), stored=stored)
    return result, figures | dict(speed=speed._asdict(), tried={trial.kind: trial.map for trial in trials})


def _write(fp32: Path, file: Path, path: Path, facts: dict[str, Any]) -> None:
    """Give the file its name, with the metadata of the fp32 file and the figures."""
    onnx = needed('onnx', 'int8')
    metadata = {entry.key: entry.value for entry in onnx.load(str(fp32)).metadata_props}
    metadata['int8'] = json.dumps(facts)
    model_facts = json.loads(metadata['cssa_mm']) | dict(int8=facts)
    metadata['cssa_mm'] = json.dumps(model_facts)
    metadata['description'] += f' Weights and activations are int8 ({facts["kind"]}): the figures are in int8.'
    content = onnx.load(str(file))
    onnx.helper.set_model_props(content, metadata)
    with replacing(path) as partial:
        onnx.save(content, str(partial))


def _one_line(error: Exception) -> str:
    return f'{type(error).__name__}: {" ".join(str(error).split())}'[:200]
