"""`visualization/vis_cam`: where the model looks for each label, by its own attention.

The tool follows gradients back into a layer of the model. The tower has none, as it is frozen; and the attention, by
which the features of a label are pooled, says directly which positions its score is read from.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from mmengine.config import DictAction

from cssa_mm.apis.config import load_config
from cssa_mm.apis.toolbox.opening import opened
from cssa_mm.errors import ConfigError
from cssa_mm.features.class_maps import to_grid
from cssa_mm.features.view import model_view
from cssa_mm.models import CSSAClassifier
from cssa_mm.visualization.attention import LabelAttention, draw_attention, stretch
from cssa_mm.visualization.style import checked_picture, new_figure, save_figure

MOST = 6  # labels that are drawn where none is asked for
# Of gradients, and of the layers that they are followed to.
WITHOUT_EFFECT = ('target_layers', 'eigen_smooth', 'aug_smooth', 'vit_like', 'num_extra_tokens')


def run() -> str:
    """The same arguments as the tool; those of gradients have no effect, which one line says."""
    options = _parser().parse_args()
    config = load_config(options.config, overrides=options.cfg_options)
    model = opened(config, options.checkpoint, options.device)
    if options.preview_model:
        return f'{model}\n\n Please remove `--preview-model` to get the CAM.'
    scene = attention_of(model, options.img, options.target_category)
    given = [f'--{name.replace("_", "-")}' for name in WITHOUT_EFFECT if getattr(options, name)]
    if options.method.lower() != 'gradcam':
        given.append('--method')
    lines = [
        "vis_cam: the tower is frozen and has no gradients; drawn is the model's own attention of each label"
        + (f' ({", ".join(given)} without effect)' if given else ''),
        *(f'{name}: score {score:.3f}' for name, score in zip(scene.names, scene.scores, strict=True)),
    ]
    size = (2.6 * (1 + len(scene.names)), 3.0)
    figure = new_figure(*size) if options.save_path else plt.figure(figsize=size, layout='constrained')
    axes = figure.subplots(1, 1 + len(scene.names))
    draw_attention(axes, scene)
    for each in axes:
        each.set_axis_off()
    if options.save_path:
        lines.append(f'picture: {save_figure(figure, checked_picture(options.save_path))}')
    else:
        plt.show()
        plt.close(figure)
    return '\n'.join(lines)


@torch.no_grad()
def attention_of(model: CSSAClassifier, path: str, classes: list[int]) -> LabelAttention:
    """An image with the attention of these classes, by default of the labels that the model gives it.

    Raises:
        ConfigError: there is no such class, or the model has no attention.
        ImageError: the image is missing or unreadable.
    """
    count = len(model.class_names)
    if any(not 0 <= c < count for c in classes):
        raise ConfigError(f'--target-category: found {classes}, expected numbers from 0 to {count - 1}')
    view = model_view(model)
    image = view.load(path)
    pixels = torch.from_numpy(np.ascontiguousarray(view.of_image(image).transpose(2, 0, 1)))
    inputs = model.data_preprocessor(dict(inputs=[pixels]))['inputs']
    local, pooled = model.backbone(inputs)
    attention = model.alignment_of(local, pooled).attention
    if attention is None:
        raise ConfigError('model.head.label_specific: found False, which has no attention, expected True')
    sample = model.predict(inputs)[0]
    if not classes:
        classes = sample.pred_label.tolist() or [int(sample.pred_score.argmax())]
        classes = sorted(classes, key=lambda c: -float(sample.pred_score[c]))[:MOST]
    maps = to_grid(attention, model.backbone.global_token)[0].cpu()
    return LabelAttention(
        image=image,
        names=[model.class_names[c] for c in classes],
        scores=[float(sample.pred_score[c]) for c in classes],
        is_true=[True] * len(classes),  # nobody knows
        maps=[stretch(maps[c], image.shape[:2]) for c in classes],
    )


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
