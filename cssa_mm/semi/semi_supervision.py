"""The algorithm: what happens to the unlabelled images, from the first step to the last.

    prepare()        features of the training images -> taught classes, contexts, centring, bias; once
    begin_epoch()    EMA teacher scores the unlabelled images -> policy -> pseudo-labels in the bank
    targets(batch)   labels, pseudo-labels and weights of one batch
    after_step()     EMA: the teacher follows the student, and the evidence is stale
    refresh()        the evidence is fitted again, before a score is read

`PseudoLabelHook` calls these in MMEngine's loop. `SemiSupervision` owns the state (`State`); nothing else sets it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmpretrain.structures import DataSample
from torch import Tensor

from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.features.encode import readable_rows, share_of_rank
from cssa_mm.features.frozen_features import FrozenFeatures
from cssa_mm.features.kept_items import KnownSample
from cssa_mm.models import CSSAClassifier
from cssa_mm.models.evidence import Readings
from cssa_mm.models.objective import Targets
from cssa_mm.semi.bank import PseudoLabelBank
from cssa_mm.semi.centring import fit_centring
from cssa_mm.semi.epoch_report import EpochReport
from cssa_mm.semi.evidence import EvidenceImages
from cssa_mm.semi.policies import PseudoLabels, label_rows, needs_labelled
from cssa_mm.semi.reader import Reader
from cssa_mm.semi.shares import summed
from cssa_mm.semi.statistics import (
    broadcast_fitted,
    broadcast_from_first,
    check_same_classes,
    labels_used,
    set_contexts,
    taught_classes,
)


@dataclass(frozen=True)
class Settings:
    """Options of the config; `PseudoLabelHook` documents each."""

    policy: Callable[..., PseudoLabels]
    oracle: bool = False
    wrong_labels: float = 0.0
    calibrate_bias: bool = True
    mask_unseen_classes: bool = True
    context_seed: int = 0
    evidence_images: int = 2048
    evidence_seed: int = 0


@dataclass
class State:
    """All that changes while the algorithm runs, beside the model's own tensors.

    The model's tensors are in the checkpoint, the bank, too, if it is written within an epoch; the rest follows.

    Attributes:
        bank: pseudo-labels of the unlabelled images, a share on each rank; None before the first semi-supervised epoch.
        evidence_is_stale: whether the teacher has moved since evidence and neighbours were fitted.
        readings: of the images that the evidence was fitted to, on rank 0.
    """

    bank: PseudoLabelBank | None = None
    evidence_is_stale: bool = True
    readings: Readings | None = None


@dataclass
class SemiSupervision:
    """The semi-supervised algorithm on one model and one training set.

    Args:
        model: the classifier.
        dataset: the training set, with labelled and unlabelled images.
        features: features of the plain view of its images.
        settings: options of the config.
        seed: seed of the run.
    """

    model: CSSAClassifier
    dataset: SemiMultiLabelDataset
    features: FrozenFeatures
    settings: Settings
    seed: int = 0
    state: State = field(default_factory=State)
    images: EvidenceImages | None = None

    @property
    def reader(self) -> Reader:
        """Of the images of the training set."""
        return Reader(self.model, self.features)

    def prepare(self) -> None:
        """Set taught classes and, unless a checkpoint has set them, contexts and bias from the labelled images.

        The bias makes the mean score of a class equal its rate (reconstruction). A class without labelled positives
        is masked in the losses: from negatives alone it would learn that it never occurs (reconstruction).

        Raises:
            DataError: model and data set disagree on the classes.
        """
        check_same_classes(self.model, self.dataset)
        print_log(labels_used(self.dataset), 'current')
        taught = taught_classes(self.dataset.labels)
        self.model.is_taught.copy_(taught if self.settings.mask_unseen_classes else torch.ones_like(taught))
        broadcast_from_first([self.model.is_taught])
        set_contexts(self.model, self.dataset, self.settings.context_seed)
        fit_centring(self.model, self._drawn_images)
        if self.settings.calibrate_bias and not bool(self.model.head.bias_is_calibrated):
            self._calibrate_bias()
        self.state.evidence_is_stale = True

    def _calibrate_bias(self) -> None:
        """Calibrate the bias of the student, and that of a teacher with older averages by its own scores."""
        teacher, student = self.model.teacher, self.model.scorer()
        is_one = teacher.equals(student)
        self._calibrate('student')
        if is_one:
            teacher.reset(student)
        else:
            with teacher.applied_to(student):
                self._calibrate('ema')
        self.model.head.bias_is_calibrated.fill_(True)
        self.model.unfold()

    def _calibrate(self, who: str) -> None:
        """Calibrate the bias that the head holds, by the scores of 'student' or 'ema'."""
        indices, head = self.dataset.labelled_indices, self.model.head
        logits = self.reader.rows(
            lambda local, pooled: self.model.alignment_of(local, pooled, who).logits, indices, 'Labelled images'
        )
        if is_main_process():
            labels = torch.as_tensor(self.dataset.labels[indices], device=head.bias.device)
            head.calibrate_bias(logits.to(head.bias.device), labels)
        broadcast_from_first([head.bias])

    def begin_epoch(self, epoch: int) -> EpochReport:
        """Score the unlabelled images, label them by the policy, and fill the bank; all ranks must call it.

        Each rank scores, labels and holds its share of the images.
        """
        self.refresh()
        indices = self.dataset.unlabelled_indices
        mine = indices[share_of_rank(len(indices))]
        scores = self.score_share(indices)
        readable = readable_rows(self.dataset, mine)
        truth = torch.as_tensor(self.dataset.hidden_labels[mine])
        truth[~readable] = -1
        pseudo_labels = self._oracle(truth) if self.settings.oracle else self._label(scores, readable)
        if self.settings.wrong_labels:
            pseudo_labels = pseudo_labels.with_errors(self.settings.wrong_labels, [self.seed, epoch])
        self.state.bank = PseudoLabelBank(self._unlabelled_ids(), pseudo_labels)
        return EpochReport(pseudo_labels, scores.numpy(), truth.numpy())

    def restore_bank(self, pseudo_labels: PseudoLabels) -> None:
        """Fill the bank with the labels (M, C) of all images, those of an epoch that a checkpoint has begun."""
        if self.settings.oracle:
            self.model.is_taught |= (pseudo_labels.labels == 1).any(0).to(self.model.is_taught.device)
        self.state.bank = PseudoLabelBank.of_all(self._unlabelled_ids(), pseudo_labels)

    def _unlabelled_ids(self) -> list[str]:
        return [self.dataset.image_ids[i] for i in self.dataset.unlabelled_indices]

    def score_share(self, indices: np.ndarray) -> Tensor:
        """Scores (m, C) of this rank's share of M images by the teacher, float32 on the CPU; see `Reader`."""
        return self.reader.share(self.model.score, indices, 'Pseudo-labels')

    def score(self, indices: np.ndarray, description: str = 'Labelled images') -> Tensor:
        """Scores (M, C) of M images by the teacher, float32 on the CPU, the same on every rank; see `Reader`."""
        return self.reader.rows(self.model.score, indices, description)

    def _label(self, scores: Tensor, readable: Tensor) -> PseudoLabels:
        policy = self.settings.policy
        labelled: tuple[Tensor, ...] = ()
        if needs_labelled(policy):
            indices = self.dataset.labelled_indices
            labelled_scores, known = self.score(indices), readable_rows(self.dataset, indices)
            labelled = labelled_scores[known], torch.as_tensor(self.dataset.labels[indices])[known]
        rates = torch.as_tensor(self.dataset.positive_rates())
        return label_rows(policy, scores, rates, readable, *labelled)

    def _oracle(self, truth: Tensor) -> PseudoLabels:
        """The hidden truth in place of pseudo-labels: an upper bound, for studies only."""
        self.model.is_taught |= (summed((truth == 1).sum(0)) > 0).to(self.model.is_taught.device)
        none = torch.full((truth.shape[1],), float('nan'))
        return PseudoLabels(truth, None, none, none)

    def targets(self, data_samples: Sequence[DataSample | KnownSample]) -> Targets:
        """The training targets of a batch: annotations of labelled images, pseudo-labels of the others.

        Each rank brings its part of the global batch: all must call it.
        """
        targets = Targets.of_annotations(data_samples)
        if self.state.bank is None:
            return targets
        unlabelled = ~targets.is_labelled
        ids = [sample.image_id for sample in data_samples if not sample.is_labelled]
        labels, weights = self.state.bank.lookup(ids)
        targets.labels[unlabelled] = labels.to(targets.labels)
        targets.weights[unlabelled] = weights.to(targets.weights)
        return targets._replace(is_semi_supervised=True)

    def after_step(self) -> None:
        """Update the teacher from the student (CAP: every step, warm-up included)."""
        self.model.teacher.update(self.model.scorer())
        self.model.unfold()
        self.state.evidence_is_stale = True

    def refresh(self) -> None:
        """Fit the evidence to the teacher as it stands, if the teacher has moved; all ranks must call it.

        Rank 0 fits and broadcasts: ranks that round differently would disagree on pseudo-labels.
        """
        is_fitted_here = self.model.evidence is not None or self.model.neighbours is not None
        if not is_fitted_here or not self.state.evidence_is_stale:
            return
        images = self._drawn_images()
        if is_main_process():
            self.state.readings = images.fit(self.model)
        broadcast_fitted(self.model)
        self.state.evidence_is_stale = False

    def _drawn_images(self) -> EvidenceImages:
        """The images that centring, evidence and neighbours are fitted to; all ranks must call it."""
        if self.images is None:
            options = self.settings.evidence_images, self.settings.evidence_seed
            self.images = EvidenceImages(self.features, self.dataset, *options)
        return self.images

    def stack_held_out(self, indices: np.ndarray, tuned: Tensor) -> None:
        """Fit the weights of the readings anew; all ranks must call it.

        `tuned` (h, C) are the readings of labelled images (h,) by prompts that did not see their labels.
        """
        self.refresh()
        evidence, readings = self.model.evidence, self.state.readings
        if evidence is not None and readings is not None:  # rank 0
            self._drawn_images().stack(evidence, readings, indices, tuned)
        broadcast_fitted(self.model)
