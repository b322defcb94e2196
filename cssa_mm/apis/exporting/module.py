"""A model as one function from images to scores, with everything that does not depend on the image folded in."""

from __future__ import annotations

import copy
import logging

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from cssa_mm.apis.scorer import TorchScorer
from cssa_mm.errors import ConfigError
from cssa_mm.models import CSSAClassifier, search
from cssa_mm.models.alignment_head import Alignment, TextFeatures
from cssa_mm.models.score_calibration import LOGITS
from cssa_mm.models.towers import feature_function
from cssa_mm.models.towers.sizes import image_size

TOLERANCE = 1e-4  # of scores: what is exported against the model
STEP = 64  # what another image size differs by in trials: a multiple of the usual strides


class ExportModule(nn.Module):
    """Images (B, 3, H, W) to calibrated and raw scores (B, C), as `Predictor` gives them.

    It holds the image tower, the teacher's text features and those of the anchor, the evidence, the stored images of
    the neighbours, the contexts that feed back, and the calibration; no text tower. It computes in float32 whatever the
    model's `precision`. The tower is shared with the model, all else is a copy.

    Args:
        model: a trained model, or a zero-shot one.

    Attributes:
        size: (height, width) of the images that the model was trained on; the tower's own where the view keeps sizes.
        takes_any_size: whether height and width are free in an export: the tower takes other sizes, tried out, and its
            padding does not depend on them.

    Raises:
        ConfigError: the model's data preprocessor pads images, which depends on the batch, or the model looks up its
            stored images by faiss.
    """

    mean: Tensor
    std: Tensor
    slope: Tensor
    offset: Tensor
    is_taught: Tensor
    text_semantic: Tensor
    text_positive: Tensor
    text_negative: Tensor | None

    @torch.no_grad()
    def __init__(self, model: CSSAClassifier) -> None:
        super().__init__()
        backbone, preprocessor = model.backbone, model.data_preprocessor
        if preprocessor.pad_size_divisor != 1:
            raise ConfigError(
                f'model.data_preprocessor.pad_size_divisor: found {preprocessor.pad_size_divisor}, expected 1 for an '
                'export; give the view a size instead'
            )
        self.visual = backbone.clip.visual
        self._features = feature_function(self.visual, backbone.clip.name)
        self.dense, self.global_token = backbone.dense, backbone.global_token
        self.is_flipped = bool(preprocessor.to_rgb)
        for name, neutral in (('mean', 0.0), ('std', 1.0)):
            value = getattr(preprocessor, name, torch.full((3, 1, 1), neutral))
            self.register_buffer(name, value.detach().clone())
        with model.teacher.applied_to(model.scorer()):
            text = model.head.text_features(model.text_encoder)
            self.head = copy.deepcopy(model.head)
            contexts = model.context_head
            self.context_head = None if contexts is None or contexts.feedback is None else copy.deepcopy(contexts)
        for name in ('class_prompts', 'semantic_prompts', 'negative_prompts', 'negative_embedding'):
            setattr(self.head, name, None)
        for name, features in text._asdict().items():
            self.register_buffer(f'text_{name}', None if features is None else features.detach().clone())
        is_fitted = model.evidence is not None and bool(model.evidence.is_fitted)
        self.evidence = copy.deepcopy(model.evidence) if is_fitted else None
        has_neighbours = model.neighbours is not None and model.neighbours.is_fitted
        self.neighbours = copy.deepcopy(model.neighbours) if has_neighbours else None
        if self.neighbours is not None and not self.neighbours.is_searched_exactly:
            raise ConfigError(
                f'export: found {self.neighbours.num_images:,} stored images, which faiss looks up, expected at most '
                f'{search.LARGEST:,}; train with a smaller model.neighbours.max_images'
            )
        self.register_buffer('is_taught', model.is_taught.clone())
        self.is_calibrated = model.calibration.rule != 'none'
        self.register_buffer('slope', torch.tensor(model.calibration.slope).to(self.mean))
        self.register_buffer('offset', torch.tensor(model.calibration.offset).to(self.mean))
        self.requires_grad_(False).eval()
        self.size: tuple[int, int] = getattr(model.view, 'size', None) or image_size(self.visual)
        # TensorFlow's SAME padding: torch's exporter works for many minutes on its symbolic sizes.
        pads_by_size = any(type(part).__name__.endswith('Same') for part in self.visual.modules())
        self.takes_any_size = not pads_by_size and self._takes(self.trial_images(1, other=True))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Calibrated and raw scores (B, C), float32, of RGB images (B, 3, H, W), uint8 or float in 0..255.

        They are what the model's view makes of image files.
        """
        logits = self.logits(image)
        raw = torch.sigmoid(logits)
        if not self.is_calibrated:
            return raw + 0.0, raw  # two outputs, also for exporters
        # Not by way of the raw scores: in float32 those near 1 have lost their digits.
        return torch.sigmoid(self.slope * logits.clamp(*LOGITS) + self.offset), raw

    def logits(self, image: Tensor) -> Tensor:
        """Logits (B, C) of the raw scores."""
        x = image.flip(1) if self.is_flipped else image
        local, pooled = self._features(self.visual, (x.float() - self.mean) / self.std, self.dense, self.global_token)
        text = TextFeatures(self.text_semantic, self.text_positive, self.text_negative)
        seen = self.head.look(local.float(), pooled.float())
        tuned: Alignment = self.head.align(seen, text)
        if self.context_head is not None:
            tuned = self.context_head.read(tuned, self.is_taught)
        pooled = pooled.float()
        if self.evidence is None:
            return tuned.logits if self.neighbours is None else self.neighbours.smooth(tuned.logits, pooled)
        anchor = self.head.align(seen, self.evidence.anchor_text())
        nearby = None if self.neighbours is None else self.neighbours(pooled)
        return self.evidence(tuned.features, self.head.unscaled(tuned), self.head.unscaled(anchor), nearby)

    def trial_images(self, batch: int, other: bool = False) -> Tensor:
        """Random pixels uint8 (batch, 3, H, W) of the trained size, or of an `other` one; always the same."""
        height, width = self.size
        if other:
            height, width = height + STEP, width + 2 * STEP
        generator = torch.Generator().manual_seed(batch)
        pixels = torch.randint(0, 256, (batch, 3, height, width), generator=generator, dtype=torch.uint8)
        return pixels.to(self.mean.device)

    def dynamic_shapes(self) -> dict[str, dict[int, object]]:
        """The free dimensions of `forward`, for torch's exporters: batch, and height and width where all are taken."""
        dims = (0, 2, 3) if self.takes_any_size else (0,)
        return dict(image=dict.fromkeys(dims, torch.export.Dim.DYNAMIC))

    def _takes(self, images: Tensor) -> bool:
        with torch.no_grad():
            try:
                self(images)
            except (ConfigError, RuntimeError, AssertionError, ValueError) as error:
                if isinstance(error, torch.OutOfMemoryError):
                    raise
                return False
        return True


def stored_line(stored: str) -> str:
    """The last line of what an export prints, where training images are `stored` in it; see `stored_in_words`."""
    return f'\nIt holds the features of {stored}: they are no photos, but describe them' if stored else ''


def checked_module(model: CSSAClassifier) -> ExportModule:
    """The `ExportModule` of a model, compared with the model itself.

    A tower that runs in bfloat16 or float16 is warned of: what is exported computes in float32.

    Raises:
        ConfigError: the model has no view, or a part that an export does not know.
    """
    scorer, module = TorchScorer(model), ExportModule(model)
    images = module.trial_images(1)
    was_training = model.training
    with torch.no_grad():
        model.eval()
        pairs = zip(module(images), scorer(images), strict=True)
        difference = max(float((ours.cpu() - torch.from_numpy(theirs)).abs().max()) for ours, theirs in pairs)
        model.train(was_training)
    if model.backbone.precision != 'fp32':
        print_log(
            f'export: computes in float32 in place of {model.backbone.precision}, in which the model was trained; '
            f'scores of a trial differ by {difference:.1g}',
            'current',
            logging.WARNING,
        )
    elif not difference <= TOLERANCE:
        raise ConfigError(
            f'export: found scores that differ by {difference:.2g} from those of the model, expected {TOLERANCE:g} at '
            'most; parts of your own that change how a model scores cannot be exported'
        )
    return module
