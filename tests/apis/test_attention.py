"""Oracle: attention and scores of the images one by one, by the model's own parts."""

import numpy as np
import torch
from mmpretrain.registry import DATASETS
from PIL import Image

from cssa_mm.apis.attention import label_attention


def test_the_best_labels_of_an_image_come_with_score_truth_and_map(make_model, tiny_config):
    model = make_model(view=dict(type='View', size=None)).eval()
    dataset = DATASETS.build(tiny_config().test_dataloader.dataset)
    found = label_attention(model, dataset, [4, 1], num_labels=2)
    assert len(found) == 2
    for index, one in zip([4, 1], found, strict=True):
        image = np.asarray(Image.open(dataset.img_paths[index]).convert('RGB'))
        np.testing.assert_array_equal(one.image, image)
        pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float()
        mean, std = model.data_preprocessor.mean, model.data_preprocessor.std
        with torch.no_grad():
            local, pooled = model.backbone((pixels - mean) / std)
            alignment = model.alignment_of(local, pooled)
        scores = alignment.logits[0].sigmoid()
        best = scores.argsort(descending=True)[:2].tolist()
        assert one.names == [model.class_names[c] for c in best]
        np.testing.assert_allclose(one.scores, scores[best], rtol=1e-4)
        assert one.is_true == [bool(dataset.labels[index, c] == 1) for c in best]
        for c, heat in zip(best, one.maps, strict=True):
            assert heat.shape == (64, 64)
            assert (heat.min(), heat.max()) == (0, 1)
            grid = alignment.attention[0, c][1:].reshape(2, 2)  # without the global token
            row, column = np.unravel_index(heat.argmax(), heat.shape)
            assert (row // 32) * 2 + column // 32 == int(grid.argmax())


def test_the_best_labels_of_a_model_with_evidence_are_those_of_its_scores(make_model, tiny_config):
    """Its prompts alone would choose others: here the evidence turns the order round."""
    model = make_model(view=dict(type='View', size=None), evidence=dict(), context_head=None).eval()
    dataset = DATASETS.build(tiny_config().test_dataloader.dataset)
    (plain,) = label_attention(model, dataset, [4], num_labels=6)
    with torch.no_grad():
        model.evidence.weights.copy_(torch.tensor([-0.5, -0.5, 0.0]))
    model.evidence.is_fitted.fill_(True)
    (turned,) = label_attention(model, dataset, [4], num_labels=6)
    assert turned.names == plain.names[::-1]
    assert turned.scores == sorted(turned.scores, reverse=True)
