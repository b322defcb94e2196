"""What vis_tsne and vis_cam show: label-specific features of positive cells, and where the model looks for a label."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmpretrain.registry import DATASETS

from cssa_mm.apis.explaining import explain
from cssa_mm.apis.toolbox.attention_map import explanation_of
from cssa_mm.apis.toolbox.tsne import chosen_cells, chosen_classes, embedded, stage_features
from cssa_mm.errors import ConfigError, ImageError
from cssa_mm.features.view import view_of
from cssa_mm.visualization.scatter_figure import SEVERAL, draw_points
from cssa_mm.visualization.style import new_figure


@pytest.fixture
def model_and_data(make_model, tiny_config):
    config = tiny_config()
    model = make_model(view=dict(config.view)).eval()
    return model, DATASETS.build(config.test_dataloader.dataset), view_of(config)


def pixels_of(view, path):
    return torch.from_numpy(view.of_image(view.load(path)).transpose(2, 0, 1).copy())


def test_a_point_is_the_feature_that_the_attention_pools_for_a_class_of_an_image(model_and_data):
    model, dataset, view = model_and_data
    cells = chosen_cells(dataset.labels, [0, 2], 3)
    assert len(cells) <= 6
    assert all(dataset.labels[row, c] == 1 for row, c in cells)
    features, owners = stage_features(model, dataset, cells, 'pre_logits')
    assert owners.tolist() == [c for _, c in cells]
    for feature, (row, c) in zip(features, cells, strict=True):
        inputs = model.data_preprocessor(dict(inputs=[pixels_of(view, dataset.img_paths[row])]))['inputs']
        local, pooled = model.backbone(inputs)
        unit = F.normalize(local, dim=-1)[0]
        weights = torch.softmax(20.0 * unit @ model.head.text_features(model.text_encoder).semantic[c], dim=0)
        expected = F.normalize(weights @ unit, dim=0)
        torch.testing.assert_close(torch.from_numpy(feature), expected, rtol=1e-4, atol=1e-5)


def test_global_features_are_one_point_an_image(model_and_data):
    model, dataset, _ = model_and_data
    cells = chosen_cells(dataset.labels, list(range(6)), 100)
    features, owners = stage_features(model, dataset, cells, 'backbone')
    counts = (dataset.labels == 1).sum(axis=1)
    assert len(features) == (counts > 0).sum()
    assert (owners == SEVERAL).sum() == (counts > 1).sum()
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)


def test_classes_and_perplexity_are_checked():
    assert chosen_classes(6, None, 4) == [0, 1, 2, 3]
    assert chosen_classes(6, [5, 1, 5], 4) == [5, 1]
    with pytest.raises(ConfigError, match='--class-idx: found 6, expected 0 to 5'):
        chosen_classes(6, [6], 4)
    options = SimpleNamespace(
        perplexity=3.0, n_components=2, early_exaggeration=12.0, learning_rate=200.0, n_iter=250,
        n_iter_without_progress=50, init='random',
    )  # fmt: skip
    features = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
    np.testing.assert_array_equal(embedded(features, options, 1), embedded(features, options, 1))
    options.perplexity = 30.0
    with pytest.raises(ConfigError, match='--perplexity: found 30 for 12 points'):
        embedded(features, options, 1)


def test_every_point_is_drawn_in_the_colour_of_its_class():
    figure = new_figure(4, 4)
    owners = np.array([0, 1, 1, SEVERAL, 21])
    draw_points(figure, np.arange(10.0).reshape(5, 2), owners, [f'class {c}' for c in range(22)], 'title', True)
    drawn = {each.get_label(): len(each.get_offsets()) for each in figure.axes[0].collections}
    assert drawn == {'several classes': 1, 'class 0': 1, 'class 1': 2, 'class 21': 1}
    colours = {tuple(each.get_facecolor()[0]) for each in figure.axes[0].collections}
    assert len(colours) == 3  # 21 is drawn like 1, with another marker


def test_the_map_of_a_label_is_that_of_explain(model_and_data):
    model, dataset, _ = model_and_data
    path = dataset.img_paths[0]
    found = explanation_of(model, path, [4, 1])
    (expected,) = explain(model, path, labels=['table', 'cat'])
    assert found.names == expected.names
    assert set(found.names) == {'table', 'cat'}
    np.testing.assert_array_equal(found.maps, expected.maps)
    assert found.scores == expected.scores


def test_labels_that_the_model_gives_are_drawn_by_default(model_and_data):
    model, dataset, _ = model_and_data
    scene = explanation_of(model, dataset.img_paths[1], [])
    assert scene.scores == tuple(sorted(scene.scores, reverse=True))
    assert 1 <= len(scene.names) <= 6
    with pytest.raises(ConfigError, match='--target-category'):
        explanation_of(model, dataset.img_paths[0], [6])
    with pytest.raises(ImageError):
        explanation_of(model, 'nowhere.jpg', [0])
