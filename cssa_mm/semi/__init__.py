"""The semi-supervised algorithm: contexts, teacher, pseudo-labels and sampling."""

from cssa_mm.semi.evidence_hook import EvidenceHook
from cssa_mm.semi.labelled_statistics import LabelledStatisticsHook
from cssa_mm.semi.pseudo_label_hook import PseudoLabelHook
from cssa_mm.semi.sampler import GlobalBatchSampler, SemiSupervisedSampler
from cssa_mm.semi.teacher_hook import TeacherHook

__all__ = [
    'EvidenceHook',
    'GlobalBatchSampler',
    'LabelledStatisticsHook',
    'PseudoLabelHook',
    'SemiSupervisedSampler',
    'TeacherHook',
]
