"""`visualization/vis_cam`: where the model looks for each label, as `cssa explain` draws it.

The tool follows gradients back into a layer of the model. The tower has none, as it is frozen; and what the prompt of a
label finds in the features of each position can be drawn directly.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from mmengine.config import DictAction

from cssa_mm.apis.config import load_config
from cssa_mm.apis.explaining import explain
from cssa_mm.apis.toolbox.opening import opened
from cssa_mm.errors import ConfigError
from cssa_mm.models import CSSAClassifier
from cssa_mm.visualization.explanation import Explanation
from cssa_mm.visualization.explanation_figure import MOST, explanation_figure
from cssa_mm.visualization.style import checked_picture, save_figure

DEFAULT = 6  # labels that are drawn where none is asked for
# Of gradients, and of the layers that they are followed to.
WITHOUT_EFFECT = ('target_layers', 'eigen_smooth', 'aug_smooth', 'vit_like', 'num_extra_tokens')


def run() -> str:
    """The same arguments as the tool; those of gradients have no effect, which one line says."""
    options = _parser().parse_args()
    config = load_config(options.config, overrides=options.cfg_options)
    model = opened(config, options.checkpoint, options.device)
    if options.preview_model:
        return f'{model}\n\n Please remove `--preview-model` to get the CAM.'
    scene = explanation_of(model, options.img, options.target_category)
    given = [f'--{name.replace("_", "-")}' for name in WITHOUT_EFFECT if getattr(options, name)]
    if options.method.lower() != 'gradcam':
        given.append('--method')
    lines = [
        "vis_cam: the tower is frozen and has no gradients; drawn is what each label's prompt finds in it"
        + (f' ({", ".join(given)} without effect)' if given else ''),
        *(f'{name}: score {score:.3f}' for name, score in zip(scene.names, scene.scores, strict=True)),
    ]
    figure = explanation_figure(scene)
    if options.save_path:
        lines.append(f'picture: {save_figure(figure, checked_picture(options.save_path))}')
    else:
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        window = plt.figure(figsize=figure.get_size_inches(), dpi=figure.dpi)
        window.figimage(np.asarray(canvas.buffer_rgba()))
        plt.show()
        plt.close(window)
    return '\n'.join(lines)


def explanation_of(model: CSSAClassifier, path: str, classes: list[int]) -> Explanation:
    """An image with where the model looks for these classes, by default for the labels that it gives the image.

    Raises:
        ConfigError: there is no such class, or the model has no attention.
        ImageError: the image is missing or unreadable.
    """
    count = len(model.class_names)
    if any(not 0 <= c < count for c in classes):
        raise ConfigError(f'--target-category: found {classes}, expected numbers from 0 to {count - 1}')
    labels = [model.class_names[c] for c in classes] or None
    (found,) = explain(model, path, labels=labels, max_labels=MOST if classes else DEFAULT)
    return found


def _parser() -> argparse.ArgumentParser:
    """The tool's own arguments: its script does not even start without the package that follows gradients."""
    parser = argparse.ArgumentParser(description='Where the model looks for each label')
    parser.add_argument('img', help='image file')
    parser.add_argument('config', help='config file, or the name of a shipped one')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--target-layers', default=[], nargs='+', help='without effect')
    parser.add_argument('--preview-model', action='store_true', help='print the model')
    parser.add_argument('--method', default='GradCAM', help='without effect')
    parser.add_argument('--target-category', default=[], nargs='+', type=int, help='numbers of labels')
    parser.add_argument('--eigen-smooth', action='store_true', help='without effect')
    parser.add_argument('--aug-smooth', action='store_true', help='without effect')
    parser.add_argument('--save-path', type=Path, help='picture to write; without it, it is shown')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--vit-like', action='store_true', help='without effect')
    parser.add_argument('--num-extra-tokens', type=int, help='without effect')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='overrides of the config')
    return parser
