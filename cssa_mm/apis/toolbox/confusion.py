"""`analysis_tools/confusion_matrix`: one 2 x 2 table for each class, with the labels that the model gave.

The tool makes one table of all classes, which needs one label an image.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import matplotlib.pyplot as plt
import mmengine
from matplotlib import colormaps

from cssa_mm.apis.config import load_config
from cssa_mm.apis.toolbox import predictions
from cssa_mm.errors import ConfigError, nearest
from cssa_mm.evaluation.confusion import confusion_tables
from cssa_mm.evaluation.text_table import aligned
from cssa_mm.files import replacing
from cssa_mm.visualization.confusion_figure import draw_confusion, size_of
from cssa_mm.visualization.style import new_figure, save_figure

SUFFIXES = ('.pkl', '.pickle', '.json', '.yaml', '.yml')


def run(tool: ModuleType) -> str:
    """The same arguments as the tool; `--out` gets the tables, (C, 2, 2), in the order of the classes."""
    options = tool.parse_args()
    if options.out is not None and not options.out.endswith(SUFFIXES):
        raise ConfigError(f"--out: found '{options.out}', expected a name that ends with {', '.join(SUFFIXES)}")
    if options.cmap not in colormaps:
        raise ConfigError(
            f"--cmap: found '{options.cmap}', expected one of matplotlib.{nearest(options.cmap, colormaps)}"
        )
    config = load_config(options.config, overrides=options.cfg_options)
    if options.ckpt_or_result.endswith('.pth'):
        found = predictions.predict(options.config, options.ckpt_or_result, options.cfg_options)
    else:
        found = predictions.read(options.ckpt_or_result)
    names = predictions.class_names(config, found.truth.shape[1])
    tables = confusion_tables(found.predicted, found.truth)
    unknown = (found.truth < 0).sum(axis=0)
    rows = [['class', 'TN', 'FP', 'FN', 'TP', 'unknown']]
    rows += [
        [name, *map(str, table.ravel()), str(left_out)]
        for name, table, left_out in zip(names, tables, unknown, strict=True)
    ]
    lines = [
        aligned(rows),
        f"{len(found.truth)} images, labels by the model's own thresholds; unknown cells are left out",
    ]
    if options.out is not None:
        is_binary = Path(options.out).suffix in ('.pkl', '.pickle')
        with replacing(options.out) as partial:
            mmengine.dump(tables if is_binary else tables.tolist(), str(partial))
        lines.append(f'The tables are saved at {options.out}.')
    if options.show or options.show_path is not None:
        size = size_of(len(names))
        figure = plt.figure(figsize=size, layout='constrained') if options.show else new_figure(*size)
        draw_confusion(figure, tables, names, options.include_values, options.cmap)
        if options.show_path is not None:
            lines.append(f'The confusion matrix is saved at {save_figure(figure, options.show_path)}.')
        if options.show:
            plt.show()
            plt.close(figure)
    return '\n'.join(lines)
