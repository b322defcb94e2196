"""Pretraining of the micro-CLIP: single pictographs, then scenes, then coarse names.

1. **Glyphs**: one pictograph on 64 px; a linear head on the pooled trunk beside a contrast with all names.
   Contrastive training on scenes from scratch stays at chance for minutes; this starts the trunk.
2. **Scenes** at 128 px with uniform co-occurrence: InfoNCE between global feature and caption, phrase losses
   (per name: is it in the scene?) on the global and on the log-sum-exp-pooled local features, and the linear
   head, pooled alike.
3. **Loose names**: the image tower is frozen and a fresh text tower learns the precise words and the class names,
   which people use for other pictographs too (captions.loose_usage): a gap that learned prompts can close.

Stages 1 and 2 name each pictograph by a precise word of its own ('cog' for the gear), never by its class.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from open_clip.model import CLIP
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader
from tqdm import tqdm

from cssa_mm.datasets.workers import WorkerStart
from cssa_mm.demo.clip import MODEL_DIR, MODEL_NAME, VOCABULARY, WEIGHTS
from cssa_mm.demo.clip.captions import caption, known_words, loose_usage, phrase, precise_name, write_vocabulary
from cssa_mm.demo.clip.recipe import C, PretrainingScenes, Recipe
from cssa_mm.demo.clip.towers import (
    SigmoidLoss,
    build,
    encode_text,
    feature_map,
    info_nce,
    local_features,
    save_weights,
)
from cssa_mm.demo.drawing import SceneStyle
from cssa_mm.demo.glyphs import CLASS_NAMES


def _progress(steps: int, title: str) -> tqdm:
    return tqdm(range(steps), desc=title, mininterval=1.0, dynamic_ncols=True)


class Pretraining:
    """Runs the three stages on one model."""

    def __init__(self, model: CLIP, tokenizer: SimpleTokenizer, recipe: Recipe, style: SceneStyle) -> None:
        torch.manual_seed(recipe.seed)
        self.model, self.tokenizer, self.recipe, self.style = model, tokenizer, recipe, style
        self.fresh_text = {k: v.clone() for k, v in model.state_dict().items() if not k.startswith('visual.')}
        self._restart()
        self.linear = nn.Linear(model.visual.attnpool.v_proj.in_features, 2 * C)
        for name, parameter in model.visual.named_parameters():
            if name.endswith('bn3.weight'):
                nn.init.ones_(parameter)  # open_clip starts them at zero, which delays a short training
        model.visual.to(memory_format=torch.channels_last)

    def _restart(self) -> None:
        self.rng = np.random.default_rng([self.recipe.seed, 99])
        self.local_loss, self.global_loss = SigmoidLoss(), SigmoidLoss()

    def _optimiser(self, modules: list[nn.Module], rate: float, steps: int) -> tuple[AdamW, OneCycleLR]:
        decayed: list[nn.Parameter] = []
        plain: list[nn.Parameter] = []
        for parameter in (p for module in modules for p in module.parameters() if p.requires_grad):
            (decayed if parameter.dim() > 1 else plain).append(parameter)
        groups = [
            dict(params=decayed, weight_decay=self.recipe.weight_decay),
            dict(params=plain, weight_decay=0.0),
        ]
        optimiser = AdamW(groups, lr=rate, betas=(0.9, 0.98))
        return optimiser, OneCycleLR(optimiser, rate, total_steps=max(steps, 2), pct_start=0.1, cycle_momentum=False)

    def _batches(self, first: int, steps: int, style: SceneStyle, single: bool) -> Iterator:
        batch_size = self.recipe.batch_size
        scenes = PretrainingScenes(self.recipe.seed, first, steps * batch_size, style, single)
        return iter(DataLoader(scenes, batch_size, num_workers=self.recipe.workers, worker_init_fn=WorkerStart()))

    def _half(self) -> torch.autocast:
        return torch.autocast('cpu', torch.bfloat16, enabled=self.recipe.bf16)

    def _texts(self, texts: list[str]) -> Tensor:
        return encode_text(self.model, self.tokenizer(texts))

    def _captions(self, present: Tensor, usage: np.ndarray | None = None) -> Tensor:
        """Captions of the pictographs present (B, 2C); loose names come from the usage table (C, 2C)."""
        recipe, texts = self.recipe, []
        for row in present:
            names = []
            for i in row.nonzero().flatten().tolist():
                if usage is not None and usage[:, i].any() and self.rng.random() < recipe.loose:
                    names.append(CLASS_NAMES[self.rng.choice(C, p=usage[:, i] / usage[:, i].sum())])
                else:
                    names.append(precise_name(self.rng, i, 0.0 if usage is None else recipe.compound))
            texts.append(caption(self.rng, names))
        return self._texts(texts)

    def _phrases(self, compound: float = 0.0) -> Tensor:
        return self._texts([phrase(self.rng, precise_name(self.rng, i, compound)) for i in range(2 * C)])

    def glyphs(self) -> None:
        """Stage 1."""
        steps = self.recipe.glyph_steps
        style = replace(self.style, canvas=64, letters=1.0, strokes=1.5)
        optimiser, schedule = self._optimiser(
            [self.model, self.local_loss, self.linear], self.recipe.learning_rate, steps
        )
        bar = _progress(steps, '1/3 glyphs')
        for _, (images, present) in zip(bar, self._batches(0, steps, style, True), strict=True):
            target = present.argmax(1)
            with self._half():
                features = feature_map(self.model.visual, images)
                seen = local_features(self.model.visual, features).float()
                phrases = self._phrases()
            linear = F.cross_entropy(self.linear(features.float().mean((2, 3))), target)
            cosines = seen @ phrases.float().T
            local = F.cross_entropy((self.local_loss.scale * cosines).logsumexp(1), target)
            self._step(optimiser, schedule, linear + local)
            bar.set_postfix(linear=f'{linear.item():.2f}', local=f'{local.item():.2f}')

    def scenes(self) -> None:
        """Stage 2."""
        steps = self.recipe.scene_steps
        modules = [self.model, self.linear, self.local_loss, self.global_loss]
        optimiser, schedule = self._optimiser(modules, self.recipe.learning_rate, steps)
        bar = _progress(steps, '2/3 scenes')
        batches = self._batches(1_000_000, steps, self.style, False)
        for _, (images, present) in zip(bar, batches, strict=True):
            with self._half():
                features = feature_map(self.model.visual, images)
                seen = local_features(self.model.visual, features).float()
                whole = F.normalize(self.model.visual.attnpool(features), dim=-1).float()
                phrases = self._phrases().float()
                captions = self._captions(present).float()
            losses = dict(
                contrast=info_nce(self.model, whole, captions),
                local=self.local_loss(seen @ phrases.T, present),
                whole=self.global_loss(whole @ phrases.T, present),
                linear=self._linear_loss(features.float(), present),
            )
            self._step(optimiser, schedule, sum(losses.values()))
            bar.set_postfix({name: f'{loss.item():.2f}' for name, loss in losses.items()})

    def _linear_loss(self, features: Tensor, present: Tensor) -> Tensor:
        logits = self.linear(features.flatten(2).transpose(1, 2)).logsumexp(1)
        return F.binary_cross_entropy_with_logits(logits - 5, present, reduction='none').sum(1).mean()

    def _step(self, optimiser: AdamW, schedule: OneCycleLR, loss: Tensor) -> None:
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()

    @torch.no_grad()
    def _frozen_features(self) -> list[Tensor]:
        batch_size = self.recipe.batch_size
        steps = max(1, self.recipe.text_scenes // batch_size)
        bar = _progress(steps, '3/3 features')
        rows = []
        for _, (images, present) in zip(bar, self._batches(9_000_000, steps, self.style, False), strict=True):
            features = feature_map(self.model.visual, images)
            whole = F.normalize(self.model.visual.attnpool(features), dim=-1)
            rows.append((local_features(self.model.visual, features), whole, present))
        return [torch.cat(column) for column in zip(*rows, strict=True)]

    def loose_names(self) -> None:
        """Stage 3: a fresh text tower learns all words, the class names as loosely as the usage table says."""
        self._restart()
        self.model.load_state_dict(self.fresh_text, strict=False)
        self.model.visual.eval().requires_grad_(False)
        features = self._frozen_features()
        recipe = self.recipe
        steps, rate = recipe.text_steps, recipe.text_learning_rate
        modules = [self.model, self.local_loss, self.global_loss]
        optimiser, schedule = self._optimiser(modules, rate, steps)
        usage = loose_usage(recipe.others, recipe.strength)
        bar = _progress(steps, '3/3 names')
        for _ in bar:
            rows = torch.from_numpy(self.rng.integers(len(features[0]), size=2 * recipe.batch_size))
            local, whole, present = (column[rows] for column in features)
            # A class name fits as far as people would use it for something in the scene.
            fitting = 1 - (1 - present[:, None] * torch.from_numpy(usage)).prod(2)
            targets = torch.cat([present, fitting], 1)
            names = self._texts([phrase(self.rng, name) for name in CLASS_NAMES])
            phrases = torch.cat([self._phrases(recipe.compound), names])
            losses = self.local_loss(local @ phrases.T, targets), self.global_loss(whole @ phrases.T, targets)
            few = slice(recipe.batch_size)
            captions = self._captions(present[few], usage)
            contrast = info_nce(self.model, whole[few], captions)
            self._step(optimiser, schedule, contrast + losses[0] + losses[1])
            bar.set_postfix(contrast=f'{contrast.item():.2f}', local=f'{losses[0].item():.2f}')
        self.model.visual.requires_grad_(True)

    def run(self) -> CLIP:
        """All stages; the model, in eval mode."""
        self.model.train()
        self.glyphs()
        self.scenes()
        self.loose_names()
        return self.model.eval()


def pretrain(out: str | os.PathLike, recipe: Recipe, threads: int = 1) -> Path:
    """Run the whole recipe and write configuration, vocabulary and weights to ``out``; returns the weights."""
    torch.set_num_threads(threads)
    torch.manual_seed(recipe.seed)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    write_vocabulary(out / VOCABULARY.name, known_words())
    shutil.copyfile(MODEL_DIR / f'{MODEL_NAME}.json', out / f'{MODEL_NAME}.json')
    model, tokenizer = build(out / VOCABULARY.name)
    Pretraining(model, tokenizer, recipe, SceneStyle()).run()
    save_weights(model, out / WEIGHTS.name)
    return out / WEIGHTS.name
