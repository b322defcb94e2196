"""Image-wise centring (ours, after the finding of SPARC, arXiv 2502.16911): an image's offset leaves its similarities.

    centred similarity of class c     s_c - w * mean over b of <v_b, t_b>

The words b are a background vocabulary, common nouns by default; t_b is the untrained prompt of a word, v_b the image's
feature as t_b finds it, as for a class. Some images have high cosines with every text. A tower that was trained with a
softmax over the texts of an image never had to care, so that such images come first in the ranking of every class.

How much of the mean is such an offset and how much is what the image shows differs between towers. `weight='auto'` is
half the least-squares coefficient of the classes' similarities on the mean, over unlabelled and labelled training
images: no label is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from cssa_mm.datasets.class_words import decode_class_words
from cssa_mm.errors import ConfigError, nearest
from cssa_mm.models.class_names import given_classes
from cssa_mm.models.prompts import untrained_features
from cssa_mm.models.text_encoder import TextEncoder
from cssa_mm.values import Share, check_values

KEY = 'model.head.centring'
KEYS = ('weight', 'vocabulary')
NOUNS = Path(__file__).with_name('background_nouns.txt')
SHARE = 0.5  # of the coefficient (docs/reconstruction.md)
UNFITTED = 0.25  # weight 'auto' where no training images have been seen


class BackgroundCentring(nn.Module):
    """The background vocabulary and its weight; all that is learned is a buffer.

    Args:
        encoder: the frozen text tower (given by the head).
        weight: 'auto', fitted to images (`fit`) and .25 until then; or w in 0..1.
        vocabulary: the words; a file with one a line; or None for the common nouns of this package.
        initial_words: what prompts start with (given by the head).

    Attributes:
        text: unit text features (V, D) of the words.
        weight: w.
        is_fitted: False until an 'auto' weight is fitted.

    Raises:
        ConfigError: an option is invalid, or a word too long for the text tower.
        DataError: the file holds no words.
    """

    text: Tensor
    weight: Tensor
    is_fitted: Tensor

    def __init__(
        self,
        encoder: TextEncoder,
        weight: Literal['auto'] | Share = 'auto',
        vocabulary: Sequence[str] | str | None = None,
        initial_words: str = '',
    ) -> None:
        super().__init__()
        is_auto = weight == 'auto'
        self.register_buffer('text', untrained_features(encoder, _words(vocabulary), initial_words))
        self.register_buffer('weight', torch.tensor(UNFITTED if is_auto else float(weight)))
        self.register_buffer('is_fitted', torch.tensor(not is_auto))

    def forward(self, similarity: Tensor, offset: Tensor) -> Tensor:
        """Centred similarities (B, C) of similarities (B, C) and mean cosines (B,) with the vocabulary."""
        return similarity - self.weight * offset[:, None]

    @torch.no_grad()
    def fit(self, similarity: Tensor, offset: Tensor) -> None:
        """Set the weight from n images; images that all have the same offset leave it as it is.

        Args:
            similarity: (n, C), not centred.
            offset: (n,), the mean cosines with the vocabulary.
        """
        coefficient = offset_coefficient(similarity, offset)
        if coefficient is not None:
            self.weight.fill_(min(max(SHARE * coefficient, 0.0), 1.0))
            self.is_fitted.fill_(True)


def offset_coefficient(similarity: Tensor, offset: Tensor) -> float | None:
    """The least-squares coefficient of similarities (n, C), each less its class's mean, on offsets (n,) less theirs.

    One coefficient for all classes, in float64; None if all offsets are the same.
    """
    offset = offset.double() - offset.double().mean()
    spread = float(offset.square().sum())
    # Deviations of float32's rounding are none.
    if not spread > 1e-12 * len(offset):
        return None
    return float(offset @ similarity.double().mean(1)) / spread


def centring_options(options: Any) -> dict[str, Any] | None:
    """The options of `BackgroundCentring` with defaults, and the words themselves in place of a file.

    None, which is off, for None and for a weight of 0.

    Raises:
        ConfigError: they are no dict, have an unknown key, or a value is invalid.
        DataError: the file holds no words.
    """
    if options is None:
        return None
    if not isinstance(options, Mapping):
        raise ConfigError(f"{KEY}: found {options!r}, expected None or a dict such as dict(weight='auto')")
    for key in options:
        if key not in KEYS:
            raise ConfigError(
                f"{KEY}: found the unknown key '{key}', expected one of {', '.join(KEYS)}.{nearest(str(key), KEYS)}"
            )
    check_values(BackgroundCentring, options, KEY)
    weight = options.get('weight', 'auto')
    if not weight and options.get('vocabulary') is not None:
        raise ConfigError(f"{KEY}: found a vocabulary with weight 0, which is off; add weight='auto', or leave it out")
    words = _words(options.get('vocabulary'))
    return dict(weight=weight, vocabulary=words) if weight else None


def _words(vocabulary: Any) -> list[str]:
    """The words of a list, of a file, or of the package."""
    if vocabulary is not None and not isinstance(vocabulary, str):
        return list(given_classes(vocabulary, f'{KEY}.vocabulary').names)
    path = NOUNS if vocabulary is None else Path(vocabulary).expanduser()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{KEY}.vocabulary: found '{path}', which cannot be read ({error.strerror}), expected a list of words or "
            'a text file with one a line'
        ) from error
    words = decode_class_words(content, str(path))
    if words is None:
        raise ConfigError(f"{KEY}.vocabulary: found '{path}', which holds labels, expected a text file, a word a line")
    return list(words)
