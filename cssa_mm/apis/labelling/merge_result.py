"""What a merge of answers did, in values and in words (ours)."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cssa_mm.apis.labelling.label_store import TABLE

SHOWN = 20
WORDS = {1: 'yes', 0: 'no'}


class Conflict(NamedTuple):
    """A class of a photo that is labelled otherwise than before.

    source: the file with the new label; old, new: 1 or 0.
    """

    image: str
    class_name: str
    old: int
    new: int
    source: str

    def line(self) -> str:
        """In words."""
        return f'{self.image}: {self.class_name} was {WORDS[self.old]}, is {WORDS[self.new]} in {self.source}'


@dataclass
class MergeResult:
    """What a merge did.

    Attributes:
        path: the table.
        root: the folder of the project.
        is_written: whether anything was written.
        added: the number of photos that had no label before.
        completed: the number of photos of which more classes are known than before.
        overwritten: the number of labels that were replaced.
        labelled: the number of photos with labels, as the table is now.
        conflicts: labels that contradict earlier ones.
        missing: photos of the answers that are not there.
        held_out: photos whose answers were left out -> the test or validation table that lists them.
        kept: where the old table is; None if there was none.
        written: the files that were written.
        checkpoint: the earlier model; None where none was named.
        notes: what to know.
    """

    path: Path
    root: Path
    is_written: bool = False
    added: int = 0
    completed: int = 0
    overwritten: int = 0
    labelled: int = 0
    conflicts: list[Conflict] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    held_out: dict[str, str] = field(default_factory=dict)
    kept: Path | None = None
    written: list[Path] = field(default_factory=list)
    checkpoint: str | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def is_refused(self) -> bool:
        """Whether nothing was merged because nobody has said which labels count."""
        return bool(self.conflicts) and not self.is_written

    def summary(self) -> str:
        """What was merged, and what was not."""
        lines = [f'conflict: {conflict.line()}' for conflict in self.conflicts[:SHOWN]]
        if len(self.conflicts) > SHOWN:
            lines.append(f'... and {len(self.conflicts) - SHOWN:,} more')
        if self.missing:
            lines.append(
                f'left out: {len(self.missing):,} photos that are not there, moved or deleted: {_some(self.missing)}'
            )
        if self.held_out:
            tables = ' and '.join(dict.fromkeys(self.held_out.values()))
            lines.append(
                f'left out: {len(self.held_out):,} photos that {tables} lists, whose labels training must not see: '
                f'{_some(list(self.held_out))}; to merge them all the same: --test-photos'
            )
        if not self.is_written:
            lines.append(self._nothing())
            return '\n'.join(lines)
        parts = [f'{self.added:,} photos more', f'{self.completed:,} completed' * bool(self.completed)]
        parts.append(f'{self.overwritten:,} labels overwritten' * bool(self.overwritten))
        lines.append(f'{self.path}: {self.labelled:,} labelled photos ({", ".join(filter(None, parts))})')
        lines += self.notes
        if self.kept is not None:
            lines.append(f'The table as it was: {self.kept}')
        return '\n'.join(lines)

    def text(self) -> str:
        """The summary, and how to go on."""
        if not self.is_written:
            return self.summary()
        labels = '' if self.path == self.root / TABLE else f' --labels {shlex.quote(str(self.path))}'
        train = f'cssa train {shlex.quote(str(self.root))}{labels}'
        lines = [self.summary(), f'Train anew with all labels: {train}']
        if self.checkpoint is not None:
            start = f'load_from={shlex.quote(self.checkpoint)}'
            lines.append(
                'Or start from the earlier model; its prompts have seen labels that thresholds and calibration are '
                f'found on, which then look better than they are: {train} --cfg-options {start}'
            )
        return '\n'.join(lines)

    def _nothing(self) -> str:
        if self.conflicts:
            return (
                f'{self.path}: nothing was changed, as {len(self.conflicts):,} answers contradict earlier labels; '
                '--prefer new takes the answers, --prefer old keeps the labels'
            )
        others = 'all other' if self.held_out else 'all of these'
        return f'{self.path}: nothing to change, {others} answers are there already'


def _some(names: list[str], most: int = 5) -> str:
    return ', '.join(names[:most]) + (', ...' if len(names) > most else '')
