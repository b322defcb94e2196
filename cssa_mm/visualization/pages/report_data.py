"""What a report of a run shows, as values: `apis/reporting` fills them, `report_page.py` prints them.

Figures are shares from 0 to 1, nan where there is none. A part that a run lacks is empty, and `missing` says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# The parts of a page that a run can lack.
PARTS = ('scores', 'curves', 'pseudo_labels', 'contexts', 'suspects', 'split')
Facts = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Curve:
    """A line over the epochs."""

    name: str
    epochs: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class ClassRow:
    """What a run reached for a class.

    Attributes:
        name: of the class.
        labelled: labelled training images that show it; None where the training set is not at hand.
        positives: scored images that show it.
        ap: average precision.
        zero_shot_ap: that of CLIP with untrained prompts, on the same images.
        precision, recall: of the labels that the model gives.
        threshold: score from which an image gets the label.
        source: what the threshold rests on, 'own' or 'pooled' labels, or ''.
        calibration_error: how far scores are from the share of positives.
        pseudo_precision, pseudo_recall: of the pseudo-labels of the last epoch.
    """

    name: str
    labelled: int | None
    positives: int
    ap: float
    zero_shot_ap: float
    precision: float
    recall: float
    threshold: float
    source: str
    calibration_error: float
    pseudo_precision: float
    pseudo_recall: float


@dataclass(frozen=True)
class Label:
    """A label of a picture: `kind` is 'right', 'wrong', 'missed', or 'unknown' where nobody knows the truth.

    Attributes:
        overlay: a picture to lay over the image, such as where the model looked, as a data address; or ''.
    """

    name: str
    kind: str
    score: float
    threshold: float
    overlay: str = ''


@dataclass(frozen=True)
class Picture:
    """An image of the gallery.

    Attributes:
        name: of the image.
        thumbnail: a data address; '' if the image cannot be read.
        kinds: why it is shown: of 'best', 'worst', 'uncertain', 'class'.
        labels: those predicted, and those missed.
        loss: mean cross-entropy of its labels.
    """

    name: str
    thumbnail: str
    kinds: tuple[str, ...]
    labels: tuple[Label, ...]
    loss: float


@dataclass(frozen=True)
class SuspectedLabel:
    """A given label that models which did not see it hold for wrong.

    Attributes:
        image: name of the image.
        thumbnail: a data address, or ''.
        class_name: the class.
        is_positive: whether the image is labelled with it.
        confidence: the probability of the given label.
    """

    image: str
    thumbnail: str
    class_name: str
    is_positive: bool
    confidence: float


@dataclass(frozen=True)
class PairOfErrors:
    """Two errors that meet in images, each the name of a class and 'wrong' or 'missed'; how often, and by chance."""

    first: tuple[str, str]
    second: tuple[str, str]
    images: int
    expected: float


@dataclass(frozen=True)
class Contexts:
    """Labels that occur together.

    Attributes:
        groups: names of the labels of each context; one group of all, if the run learned no contexts.
        names: the labels of the matrix, in the order of the groups.
        shares: of the images with the label of the row, how many show that of the column, too.
        is_learned: whether the groups are the run's.
    """

    groups: tuple[tuple[str, ...], ...]
    names: tuple[str, ...]
    shares: tuple[tuple[float, ...], ...]
    is_learned: bool


@dataclass(frozen=True)
class PseudoLabelEpoch:
    """Pseudo-labels of an epoch; precision and recall are nan where nobody knows the truth."""

    epoch: int
    precision: float
    recall: float
    masked: float


@dataclass(frozen=True)
class Report:
    """All that a page shows of a run.

    Attributes:
        title: name of the run.
        made_by: package and version.
        settings: name and value of what matters most.
        config: text of the whole config.
        split: name and value: which images are labelled.
        metrics: mAP, CF1, OF1, ECE, Brier of the test images, and the mAP of zero-shot CLIP.
        num_images: images that were scored.
        is_held_out: whether these are labelled images, scored by models that did not see their labels, as there are no
            test images.
        curves: by panel, such as 'mAP' or 'loss'.
        missing: part of `PARTS` -> why it is not there, in one sentence.
        notes: what else to know.
    """

    title: str
    made_by: str
    settings: Facts = ()
    config: str = ''
    split: Facts = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    num_images: int = 0
    is_held_out: bool = False
    classes: tuple[ClassRow, ...] = ()
    curves: Mapping[str, tuple[Curve, ...]] = field(default_factory=dict)
    pseudo_labels: tuple[PseudoLabelEpoch, ...] = ()
    contexts: Contexts | None = None
    pictures: tuple[Picture, ...] = ()
    error_pairs: tuple[PairOfErrors, ...] = ()
    suspects: tuple[SuspectedLabel, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
