"""Multi-label metrics and the quality of pseudo-labels."""

from cssa_mm.evaluation.metrics import average_precision_per_class, cf1_of1, mean_average_precision
from cssa_mm.evaluation.multilabel_metric import CSSAMetric
from cssa_mm.evaluation.pseudo_label_quality import format_table, pseudo_label_quality

__all__ = [
    'CSSAMetric',
    'average_precision_per_class',
    'cf1_of1',
    'format_table',
    'mean_average_precision',
    'pseudo_label_quality',
]
