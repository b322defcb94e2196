"""One training step of two published methods, written here from their descriptions.

DualCoOp (Sun et al., NeurIPS 2022): a positive and a negative prompt for each class on a frozen CLIP, scored at each
position and summed by a softmax over the positions. The text tower runs over all 77 tokens, and its weights get
gradients that nobody uses.

CAP (Xie et al., NeurIPS 2023): a whole ResNet-50 is trained, with an exponential average of all of its weights, which
scores decoded images once an epoch.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from torch import Tensor, nn

from cssa_mm.models import CSSAClassifier
from cssa_mm.models.losses import MaskedAsymmetricLoss
from cssa_mm.studies.benchmark.formulas import prompts_of, tower_of, whole_prompts, whole_text

TEMPERATURE = 20.0
EMA_DECAY = 0.9997


class DualCoOp:
    """A training step of DualCoOp on the tower and the class names of a model of ours."""

    def __init__(self, model: CSSAClassifier, images: Tensor, labels: Tensor) -> None:
        self.model = model
        self.images, self.labels = images, labels
        self.text = copy.deepcopy(tower_of(model.text_encoder)).requires_grad_(True)
        prompts = list(prompts_of(model).values())
        self.prompts = [copy.deepcopy(prompts[0]), copy.deepcopy(prompts[-1])]
        self.loss = MaskedAsymmetricLoss()
        learned = [parameter for prompt in self.prompts for parameter in prompt.parameters()]
        self.optimiser = torch.optim.SGD(learned, lr=0.002)

    def step(self) -> None:
        """One step on the batch."""
        with torch.no_grad():
            local = F.normalize(self.model.backbone(normalised(self.model, self.images))[0], dim=-1)
        answers = []
        for prompt in self.prompts:
            text = whole_text(self.text, *whole_prompts(self.model, prompt))
            cosines = text @ local.transpose(1, 2)  # (B, C, N)
            answers.append((torch.softmax(TEMPERATURE * cosines, -1) * cosines).sum(-1))
        loss = self.loss(TEMPERATURE * (answers[0] - answers[1]), self.labels)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()


class CAP:
    """A training step of CAP on a ResNet-50 of torchvision."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels
        self.student = published_network(labels.shape[1]).to(images.device)
        self.teacher = copy.deepcopy(self.student).eval()
        self.loss = MaskedAsymmetricLoss()
        self.optimiser = torch.optim.AdamW(self.student.parameters(), lr=1e-4)

    def step(self) -> None:
        """One step on the batch, all weights of the network included."""
        loss = self.loss(self.student.train()(self.images.float() / 255), self.labels)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        with torch.no_grad():
            pairs = zip(self.teacher.state_dict().values(), self.student.state_dict().values(), strict=True)
            for average, own in pairs:
                if average.is_floating_point():
                    average.lerp_(own, 1 - EMA_DECAY)
                else:
                    average.copy_(own)


def published_network(classes: int) -> nn.Module:
    """The network of CAP with random weights."""
    return torchvision.models.resnet50(num_classes=classes)


@torch.no_grad()
def published_scores(network: nn.Module, paths: Sequence[str], side: int, batch_size: int = 16) -> Tensor:
    """Scores (M, C) of M photos as CAP's pass for pseudo-labels gives them: each is decoded and goes through it."""
    parts = []
    for start in range(0, len(paths), batch_size):
        views = [_plain(path, side) for path in paths[start : start + batch_size]]
        parts.append(torch.sigmoid(network.eval()(torch.stack(views))))
    return torch.cat(parts)


def published_pair(path: str, side: int, augment: Any) -> tuple[Tensor, Tensor]:
    """Weak and strong view (3, side, side) of a photo as CAP draws them: one decoding, each view resized by itself."""
    image = Image.open(path).convert('RGB')
    size = (side, side)
    weak = _tensor(image.resize(size, Image.Resampling.BICUBIC))
    return weak, _tensor(augment(image.resize(size, Image.Resampling.BICUBIC)))


def normalised(model: CSSAClassifier, images: Tensor) -> Tensor:
    """Images (B, 3, H, W) of 0..255 as the tower takes them."""
    preprocessor: Any = model.data_preprocessor
    return (images.float() - preprocessor.mean) / preprocessor.std


def _plain(path: str, side: int) -> Tensor:
    return _tensor(Image.open(path).convert('RGB').resize((side, side), Image.Resampling.BICUBIC))


def _tensor(image: Image.Image) -> Tensor:
    return torchvision.transforms.functional.to_tensor(image)
