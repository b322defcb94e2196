"""What a prediction of many images has done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SHOWN = 8


@dataclass(frozen=True)
class PredictionRun:
    """What was predicted.

    Attributes:
        out: the folder of the results.
        images: the number of images with a prediction.
        bad: the number of images that could not be read; `bad_images.txt` names them.
        without_label: the number of images that got no label.
        labels: class name -> the number of images that got it.
        choice: how labels were chosen, in words.
        files: what was written, relative to `out`.
        scored: the number of images that this run scored; the others were predicted before.
        seconds: how long that took, without the start.
        notes: what else a user should know, a line each.
        was_done: everything was written by an earlier run already.
    """

    out: Path
    images: int = 0
    bad: int = 0
    without_label: int = 0
    labels: dict[str, int] = field(default_factory=dict)
    choice: str = ''
    files: list[str] = field(default_factory=list)
    scored: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    was_done: bool = False

    def text(self) -> str:
        """The summary, in lines."""
        if self.was_done:
            return f'{self.out}: finished before ({self._counts()}); nothing to do. --force starts anew.'
        lines = [*self.notes, f'{self.out}: {self._counts()}']
        if self.scored:
            rate = self.scored / max(self.seconds, 1e-9)
            lines.append(f'  scored {self.scored:,} images in {self.seconds:.1f} s, {rate:,.1f} images/s')
        lines.append(f'  labels: {self.choice}')
        most = sorted(self.labels.items(), key=lambda item: -item[1])
        shown = [f'{name} {count:,}' for name, count in most if count][:SHOWN]
        lines.append(f'  {", ".join(shown) or "no image got a label"}{self._rest(len(shown))}')
        lines.append(f'  wrote {", ".join(self.files)}')
        return '\n'.join(lines)

    def counts(self) -> dict[str, Any]:
        """What a later run says of this one, as plain data."""
        names = ('images', 'bad', 'without_label', 'labels', 'choice')
        return {key: value for key, value in asdict(self).items() if key in names}

    @classmethod
    def done(cls, out: Path, counts: Mapping[str, Any], files: list[str]) -> PredictionRun:
        """That of an earlier run, by its `counts`."""
        return cls(out, **counts, files=files, was_done=True)

    def _counts(self) -> str:
        bad = f', {self.bad:,} could not be read (bad_images.txt)' if self.bad else ''
        return f'{self.images:,} images, {self.without_label:,} of them without label{bad}'

    def _rest(self, shown: int) -> str:
        others = sum(count > 0 for count in self.labels.values()) - shown
        never = sum(count == 0 for count in self.labels.values())
        parts = [f', and {others:,} more'] * (others > 0) + [f'; on no image: {never:,} of the classes'] * (never > 0)
        return ''.join(parts)
