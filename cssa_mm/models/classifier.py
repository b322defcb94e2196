"""CSSAClassifier: the frozen tower, the prompts, their teacher and the losses, in the order of the paper."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, cast

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.logging import print_log
from mmpretrain.models.classifiers.base import BaseClassifier
from mmpretrain.registry import MODELS, TRANSFORMS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from cssa_mm.errors import ConfigError
from cssa_mm.models.alignment_head import Alignment, LabelAlignmentHead, TextFeatures
from cssa_mm.models.class_names import Source, resolve_classes
from cssa_mm.models.context_head import ContextHead, adapted_contexts
from cssa_mm.models.description import with_defaults
from cssa_mm.models.evidence import DiscriminantEvidence
from cssa_mm.models.identity import CheckpointIdentity
from cssa_mm.models.label_features import LabelFeatures, LocalFeatures
from cssa_mm.models.neighbours import Neighbours
from cssa_mm.models.objective import SemiSupervisedObjective, Targets
from cssa_mm.models.predictions import set_predictions
from cssa_mm.models.preprocessor import with_pixel_statistics
from cssa_mm.models.teacher import ParameterEMA
from cssa_mm.models.text_encoder import TextEncoder
from cssa_mm.models.toolbox_losses import cell_loss
from cssa_mm.values import NotNegative

Features = tuple[Tensor, Tensor]  # local (B, N, D) and global (B, D)
Batch = list[DataSample] | None


@MODELS.register_module()
class CSSAClassifier(CheckpointIdentity, BaseClassifier):
    """Semi-supervised multi-label classifier (paper; every weight is a reconstruction).

    Args:
        backbone: config of `OpenCLIPBackbone`.
        class_names: a list of readable names, a dict name -> prompt or prompts, a class file or label file, or the type
            name or config of a data set that knows its classes.
        head: config of `LabelAlignmentHead`.
        context_head: config of `ContextHead`; None leaves the context task out.
        loss: config of `MaskedAsymmetricLoss` or of a loss of mmpretrain (`ToolboxLoss`).
        unlabelled_weight: lambda_u.
        context_weight: lambda_c.
        ema: options of `ParameterEMA`: decay, warm_up.
        evidence: config of `DiscriminantEvidence`, whose logits replace the teacher's (ours); None: as in the paper.
        neighbours: config of `Neighbours`, which smooths the teacher's readings over like images (ours).
        data_preprocessor: `CSSADataPreprocessor`; mean and std default to those of the tower.
        view: config of the view (`View`) that images are scored on, which the checkpoint keeps; the config's `view`.
    """

    data_preprocessor: nn.Module
    head: LabelAlignmentHead
    context_head: ContextHead | None
    evidence: DiscriminantEvidence | None
    neighbours: Neighbours | None
    is_taught: Tensor

    def __init__(
        self,
        backbone: dict,
        class_names: Source,
        head: dict | None = None,
        context_head: dict | None = None,
        loss: dict | None = None,
        unlabelled_weight: NotNegative = 1.0,
        context_weight: NotNegative = 1.0,
        ema: dict | None = None,
        evidence: dict | None = None,
        neighbours: dict | None = None,
        data_preprocessor: dict | None = None,
        view: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        built = MODELS.build(backbone)
        # Built here: mmengine would look for it in the default scope, which only a Runner sets.
        super().__init__(init_cfg, MODELS.build(with_pixel_statistics(data_preprocessor, built.clip)))
        self.backbone = built
        self.class_words = resolve_classes(class_names)
        self.class_names = list(self.class_words.names)
        self.view = None if view is None else TRANSFORMS.build(dict(view))
        self.forget_thresholds()  # found after training (`CalibrationHook`), they travel with the checkpoint
        self.text_encoder = TextEncoder(built.clip)
        contexts = None if context_head is None else with_defaults('ContextHead', context_head)
        contexts, line = adapted_contexts(contexts, len(self.class_names))
        if line:
            print_log(line, 'current', logging.WARNING)
        self.options = dict(
            head=with_defaults('LabelAlignmentHead', head or {}),
            context_head=contexts,
            evidence=None if evidence is None else with_defaults('DiscriminantEvidence', evidence),
            neighbours=None if neighbours is None else with_defaults('Neighbours', neighbours),
        )
        words = dict(encoder=self.text_encoder, class_names=self.class_words.wordings)
        self.head = MODELS.build(self.options['head'] | words)
        with torch.no_grad():
            embed_dim = self.text_encoder.encode(self.class_words.prompts[0][:1]).shape[1]
            anchor = None if evidence is None else self.head.text_features(self.text_encoder)
        sizes = dict(num_classes=len(self.class_names), embed_dim=embed_dim)
        self.context_head = None if contexts is None else MODELS.build(contexts | sizes)
        self.objective = SemiSupervisedObjective(cell_loss(loss, self.class_names), unlabelled_weight, context_weight)
        self.teacher = ParameterEMA(self.scorer(), **(ema or {}))
        self.evidence = self.neighbours = None
        if evidence is not None:
            self.evidence = MODELS.build(self.options['evidence'] | dict(anchor_text=anchor))
        if neighbours is not None:
            readings = dict(num_readings=1 if evidence is None else 2)
            self.neighbours = MODELS.build(self.options['neighbours'] | sizes | readings)
        # A class without labelled positives is left as CLIP knows it (reconstruction).
        self.register_buffer('is_taught', torch.ones(len(self.class_names), dtype=torch.bool))
        self._folded: dict[str, TextFeatures] = {}

    def loss(
        self,
        inputs: Tensor,
        data_samples: list[DataSample],
        targets: Targets | None = None,
        features: Features | None = None,
    ) -> dict[str, Tensor]:
        """The losses of one step on this rank's share of the global batch.

        Args:
            inputs: images (B, 3, H, W); not read where `features` are given.
            targets: training targets of the images; by default those of their annotations.
            features: local (B, N, D) and global (B, D) features, if they are already known.
        """
        targets = Targets.of_annotations(data_samples) if targets is None else targets
        alignment = self.align(*(self.backbone(inputs) if features is None else features))
        return self.objective(alignment, targets, self.is_taught, self.context_head)

    def align(self, local: Tensor, pooled: Tensor) -> Alignment:
        """The student's alignment of local (B, N, D) and global (B, D) features, with gradients to the prompts."""
        alignment = self.head(local, pooled, self.head.text_features(self.text_encoder))
        return alignment if self.context_head is None else self.context_head.read(alignment, self.is_taught)

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum the losses; the logged values are means over the ranks, that is losses of the global batch."""
        loss, log_vars = super().parse_losses(losses)
        if get_world_size() > 1:
            log_vars = OrderedDict((name, value.detach().clone()) for name, value in log_vars.items())
            for value in log_vars.values():
                all_reduce(value, 'mean')
        return loss, log_vars

    def predict(self, inputs: Tensor, data_samples: Batch = None, features: Features | None = None) -> list[DataSample]:
        """Each image's sample with scores (C,) and labels: see `set_predictions`, and `loss` for known features."""
        found: Features = self.backbone(inputs) if features is None else features
        return self.answer(self.logits(*found), self.logits(*found, 'student'), data_samples)

    def answer(self, logits: Tensor, student: Tensor, data_samples: Batch = None) -> list[DataSample]:
        """The samples with the predictions that logits (B, C) of the EMA teacher and of the student stand for."""
        samples = data_samples or [DataSample() for _ in logits]
        set_predictions(samples, logits, student, self.calibration, self.thresholds)
        return samples

    def score(self, local: Tensor, pooled: Tensor, who: str = 'ema') -> Tensor:
        """Raw scores (B, C) in 0..1 of local (B, N, D) and global (B, D) features by 'ema' or 'student'."""
        return torch.sigmoid(self.logits(local, pooled, who))

    def logits(self, local: Tensor, pooled: Tensor, who: str = 'ema') -> Tensor:
        """Logits (B, C) of the raw scores; see `score`."""
        if who == 'ema' and self.evidence is not None and self.evidence.is_fitted:
            return self.evidence.combine(self.components(local, pooled))
        logits = self.alignment_of(local, pooled, who).logits
        return logits if who == 'student' or self.neighbours is None else self.neighbours.smooth(logits, pooled)

    def components(self, local: Tensor, pooled: Tensor) -> Tensor:
        """Anchor, tuned prompts and evidence (3, B, C) of the teacher, smoothed; see `DiscriminantEvidence`."""
        nearby = None if self.neighbours is None else self.neighbours(pooled)
        return cast(DiscriminantEvidence, self.evidence).components(*self.readings(local, pooled), nearby)

    @torch.no_grad()
    def alignment_of(self, local: Tensor, pooled: Tensor, who: str = 'ema') -> Alignment:
        """The alignment by 'ema' or 'student', without gradients; the text side is folded once per evaluation."""
        with self.teacher.applied_to(self.scorer()) if who == 'ema' else nullcontext():
            return self._folded_head(self.head.look(local, pooled), who)

    @torch.no_grad()
    def readings(self, local: Tensor, pooled: Tensor) -> tuple[LabelFeatures, Tensor, Tensor]:
        """Inputs of the evidence, if there is one: the teacher's features (B, C, D) and similarities, the anchor's."""
        if self.evidence is None:
            raise ConfigError('model.evidence: found None, expected the options of DiscriminantEvidence')
        with self.teacher.applied_to(self.scorer()):
            seen = self.head.look(local, pooled)
            tuned, anchor = self._folded_head(seen, 'ema'), self.head.align(seen, self.evidence.anchor_text())
            return tuned.features, self.head.unscaled(tuned), self.head.unscaled(anchor)

    @torch.no_grad()
    def label_features(self, local: Tensor, pooled: Tensor) -> LabelFeatures:
        """The teacher's label-specific features (B, C, D), without similarities."""
        with self.teacher.applied_to(self.scorer()):
            return self.head.label_features(self.head.look(local, pooled), self._text('ema'))

    def _text(self, who: str) -> TextFeatures:
        if who not in self._folded:
            self._folded[who] = self.head.text_features(self.text_encoder)
        return self._folded[who]

    def _folded_head(self, seen: LocalFeatures, who: str) -> Alignment:
        alignment = self.head.align(seen, self._text(who))
        feedback = self._feedback_head()
        return alignment if feedback is None else feedback.read(alignment, self.is_taught)

    def scorer(self) -> nn.Module:
        """The learned parts that a score depends on, whose average is the teacher."""
        feedback = self._feedback_head()
        return self.head if feedback is None else nn.ModuleDict(dict(head=self.head, context_head=feedback))

    def _feedback_head(self) -> ContextHead | None:
        """The context head, if its contexts feed back into the scores."""
        return None if self.context_head is None or self.context_head.feedback is None else self.context_head

    def unfold(self) -> None:
        """Forget the folded text features; called whenever the prompts may have changed."""
        self._folded.clear()

    def train(self, mode: bool = True) -> CSSAClassifier:
        """Switch the mode; the tower stays in eval mode."""
        self.unfold()
        return super().train(mode)

    def _apply(self, fn: Callable, recurse: bool = True) -> CSSAClassifier:
        # What is folded would stay on the device where the model was.
        self.unfold()
        return super()._apply(fn, recurse)

    def forward(self, inputs: Tensor, data_samples: Batch = None, mode: str = 'tensor', **given: Any) -> Any:
        """mmengine's entry: 'loss', 'predict' (with `given` targets and features), or 'tensor' for logits (B, C)."""
        if mode == 'loss':
            return self.loss(inputs, data_samples or [], **given)
        if mode == 'predict':
            return self.predict(inputs, data_samples, **given)
        if mode == 'tensor':
            return self.align(*self.backbone(inputs)).logits
        raise ConfigError(f"forward mode: found '{mode}', expected 'loss', 'predict' or 'tensor'")

    def extract_feat(self, inputs: Tensor, stage: str = 'backbone') -> Features:
        """Local (B, N, D) and global (B, D) features of the frozen tower, the only `stage` that there is."""
        if stage != 'backbone':
            raise ConfigError(f"extract_feat: found stage='{stage}', expected 'backbone': a frozen tower has no other")
        return self.backbone(inputs)
