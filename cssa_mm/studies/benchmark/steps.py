"""Rows of training steps: text alone, supervised, semi-supervised."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.optim import OptimWrapper
from torch import Tensor

from cssa_mm.models import CSSAClassifier
from cssa_mm.models.objective import Targets
from cssa_mm.studies.benchmark.formulas import (
    formula_logits,
    open_clip_of,
    prompts_of,
    tower_of,
    whole_prompts,
    whole_text,
)
from cssa_mm.studies.benchmark.measuring import Contest
from cssa_mm.studies.benchmark.published import CAP, DualCoOp, normalised
from cssa_mm.studies.benchmark.setting import Setting, random_images, random_targets, samples_of


def text(setting: Setting) -> Contest:
    """All prompts of 80 classes, two each, forward and backward to the learned vectors."""
    model = setting.model()
    whole = copy.deepcopy(tower_of(model.text_encoder)).requires_grad_(True)

    def ours() -> dict[str, Tensor]:
        features = model.head.text_features(model.text_encoder)
        return dict(semantic=features.semantic, **{'class': features.positive})

    def published() -> dict[str, Tensor]:
        return {name: whole_text(whole, *whole_prompts(model, prompts)) for name, prompts in prompts_of(model).items()}

    def backward(encode: Callable[[], dict[str, Tensor]]) -> list[Tensor]:
        features = encode()
        whole.zero_grad()
        model.zero_grad()
        generator = torch.Generator().manual_seed(0)
        sums = [(f * torch.randn(f.shape, generator=generator).to(f)).sum() for _, f in sorted(features.items())]
        torch.stack(sums).sum().backward()
        gradients = [prompts.context.grad for _, prompts in sorted(prompts_of(model).items())]
        return [f.detach() for _, f in sorted(features.items())] + [
            g / g.abs().max() for g in gradients if g is not None
        ]

    def difference() -> float:
        pairs = zip(backward(ours), backward(published), strict=True)
        return max(float((one - other).abs().max()) for one, other in pairs)

    return Contest(lambda: backward(ours), lambda: backward(published), difference=difference)


def supervised(setting: Setting) -> Contest:
    """A step on labelled images; the limit is open_clip's image tower on them, and our text."""
    count = setting.supervised_batch
    step = Step(setting, count, count)
    published = DualCoOp(step.model, step.images, step.targets.labels)

    def limit() -> None:
        bare_images(step.model, step.images)
        features = step.model.head.text_features(step.model.text_encoder)
        (features.positive.sum() + features.semantic.sum()).backward()

    return Contest(step.take, published.step, limit, step.difference)


def semi_supervised(setting: Setting) -> Contest:
    """The config's step on labelled and unlabelled images; the limit is open_clip's image tower on them."""
    step = whole_step(setting)
    published = CAP(step.images, step.targets.labels)
    return Contest(step.take, published.step, lambda: bare_images(step.model, step.images), step.difference)


def whole_step(setting: Setting) -> Step:
    """The config's step on labelled and unlabelled images, with the tower in it."""
    loader = setting.config().train_dataloader
    return Step(setting, loader.batch_size, loader.sampler.labelled_per_batch)


class Step:
    """A training step of ours on random images, as mmengine's runner takes it."""

    def __init__(self, setting: Setting, count: int, labelled: int, model: CSSAClassifier | None = None) -> None:
        self.model = setting.model() if model is None else model
        self.images = random_images(count, setting.side, setting.device)
        self.targets = random_targets(count, labelled, len(self.model.class_names), setting.device)
        self.samples = samples_of(self.targets)
        self.optimiser = optimiser_of(self.model)

    def take(self) -> None:
        """Losses, gradients, optimiser and teacher."""
        take_step(self.model, self.optimiser, dict(inputs=list(self.images), data_samples=self.samples), self.targets)

    @torch.no_grad()
    def difference(self) -> float:
        """The largest difference between scores of the student and those of the formulas."""
        images = normalised(self.model, self.images[:4])
        local, pooled = self.model.eval().backbone(images)
        own = self.model.logits(local, pooled, 'student')
        self.model.train()
        return float((torch.sigmoid(own) - torch.sigmoid(formula_logits(self.model, images))).abs().max())


def take_step(model: CSSAClassifier, optimiser: OptimWrapper, batch: dict, targets: Targets) -> None:
    """One step of training on a batch, as hook and runner do it."""
    trained: Any = model  # mmengine's
    trained.train_step(batch | dict(targets=targets), optimiser)
    model.teacher.update(model.scorer())
    model.unfold()


def optimiser_of(model: CSSAClassifier) -> OptimWrapper:
    """AdamW on what learns; it moves slowly, so that each step does the same work."""
    return OptimWrapper(torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-6))


@torch.no_grad()
def bare_images(model: CSSAClassifier, images: Tensor) -> Tensor:
    """Unit features (B, D) of uint8 images by open_clip alone."""
    return F.normalize(open_clip_of(model).encode_image(normalised(model, images)), dim=-1)
