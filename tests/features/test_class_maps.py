import numpy as np
import pytest
import torch
from mmpretrain.registry import DATASETS

from cssa_mm.datasets.view import View
from cssa_mm.errors import ConfigError
from cssa_mm.features.class_maps import class_maps, to_grid
from cssa_mm.features.encode import encode
from cssa_mm.features.label_maps import label_maps, label_text

VIEW = View(size=None)


@pytest.fixture
def dataset(tiny_config):
    return DATASETS.build(tiny_config().train_dataloader.dataset)


@torch.no_grad()
def test_maps_are_the_attention_and_the_similarity_of_each_position_to_the_name(make_model, dataset):
    model, indices = make_model(view=VIEW.as_config()), [3, 20, 5]
    (maps,) = class_maps(model, dataset, indices, '')
    assert {name: found.values.shape for name, found in maps.items()} == {
        name: (3, 6, 2, 2) for name in ('shown', 'attention', 'cosine', 'dot')
    }
    for found in maps.values():  # the cells of a CLIP ResNet lie in their middles
        assert found.rows.tolist() == found.columns.tolist() == [0.25, 0.75]
    ((local, pooled),) = encode(model, dataset, indices, VIEW, '')
    own = label_maps(model, local, label_text(model), (64, 64)).values
    np.testing.assert_allclose(maps['shown'].values, own, rtol=1e-5)
    attention = model.alignment_of(local, pooled).attention
    for image in range(3):
        for index, name in enumerate(model.class_names):
            text = model.text_encoder.encode([f'a photo of a {name}.'])[0]
            text = text / text.norm()
            for position in range(4):
                row, column = divmod(position, 2)
                vector = local[image, 1 + position]  # behind the global token
                expected = dict(
                    attention=attention[image, index, 1 + position],
                    dot=vector @ text,
                    cosine=vector @ text / vector.norm(),
                )
                for kind, value in expected.items():
                    found = maps[kind].values[image, index, row, column]
                    assert found == pytest.approx(float(value), rel=1e-4, abs=1e-5)


def test_a_model_that_aligns_the_global_feature_has_no_maps(make_model, dataset):
    model = make_model(
        view=VIEW.as_config(), head=dict(label_specific=False, prompts=dict(num_context=2)), context_head=None
    )
    with pytest.raises(ConfigError, match='^model.head.label_specific: found False'):
        next(class_maps(model, dataset, [0], ''))


def test_positions_are_laid_out_row_by_row():
    values = torch.arange(10.0).reshape(1, 1, 10)
    assert to_grid(values, has_global_token=True)[0, 0].tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert to_grid(values[..., 1:], has_global_token=False)[0, 0].tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    with pytest.raises(ConfigError, match='found 10 positions, which are not a square grid'):
        to_grid(values, has_global_token=False)
