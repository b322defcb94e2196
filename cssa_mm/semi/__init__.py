"""The semi-supervised algorithm: contexts, pseudo-labels, evidence and sampling."""

from cssa_mm.semi.pseudo_label_hook import PseudoLabelHook
from cssa_mm.semi.sampler import GlobalBatchSampler, SemiSupervisedSampler
from cssa_mm.semi.semi_supervision import SemiSupervision

__all__ = ['GlobalBatchSampler', 'PseudoLabelHook', 'SemiSupervisedSampler', 'SemiSupervision']
