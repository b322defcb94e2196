"""What an int8 file is worth: mAP and labels against fp32 on the same images, and speed, taken in turns."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cssa_mm.apis.exporting.int8_data import LabelledImages
from cssa_mm.apis.exporting.onnx_extra import needed
from cssa_mm.apis.exporting.onnx_metadata import INPUT, OUTPUTS
from cssa_mm.datasets.view import View
from cssa_mm.evaluation import mean_average_precision

ROUNDS, SECONDS = 30, 10.0


class Speed(NamedTuple):
    """Milliseconds of processor time for an image, medians, and how many times faster int8 is (median over pairs)."""

    fp32: float
    int8: float
    ratio: float


def opened(path: Path, threads: int = 0) -> Any:
    """A session of onnxruntime on the CPU; 0 threads leaves their number to it."""
    ort = needed('onnxruntime', 'int8')
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    return ort.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])


def scores_of(path: Path, images: LabelledImages, view: View, threads: int = 0) -> np.ndarray:
    """Calibrated scores (n, C) by a file."""
    session = opened(path, threads)
    return np.concatenate([session.run([OUTPUTS[0]], {INPUT: pixels})[0] for pixels in images.pixels(view)])


def map_of(scores: np.ndarray, images: LabelledImages) -> float:
    """mAP in per cent over the classes with a positive and a negative."""
    usable = images.usable
    return 100 * mean_average_precision(scores[:, usable], images.labels[:, usable])


def speed_of(fp32: Path, int8: Path, pixels: np.ndarray) -> Speed:
    """The speed of two files on one image uint8 (1, 3, H, W), in turns on one thread.

    Processor time, so that other work on the machine counts little.
    """
    sessions = [opened(path, 1) for path in (fp32, int8)]
    times: list[list[float]] = []
    for session in sessions:
        session.run(None, {INPUT: pixels})
    begin = time.perf_counter()
    while len(times) < 3 or (len(times) < ROUNDS and time.perf_counter() - begin < SECONDS):
        row = []
        for session in sessions:
            start = time.process_time()
            session.run(None, {INPUT: pixels})
            row.append(1000 * (time.process_time() - start))
        times.append(row)
    table = np.array(times)
    first, second = np.median(table, axis=0)
    return Speed(float(first), float(second), float(np.median(table[:, 0] / table[:, 1])))
