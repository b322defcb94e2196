"""A classifier's checkpoints describe themselves, and any other model refuses them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mmengine.logging import print_log
from mmpretrain.registry import TRANSFORMS
from torch import Tensor, nn

from cssa_mm.datasets.class_words import ClassWords
from cssa_mm.datasets.view import View
from cssa_mm.errors import CheckpointError
from cssa_mm.models.class_names import class_difference
from cssa_mm.models.clip_backbone import OpenCLIPBackbone
from cssa_mm.models.description import FORMAT, KEY, PARTS, decode_description, encode_description, read_description
from cssa_mm.models.neighbours import Neighbours
from cssa_mm.models.plain_data import differences, short
from cssa_mm.models.score_calibration import ScoreCalibration, ZeroShotCalibration
from cssa_mm.models.thresholds import ClassThresholds

# Options that no score of a trained model depends on: they say how training begins or proceeds, or where files lie.
TRAINING_ONLY = {
    'head.temperature', 'head.prompts.initial_words', 'head.prompts.chunk_size', 'context_head.target',
    'context_head.affinity', 'context_head.method', 'tower.pretrained', 'tower.config_dir', 'tower.model_config',
    'tower.model_config.text_cfg.tokenizer_kwargs.bpe_path', 'tower.precision',
}  # fmt: skip
STORED = ('neighbours.keys', 'neighbours.values')  # of as many images as training stored
COMPARED = ('tower', 'class_names', 'prompts', *PARTS)
SAME_CONFIG = (
    'build the model from the config that it was trained with, or start a training from its prompts: '
    'load_from=CHECKPOINT strict_classes=False'
)


class CheckpointIdentity(nn.Module):
    """Mixin of a classifier whose checkpoints describe themselves, and are refused by any other model."""

    backbone: OpenCLIPBackbone
    class_words: ClassWords
    neighbours: Neighbours | None
    class_names: list[str]
    options: dict[str, Any]
    view: View | None
    calibration: ScoreCalibration
    thresholds: ClassThresholds
    zero_shot: ZeroShotCalibration | None
    unfold: Callable[[], None]

    def description(self) -> dict[str, Any]:
        """What a checkpoint says of this model, as plain data."""
        return dict(
            format=FORMAT,
            tower=self.backbone.description(),
            class_names=list(self.class_names),
            prompts=[list(texts) for texts in self.class_words.prompts],
            **self.options,
            view=None if self.view is None else self.view.as_config(),
            calibration=self.calibration.to_dict(),
            thresholds=self.thresholds.to_dict(),
            zero_shot=None if self.zero_shot is None else self.zero_shot._asdict(),
        )

    def adopt(
        self, calibration: ScoreCalibration, thresholds: ClassThresholds, zero_shot: ZeroShotCalibration | None = None
    ) -> None:
        """Take over what labels say of the scores."""
        self.calibration, self.thresholds, self.zero_shot = calibration, thresholds, zero_shot

    def forget_thresholds(self) -> None:
        """Raw scores and .5 for every class, as before any training."""
        num_classes = len(self.class_names)
        self.adopt(ScoreCalibration.none(num_classes), ClassThresholds.default(num_classes))

    def get_extra_state(self) -> Tensor:
        """The description, for `state_dict()`."""
        return encode_description(self.description())

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *details: Any) -> None:
        # mmengine loads what fits and leaves the rest out: refuse the whole before anything is loaded.
        saved = read_description(state_dict, prefix)
        self.refuse_other_model(saved)
        for name, part in self.named_children():
            upgrade = getattr(part, 'upgrade_entries', None)
            if callable(upgrade):
                upgrade(state_dict, f'{prefix}{name}.')
        self._refuse_other_entries(state_dict, prefix)
        if self.neighbours is not None:
            self.neighbours.refuse_damaged(state_dict, f'{prefix}neighbours.')
        super()._load_from_state_dict(state_dict, prefix, *details)

    def set_extra_state(self, state: Tensor) -> None:
        """Take over calibration and thresholds, and the view unless the model has one."""
        self.unfold()
        saved = decode_description(state)
        num_classes = len(self.class_names)
        self.thresholds = ClassThresholds.from_dict(saved['thresholds'], num_classes)
        self.calibration = ScoreCalibration.none(num_classes)
        if 'calibration' in saved:
            self.calibration = ScoreCalibration.from_dict(saved['calibration'], num_classes)
        self.zero_shot = ZeroShotCalibration.from_dict(saved.get('zero_shot'))
        view = None if saved['view'] is None else TRANSFORMS.build(saved['view'])
        if self.view is None:
            self.view = view
        elif view is not None and view != self.view:
            print_log(
                f'checkpoint: found the training view {view}, but the model uses {self.view}; scores will differ',
                'current',
                logging.WARNING,
            )

    def refuse_other_model(
        self, saved: Mapping[str, Any], parts: Sequence[str] = COMPARED, other_classes: str = SAME_CONFIG
    ) -> None:
        """Check that a checkpoint's description is that of this model.

        Args:
            saved: the description of the checkpoint.
            parts: its sections to compare.
            other_classes: what to do about other classes, for the message.

        Raises:
            CheckpointError: a part differs; the message names the first difference.
        """
        here = self.description()
        for part in parts:
            if part == 'class_names':
                difference = class_difference(saved[part], here[part])
                if difference:
                    raise CheckpointError(
                        f'checkpoint: found a model trained with other classes ({difference}), expected the same names '
                        f'in the same order; {other_classes}'
                    )
                continue
            theirs, ours = saved.get(part), here[part]
            if part == 'prompts':
                names = saved['class_names']
                theirs, ours = (dict(zip(names, texts, strict=True)) for texts in (saved[part], here[part]))
            for name, their, our in differences(theirs, ours, part):
                if name not in TRAINING_ONLY:
                    key = name if part == 'tower' else f'model.{name}'
                    if part == 'prompts':
                        key = f"prompts of '{name.partition('.')[2]}'"
                    raise CheckpointError(
                        f'checkpoint: found a model trained with {key} {short(their)}, expected {short(our)}; '
                        'build the model from the config that it was trained with'
                    )

    def _refuse_other_entries(self, state_dict: Mapping[str, Any], prefix: str) -> None:
        expected = {f'{prefix}{name}': value for name, value in self.state_dict().items()}
        found = {name: value for name, value in state_dict.items() if name.startswith(prefix)}
        for name in (*expected, *found):
            if name not in found or name not in expected:
                reason = 'no entry' if name not in found else 'the unexpected entry'
                raise CheckpointError(
                    f"checkpoint: found {reason} '{name}', expected the entries of this model and no others; take the "
                    'whole file that training wrote'
                )
            if not isinstance(found[name], Tensor) or found[name].is_sparse or found[name].is_complex():
                raise CheckpointError(
                    f"checkpoint: found '{name}' that is no tensor of real numbers, expected one; take the whole file "
                    'that training wrote'
                )
            shapes = [tuple(entries[name].shape) for entries in (found, expected)]
            if name.removeprefix(prefix) in STORED:
                shapes[1] = shapes[0][:1] + shapes[1][1:]
            if not name.endswith(KEY) and shapes[0] != shapes[1]:
                raise CheckpointError(
                    f"checkpoint: found '{name}' of shape {shapes[0]}, expected {shapes[1]}; build the model from the "
                    'config that it was trained with'
                )
