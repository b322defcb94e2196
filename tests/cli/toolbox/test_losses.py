"""mmpretrain's losses in `model.loss`."""

import pytest
import torch
from mmpretrain.registry import MODELS

from cssa_mm.engine.config.preparing import prepare_config
from cssa_mm.errors import ConfigError

KNOWN = 'on known cells; `reduction` counts over the known cells of the labelled and of the unlabelled part'
MULTI_LABEL = dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='multi_label', use_sigmoid=True)


def row(feature, verdict, note, *values):
    return pytest.param(*values, marks=pytest.mark.toolbox('Losses', feature, verdict, note), id=feature)


@pytest.mark.parametrize(
    'loss',
    [
        row('`CrossEntropyLoss(use_sigmoid=True)`', 'works', KNOWN, dict(type='CrossEntropyLoss', use_sigmoid=True)),
        row(
            '`class_weight`, `pos_weight`, `loss_weight`',
            'works',
            'weights of classes leave the context loss alone',
            dict(
                type='CrossEntropyLoss',
                use_sigmoid=True,
                class_weight=[1, 2, 3, 1, 2, 3],
                pos_weight=[2] * 6,
                loss_weight=3,
            ),
        ),
        row('`AsymmetricLoss`', 'works', f'{KNOWN}; its focusing has a gradient', dict(type='AsymmetricLoss')),
        row('`FocalLoss`', 'works', KNOWN, dict(type='FocalLoss', gamma=1.0)),
        row("`LabelSmoothLoss(mode='multi_label')`", 'works', KNOWN, MULTI_LABEL),
    ],
)
def test_a_loss_of_theirs_is_the_same_here_and_leaves_unknown_cells_alone(make_model, make_sample, loss):
    model = make_model(loss=loss, context_head=None)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[1, 0, 0, 1, 0, 1], [0, 1, 0, 0, 1, 0.0]])

    def loss_of(labels):
        samples = [make_sample(str(number), row) for number, row in enumerate(labels)]
        return model.loss(images, samples)['loss_labelled'].item()

    theirs = MODELS.build(loss)(model(images, mode='tensor'), labels)
    assert loss_of(labels) == pytest.approx(theirs.item(), rel=1e-5)
    rows = torch.cat([labels[:1], torch.full((1, 6), -1.0)])
    theirs = MODELS.build(loss)(model(images, mode='tensor')[:1], labels[:1])
    assert loss_of(rows) == pytest.approx(theirs.item(), rel=1e-5)


@pytest.mark.parametrize(
    ('loss', 'message'),
    [
        row(
            '`CrossEntropyLoss` (softmax), also with `use_soft`',
            'refused',
            'it couples the classes',
            dict(type='CrossEntropyLoss'),
            'found CrossEntropyLoss, which couples the classes .*use_sigmoid=True',
        ),
        row(
            '`AsymmetricLoss(use_sigmoid=False)`',
            'refused',
            'it couples the classes',
            dict(type='AsymmetricLoss', use_sigmoid=False),
            'found AsymmetricLoss, which couples',
        ),
        row(
            "`LabelSmoothLoss(mode='original')`",
            'refused',
            'it couples the classes',
            dict(type='LabelSmoothLoss', label_smooth_val=0.1),
            'found LabelSmoothLoss, which couples',
        ),
        row(
            '`class_weight` of another number of classes',
            'refused',
            '',
            dict(type='CrossEntropyLoss', use_sigmoid=True, class_weight=[1, 2]),
            'model.loss.class_weight: .* expected 6 numbers',
        ),
    ],
)
def test_a_loss_that_needs_all_labels_is_refused_when_the_model_is_built(make_model, loss, message):
    with pytest.raises(ConfigError, match=message):
        make_model(loss=loss)


@pytest.mark.parametrize(
    ('loss', 'message'),
    [
        row(
            '`SeesawLoss`',
            'not meant',
            'for one label an image',
            dict(type='SeesawLoss', _delete_=True),
            'found SeesawLoss, which is no loss of several labels',
        ),
        row(
            '`CosineSimilarityLoss`, `CAELoss`, `SwAVLoss`, `PixelReconstructionLoss`, `CrossCorrelationLoss`',
            'not meant',
            'for self-supervised learning',
            dict(type='CosineSimilarityLoss', _delete_=True),
            'found CosineSimilarityLoss, which is no loss of several labels',
        ),
        row(
            "`loss=dict(type='FocalLoss')` without `_delete_=True`",
            'refused',
            'keys of the inherited loss would stay',
            dict(type='FocalLoss'),
            r"gamma_negative, .* of MaskedAsymmetricLoss in a FocalLoss, .*dict\(_delete_=True, type='FocalLoss'",
        ),
    ],
)
def test_a_loss_of_another_task_is_refused_before_anything_is_built(tiny_config, loss, message):
    with pytest.raises(ConfigError, match=message):
        prepare_config(tiny_config(**{'model.loss': loss}))
