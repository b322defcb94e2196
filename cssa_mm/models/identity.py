"""Checkpoints that name the tower and the classes that they belong to, and are refused by any other model."""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor

from cssa_mm.errors import CheckpointError


class CheckpointIdentity:
    """Mixin of a module with a `backbone.identity` and `class_names`; `unfold` is called when one has been loaded."""

    def get_extra_state(self) -> Tensor:
        """What a checkpoint says of itself, as the bytes of a JSON text: mmengine wants nothing but tensors."""
        text = json.dumps(dict(tower=self.backbone.identity, class_names=self.class_names))
        return torch.tensor(list(text.encode()), dtype=torch.uint8)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *details: Any) -> None:
        # mmengine loads what fits and leaves the rest out: of a foreign checkpoint nothing, and goes on.
        if f'{prefix}_extra_state' not in state_dict:
            raise CheckpointError(
                f'checkpoint: found {len(state_dict)} entries that are not of a CSSAClassifier, expected a checkpoint '
                'that tools/train.py wrote'
            )
        super()._load_from_state_dict(state_dict, prefix, *details)

    def set_extra_state(self, state: Tensor) -> None:
        """Refuse a checkpoint of another tower or other classes.

        Raises:
            CheckpointError: with what the checkpoint was made for, and what the config builds.
        """
        self.unfold()
        saved = json.loads(bytes(state.tolist()))
        for key, here in (('tower', self.backbone.identity), ('class_names', self.class_names)):
            if saved.get(key) != here:
                raise CheckpointError(
                    f'checkpoint: found one that was trained with {key} {saved.get(key)}, expected {here}; build the '
                    'model from the config that it was trained with'
                )
