"""Models: the frozen towers, the prompts and the heads."""

from cssa_mm.models.alignment_head import LabelAlignmentHead
from cssa_mm.models.classifier import CSSAClassifier
from cssa_mm.models.clip_backbone import OpenCLIPBackbone
from cssa_mm.models.context_head import ContextHead
from cssa_mm.models.evidence import DiscriminantEvidence
from cssa_mm.models.losses import MaskedAsymmetricLoss
from cssa_mm.models.neighbours import Neighbours
from cssa_mm.models.preprocessor import CSSADataPreprocessor
from cssa_mm.models.test_time import AverageViewsTTA

__all__ = [
    'AverageViewsTTA',
    'CSSAClassifier',
    'CSSADataPreprocessor',
    'ContextHead',
    'DiscriminantEvidence',
    'LabelAlignmentHead',
    'MaskedAsymmetricLoss',
    'Neighbours',
    'OpenCLIPBackbone',
]
