"""CSSAClassifier: the frozen tower, the prompts, their teacher and the losses, in the order of the paper."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size
from mmpretrain.models.classifiers.base import BaseClassifier
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from cssa_mm.errors import ConfigError
from cssa_mm.features.cache import FeatureCache
from cssa_mm.models.alignment_head import Alignment
from cssa_mm.models.class_names import resolve_class_names
from cssa_mm.models.context_head import context_targets
from cssa_mm.models.identity import CheckpointIdentity
from cssa_mm.models.teacher import ParameterEMA
from cssa_mm.models.text_encoder import TextEncoder
from cssa_mm.semi.bank import PseudoLabelBank


@MODELS.register_module()
class CSSAClassifier(CheckpointIdentity, BaseClassifier):
    """Semi-supervised multi-label classifier (paper; every weight is a reconstruction).

    L = L_labelled + lambda_u L_unlabelled + lambda_c (L_context of both).

    Args:
        backbone: config of `OpenCLIPBackbone`.
        class_names: a list of readable names, a text file with one a line, a label table, the type name of a
            registered data set that knows its classes, or the config of one whose files tell them.
        head: config of `LabelAlignmentHead`.
        context_head: config of `ContextHead`; None leaves the context task out.
        loss: config of `MaskedAsymmetricLoss`, for labels, pseudo-labels and contexts. Its `reduction` counts over
            the *global* batch, whatever the number of ranks: `'sum'` over cells (CAP), `'mean'` over the unmasked
            cells of its part, or `'batch_mean'`, the sum divided by the images of its part.
        unlabelled_weight: lambda_u.
        context_weight: lambda_c.
        ema: options of `ParameterEMA`: decay, warm_up.
        evidence: config of `DiscriminantEvidence`, whose logits then are the teacher's (`cssa_plus`, ours); None: the
            prompts' alone, as in the paper.
        data_preprocessor: mmpretrain's; mean and std default to those of the tower.
    """

    def __init__(
        self,
        backbone: dict,
        class_names: list[str] | str | dict,
        head: dict | None = None,
        context_head: dict | None = None,
        loss: dict | None = None,
        unlabelled_weight: float = 1.0,
        context_weight: float = 1.0,
        ema: dict | None = None,
        evidence: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        built = MODELS.build(backbone)
        # Built here: mmengine would look for it in the default scope, which only a Runner sets.
        super().__init__(init_cfg, MODELS.build(_preprocessor_config(data_preprocessor, built.clip)))
        self.backbone = built
        self.class_names = resolve_class_names(class_names)
        self.text_encoder = TextEncoder(built.clip)
        head = dict(type='LabelAlignmentHead') | (head or {})
        self.head = MODELS.build(head | dict(encoder=self.text_encoder, class_names=self.class_names))
        self.context_head = None
        if context_head is not None:
            with torch.no_grad():
                embed_dim = self.text_encoder.encode(self.class_names[:1]).shape[1]
            sizes = dict(num_classes=len(self.class_names), embed_dim=embed_dim)
            self.context_head = MODELS.build(dict(type='ContextHead') | context_head | sizes)
        self.cell_loss = MODELS.build(dict(type='MaskedAsymmetricLoss') | (loss or {}))
        # The module sums over this rank's share; `_loss` divides by the count of the global batch.
        self.reduction, self.cell_loss.reduction = self.cell_loss.reduction, 'sum'
        self.unlabelled_weight = unlabelled_weight
        self.context_weight = context_weight
        self.teacher = ParameterEMA(self.scorer(), **(ema or {}))
        self.evidence = None
        if evidence is not None:
            with torch.no_grad():
                anchor = self.head.text_features(self.text_encoder)
            self.evidence = MODELS.build(dict(type='DiscriminantEvidence') | evidence | dict(anchor_text=anchor))
        # A class without labelled positives is left as CLIP knows it; set by the labelled statistics hook.
        self.register_buffer('is_taught', torch.ones(len(self.class_names), dtype=torch.bool))
        self.bank: PseudoLabelBank | None = None  # set by the pseudo-label hook
        self.feature_cache: FeatureCache | None = None  # set by the feature cache hook
        self._folded: dict[str, Any] = {}

    # -- training ----------------------------------------------------------------------------------------------

    def loss(self, inputs: Tensor, data_samples: list[DataSample]) -> dict[str, Tensor]:
        """The losses of one step; `inputs` (B, 3, H, W) is this rank's share of the global batch."""
        alignment = self.align(inputs, data_samples)
        labels, weights, is_labelled = self.targets(data_samples)
        is_readable = torch.tensor([sample.get('bad_image') is None for sample in data_samples]).to(is_labelled)
        labelled, unlabelled = is_labelled & is_readable, ~is_labelled & is_readable
        taught = torch.where(self.is_taught, labels, -1)
        losses = {'loss_labelled': self._loss(alignment.logits, taught, weights, labelled)}
        if self.bank is not None:
            losses['loss_unlabelled'] = self.unlabelled_weight * self._loss(
                alignment.logits, taught, weights, unlabelled
            )
        if self.context_head is not None:
            losses |= self._context_losses(alignment, labels, labelled, unlabelled)
        return losses

    def align(self, inputs: Tensor, data_samples: list[DataSample] | None = None) -> Alignment:
        """The student's alignment, with gradients to the prompts; views in the cache are not encoded again."""
        cache = self.feature_cache
        if cache is not None and cache.serves_training and data_samples is not None:
            views = [(sample.image_id, bool(sample.flip)) for sample in data_samples]
            local, pooled = cache.lookup(views, inputs.device)
        else:
            local, pooled = self.backbone(inputs)
        alignment = self.head(local, pooled, self.head.text_features(self.text_encoder))
        return alignment if self.context_head is None else self.context_head.read(alignment, self.is_taught)

    def targets(self, data_samples: list[DataSample]) -> tuple[Tensor, Tensor, Tensor]:
        """Labels (B, C) in 1, 0, -1, weights (B, C) and which images are labelled (B,); the rest from the bank."""
        device = self.head.bias.device
        labels = torch.stack([sample.gt_score for sample in data_samples]).to(device)
        weights = torch.ones_like(labels)
        is_labelled = torch.tensor([bool(sample.is_labelled) for sample in data_samples], device=device)
        unlabelled_ids = [sample.image_id for sample in data_samples if not sample.is_labelled]
        if self.bank is not None and unlabelled_ids:
            pseudo_labels, pseudo_weights = self.bank.lookup(unlabelled_ids)
            labels[~is_labelled] = pseudo_labels.to(labels)
            weights[~is_labelled] = pseudo_weights.to(weights)
        return labels, weights, is_labelled

    def _context_losses(
        self, alignment: Alignment, labels: Tensor, labelled: Tensor, unlabelled: Tensor
    ) -> dict[str, Tensor]:
        head, logits = self.context_head, alignment.contexts
        # A class that nobody labels is masked in every unlabelled image: its context would have positives only there.
        labels = torch.where(self.is_taught, labels, 0)
        targets = context_targets(labels, head.assignment, head.num_contexts, head.target)
        weights = torch.ones_like(logits)
        losses = {'loss_context_labelled': self._loss(logits, targets, weights, labelled)}
        if self.bank is not None:
            losses['loss_context_unlabelled'] = self._loss(logits, targets, weights, unlabelled)
        return {name: self.context_weight * value for name, value in losses.items()}

    def _loss(self, logits: Tensor, targets: Tensor, weights: Tensor, rows: Tensor) -> Tensor:
        """One loss over some rows of the global batch.

        The wrapper averages gradients over the ranks; times their number, the average is the global sum. A rank
        without such rows gives a zero that still hangs on the graph.
        """
        masked = torch.where(rows[:, None], targets, -1)
        total = self.cell_loss(logits, masked, weight=weights) * get_world_size()
        if self.reduction == 'sum':
            return total
        count = ((masked >= 0).sum() if self.reduction == 'mean' else rows.sum()).to(total)
        all_reduce(count)
        return total / count.clamp(min=1)

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum the losses; what is logged is the mean over the ranks, that is the loss of the global batch."""
        loss, log_vars = super().parse_losses(losses)
        if get_world_size() > 1:
            log_vars = OrderedDict((name, value.detach().clone()) for name, value in log_vars.items())
            for value in log_vars.values():
                all_reduce(value, 'mean')
        return loss, log_vars

    # -- inference ---------------------------------------------------------------------------------------------

    def predict(self, inputs: Tensor, data_samples: list[DataSample] | None = None) -> list[DataSample]:
        """Scores (C,) of each image: `pred_score` by the EMA teacher, `student_score` by the student."""
        features = self.backbone(inputs)
        ema, student = self.score(*features, 'ema'), self.score(*features, 'student')
        data_samples = data_samples or [DataSample() for _ in range(len(inputs))]
        for sample, ema_score, student_score in zip(data_samples, ema, student, strict=True):
            sample.set_pred_score(ema_score)
            sample.set_field(student_score, 'student_score')
        return data_samples

    def score(self, local: Tensor, pooled: Tensor, who: str = 'ema') -> Tensor:
        """Scores (B, C) in 0..1 of local (B, N, D) and global (B, D) features by 'ema' or 'student'."""
        if who == 'ema' and self.evidence is not None and self.evidence.is_fitted:
            return torch.sigmoid(self.evidence(*self.readings(local, pooled)))
        return torch.sigmoid(self.alignment_of(local, pooled, who).logits)

    @torch.no_grad()
    def alignment_of(self, local: Tensor, pooled: Tensor, who: str = 'ema') -> Alignment:
        """The alignment by 'ema' or 'student', without gradients; the text side is folded once per evaluation."""
        if who == 'student':
            return self._folded_head(local, pooled, who)
        with self.teacher.applied_to(self.scorer()):
            return self._folded_head(local, pooled, who)

    @torch.no_grad()
    def readings(self, local: Tensor, pooled: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the evidence reads: the teacher's features (B, C, D), its similarities (B, C), and the anchor's."""
        with self.teacher.applied_to(self.scorer()):
            tuned = self._folded_head(local, pooled, 'ema')
            anchor = self.head(local, pooled, self.evidence.anchor_text())
            return tuned.features, self.head.similarity(tuned), self.head.similarity(anchor)

    def _folded_head(self, local: Tensor, pooled: Tensor, who: str) -> Alignment:
        if who not in self._folded:
            self._folded[who] = self.head.text_features(self.text_encoder)
        alignment = self.head(local, pooled, self._folded[who])
        return self.context_head.read(alignment, self.is_taught) if self._feeds_back() else alignment

    def scorer(self) -> nn.Module:
        """The learned parts that a score depends on, whose average is the teacher."""
        return nn.ModuleDict(dict(head=self.head, context_head=self.context_head)) if self._feeds_back() else self.head

    def _feeds_back(self) -> bool:
        return self.context_head is not None and self.context_head.feedback is not None

    def unfold(self) -> None:
        """Forget the folded text features; called whenever the prompts may have changed."""
        self._folded.clear()

    def train(self, mode: bool = True) -> CSSAClassifier:
        """Switch the mode; the tower stays in eval mode."""
        self.unfold()
        return super().train(mode)

    def forward(self, inputs: Tensor, data_samples: list[DataSample] | None = None, mode: str = 'tensor') -> Any:
        """mmengine's entry: 'loss', 'predict', or 'tensor' for the student's logits (B, C)."""
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        if mode == 'tensor':
            return self.align(inputs).logits
        raise ConfigError(f"forward mode: found '{mode}', expected 'loss', 'predict' or 'tensor'")

    def extract_feat(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Local (B, N, D) and global (B, D) features of the frozen tower."""
        return self.backbone(inputs)


def _preprocessor_config(config: dict | None, clip: Any) -> dict:
    """mmpretrain's preprocessor for RGB images with the tower's own pixel statistics, unless the config says so."""
    statistics = dict(mean=[255 * value for value in clip.mean], std=[255 * value for value in clip.std])
    return dict(type='ClsDataPreprocessor', to_rgb=False) | statistics | (config or {})
