"""`analysis_tools/eval_metric`: metrics of a file of predictions, unless one counts unknown cells as wrong."""

from __future__ import annotations

from types import ModuleType

from mmpretrain.registry import METRICS

from cssa_mm.apis.toolbox import predictions
from cssa_mm.engine.config.metrics import check_metric
from cssa_mm.errors import ConfigError, nearest

KNOW_UNKNOWN = ('CSSAMetric', 'AveragePrecision', 'VOCMultiLabelMetric', 'VOCAveragePrecision')


def run(tool: ModuleType) -> None:
    """Run the tool.

    Raises:
        ConfigError: no metric is asked for, or one that takes unknown cells for labels.
        DataError: the file holds no predictions.
    """
    options = tool.parse_args()
    kinds = [
        part.split('=', 1)[1] for metric in options.metric_options or () for part in metric if part.startswith('type=')
    ]
    if not kinds or len(kinds) < len(options.metric_options):
        raise ConfigError('--metric: found none with a type, expected one such as --metric type=CSSAMetric')
    bare = [part for metric in options.metric_options for part in metric if '=' not in part]
    if bare:
        raise ConfigError(f"--metric: found '{bare[0]}', expected KEY=VALUE, such as type=CSSAMetric")
    for kind in kinds:
        if kind not in METRICS:
            raise ConfigError(
                f"--metric: found type='{kind}', expected one such as CSSAMetric.{nearest(kind, METRICS.module_dict)}"
            )
        if kind not in KNOW_UNKNOWN:
            check_metric(dict(type=kind), '--metric')
    unknown = int((predictions.read(options.pkl_results).truth < 0).sum())
    others = [kind for kind in kinds if kind not in KNOW_UNKNOWN]
    if unknown and others:
        raise ConfigError(
            f'--metric: found {others[0]}, which would count the {unknown} unknown cells of {options.pkl_results} as '
            f'labels, expected one that leaves them out: {", ".join(KNOW_UNKNOWN[:2])}'
        )
    tool.main()
