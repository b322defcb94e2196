"""A model whose teacher differs from its student, the toy data, and the algorithm on both."""

import numpy as np
import pytest
import torch
from mmpretrain.registry import DATASETS
from PIL import Image

from cssa_mm.datasets.view import View
from cssa_mm.features.frozen_features import FrozenFeatures
from cssa_mm.semi.policies import build_policy
from cssa_mm.semi.semi_supervision import SemiSupervision, Settings

# Of OpenAI's CLIP.
MEAN = 255 * torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
STD = 255 * torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)


@pytest.fixture
def dataset(tiny_config):
    """40 images, 16 of them labelled, six classes."""
    return DATASETS.build(tiny_config().train_dataloader.dataset)


@pytest.fixture
def model(make_model):
    """A model whose teacher and student differ."""
    model = make_model().train()
    torch.manual_seed(1)
    with torch.no_grad():
        for value in model.teacher.buffers():
            if value.is_floating_point():
                value.add_(0.3 * torch.randn_like(value))
    return model


@pytest.fixture
def algorithm(model, dataset):
    """algorithm(policy=dict(name='cat'), seed=0, oracle=True, ...) -> SemiSupervision on the model and the data."""

    def make(policy: dict | None = None, seed: int = 0, batch_size: int = 64, **settings) -> SemiSupervision:
        features = FrozenFeatures(model, dataset, View(size=None), batch_size=batch_size)
        chosen = build_policy(**(policy or dict(name='cat')))
        return SemiSupervision(model, dataset, features, Settings(policy=chosen, **settings), seed)

    return make


@pytest.fixture
def reference_scores(model, dataset):
    """reference_scores(indices) -> the teacher's scores: files opened one by one, averages copied into the head."""

    @torch.no_grad()
    def score(indices) -> torch.Tensor:
        own = [parameter.clone() for parameter in model.head.parameters()]
        averages = dict(model.teacher.named_buffers())
        for name, parameter in model.head.named_parameters():
            parameter.copy_(averages[name.replace('.', '__')])
        text = model.head.text_features(model.text_encoder)
        scores = []
        for path in (dataset.img_paths[index] for index in indices):
            pixels = torch.from_numpy(np.asarray(Image.open(path).convert('RGB')).copy()).permute(2, 0, 1).float()
            features = model.backbone(((pixels - MEAN) / STD)[None])
            scores.append(torch.sigmoid(model.head(*features, text).logits)[0])
        for parameter, value in zip(model.head.parameters(), own, strict=True):
            parameter.copy_(value)
        return torch.stack(scores)

    return score
