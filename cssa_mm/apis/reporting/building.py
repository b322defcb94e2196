"""From what a run left to the value that a page shows."""

from __future__ import annotations

import logging
import math
from typing import Any, NamedTuple

import numpy as np
from mmengine.logging import print_log

from cssa_mm.apis.reporting.class_rows import class_rows
from cssa_mm.apis.reporting.gallery import Thumbnails, pictures_of, shown_name
from cssa_mm.apis.reporting.overlays import overlays_of
from cssa_mm.apis.reporting.run import Run
from cssa_mm.apis.reporting.scalars import curves_of
from cssa_mm.apis.reporting.scoring import ScoredImages, metrics_of, score_held_out, score_images
from cssa_mm.apis.reporting.settings import config_text, settings_of, split_of
from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.errors import CSSAError
from cssa_mm.evaluation.held_out_scores import HeldOutScores
from cssa_mm.evaluation.label_errors import error_pairs, suspected_errors
from cssa_mm.features.view import model_view
from cssa_mm.semi.contexts import affinity
from cssa_mm.version import __version__
from cssa_mm.visualization.pages.report_data import (
    Contexts,
    PairOfErrors,
    PseudoLabelEpoch,
    Report,
    SuspectedLabel,
)

# Test images that are scored, rows of the table, labels of the matrix, pairs, and suspected labels, at most.
MOST_IMAGES, MOST_CLASSES, MOST_NAMES, MOST_PAIRS, MOST_SUSPECTS = 5000, 3000, 60, 20, 24


def build_report(run: Run) -> Report:
    """Score the test images of a run, and say all that is known of it.

    Args:
        run: what it left.
    """
    missing: dict[str, str] = {}
    notes: list[str] = []
    measured = _measured(run, missing)
    thumbnails = None if run.model is None else Thumbnails(model_view(run.model))
    suspects = _suspects(run, thumbnails, missing)
    curves = curves_of(run.scalars)
    if 'mAP' not in curves:
        missing['curves'] = (
            'This run was not validated, so that there is no curve of mAP.'
            if curves
            else 'This run has logged no step: vis_data/scalars.json is missing or empty.'
        )
    records = tuple(
        PseudoLabelEpoch(
            int(record['epoch']),
            *(float(record.get(key, math.nan)) for key in ('micro_precision', 'micro_recall', 'masked_share')),
        )
        for record in run.records
    )
    if not records:
        missing['pseudo_labels'] = run.missing['records']
    if run.train is None:
        missing['split'] = run.missing['train']
    contexts = _contexts(run, missing)
    tests: dict[str, Any] = {}
    if measured is not None and run.model is not None and thumbnails is not None:
        images, dataset = measured.images, measured.dataset
        rows = class_rows(run, images)
        if len(rows) > MOST_CLASSES:
            rows = sorted(rows, key=lambda row: -row.positives)[:MOST_CLASSES]
            notes.append(f'The table shows the {MOST_CLASSES:,} classes that the most test images show.')
        tests = dict(
            metrics=metrics_of(images),
            num_images=len(images.indices),
            is_held_out=measured.is_held_out,
            classes=tuple(rows),
            pictures=tuple(pictures_of(run.model, dataset, images, thumbnails, overlays_of(run.model, dataset))),
            error_pairs=_pairs(run.model.class_names, images),
        )
        notes += _notes(run, measured)
    return Report(
        title=run.title,
        made_by=f'cssa_mm {__version__}',
        settings=settings_of(run),
        config=config_text(run.config),
        split=split_of(run),
        curves=curves,
        pseudo_labels=records,
        contexts=contexts,
        suspects=suspects,
        missing=missing,
        notes=tuple(notes),
        **tests,
    )


class Measured(NamedTuple):
    """The images that the figures are of, their data set, and whether they are labelled images that were held out."""

    images: ScoredImages
    dataset: SemiMultiLabelDataset
    is_held_out: bool


def _measured(run: Run, missing: dict[str, str]) -> Measured | None:
    """Test images; where there are none, labelled ones with the scores of models that did not see their labels."""
    if run.tested is not None and run.test is not None:
        return Measured(run.tested, run.test, False)
    if run.model is None:
        missing['scores'] = run.missing['model']
        return None
    try:
        if run.test is not None:
            return Measured(score_images(run.model, run.test, MOST_IMAGES), run.test, False)
        if run.held_out is not None and run.train is not None:
            return Measured(score_held_out(run.model, run.train, run.held_out, MOST_IMAGES), run.train, True)
    except CSSAError as error:
        missing['scores'] = f'The images cannot be scored: {" ".join(str(error).split())}'
        print_log(f'Report: {missing["scores"]}', 'current', logging.WARNING)
        return None
    missing['scores'] = run.missing['test']
    return None


def _notes(run: Run, measured: Measured) -> list[str]:
    notes = []
    number = len(measured.images.indices)
    if measured.is_held_out:
        notes.append(
            f'No test images are scored ({run.missing["test"]}). All figures are of {number:,} labelled images, each '
            'scored by a model that did not see its labels. Thresholds and calibration were found on the same scores, '
            'so that precision, recall, CF1, OF1 and calibration error are better than they would be on new images; '
            'and of few images, all figures scatter.'
        )
    elif number < len(measured.dataset):
        notes.append(
            f'Scored are {number:,} of {len(measured.dataset):,} test images, drawn with a fixed seed; cssa test has '
            'the figures of all.'
        )
    if not (measured.images.labels == 1).any():
        notes.append('No test image shows any of the classes, so that no figure but the calibration means anything.')
    return notes


def _pairs(names: list[str], tested: ScoredImages) -> tuple[PairOfErrors, ...]:
    found = error_pairs(tested.predicted, tested.labels, MOST_PAIRS)
    return tuple(
        PairOfErrors((names[a], kind_a), (names[b], kind_b), images, expected)
        for (a, kind_a), (b, kind_b), images, expected in found
    )


def _suspects(run: Run, thumbnails: Thumbnails | None, missing: dict[str, str]) -> tuple[SuspectedLabel, ...]:
    held_out: HeldOutScores | None = run.held_out
    if held_out is None:
        missing['suspects'] = run.missing['held_out']
        return ()
    places = {} if run.train is None else {image_id: index for index, image_id in enumerate(run.train.image_ids)}
    result = []
    for suspect in suspected_errors(held_out.labels, held_out.scores, MOST_SUSPECTS):
        image_id = held_out.image_ids[suspect.row]
        thumbnail = ''
        if run.train is not None and thumbnails is not None and image_id in places:
            thumbnail = thumbnails.of(run.train, places[image_id])
        name = held_out.class_names[suspect.class_index]
        result.append(SuspectedLabel(shown_name(image_id), thumbnail, name, suspect.label == 1, suspect.confidence))
    return tuple(result)


def _contexts(run: Run, missing: dict[str, str]) -> Contexts | None:
    """The labels that occur together among the labelled images, in the order of the contexts or of a clustering."""
    if run.train is None:
        missing['contexts'] = run.missing['train']
        return None
    positive = (run.train.labels == 1).astype(np.float64)
    counts = positive.sum(0)
    shown = np.sort(np.argsort(-counts, kind='stable')[:MOST_NAMES])
    shown = shown[counts[shown] > 0]
    if len(shown) < 2:
        missing['contexts'] = 'The labelled images show fewer than two classes: nothing occurs together.'
        return None
    names = run.train.class_names
    head = None if run.model is None else run.model.context_head
    assignment = np.array([-1]) if head is None else head.assignment.cpu().numpy()
    is_learned = bool((assignment >= 0).all())
    if is_learned:
        order = shown[np.argsort(assignment[shown], kind='stable')]
        groups = tuple(
            tuple(names[c] for c in np.flatnonzero(assignment == number)) for number in np.unique(assignment)
        )
    else:
        near = affinity(run.train.labels[:, shown])
        from scipy.cluster.hierarchy import leaves_list, linkage  # takes long, and most commands do without
        from scipy.spatial.distance import squareform

        distances = squareform(near.max() - near, checks=False)
        order = shown[leaves_list(linkage(distances, 'average', optimal_ordering=True))]
        groups = (tuple(names[c] for c in order),)
    both = positive[:, order].T @ positive[:, order]
    shares = both / np.maximum(np.diag(both), 1)[:, None]
    np.fill_diagonal(shares, np.nan)
    return Contexts(groups, tuple(names[c] for c in order), tuple(map(tuple, shares.tolist())), is_learned)
