"""Pictures of where a model looked in the images that a user names, one file an image."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import torch
from tqdm import tqdm

from cssa_mm.apis.explaining import Explainer, explainable
from cssa_mm.apis.predicting.scorers import open_for_prediction
from cssa_mm.apis.predicting.sources import ImageList, find_images, is_address
from cssa_mm.datasets.bad_images import reason_of
from cssa_mm.errors import ConfigError, ImageError, require_whole_number
from cssa_mm.visualization.explanation import Explanation
from cssa_mm.visualization.explanation_figure import draw_explanation

LIMIT = 100  # pictures; more are rarely looked at
SUFFIX = '.explained.png'  # so that no photo of the user is overwritten, wherever the pictures go


@dataclass(frozen=True)
class ExplanationRun:
    """The pictures that were drawn.

    Attributes:
        out: their folder.
        lines: of each picture, its file and what the image got.
        notes: what else a user should know, a line each.
        rule: how the maps were made.
    """

    out: Path
    lines: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rule: str = ''

    def text(self) -> str:
        """The summary, in lines."""
        count = len(self.lines)
        return '\n'.join([*self.lines, *self.notes, f'{self.out}: {count:,} picture{"s" * (count != 1)}. {self.rule}'])


def explain_files(
    *,
    images: Sequence[str | os.PathLike],
    checkpoint: str | os.PathLike | None,
    out: str | os.PathLike = 'explanations',
    labels: str | Sequence[str] | None = None,
    top: int | None = None,
    limit: int = LIMIT,
    classes: str | Sequence[str] | None = None,
    tower: str | os.PathLike | None = None,
    device: str | torch.device | None = None,
) -> ExplanationRun:
    """Draw where a model looked for the labels of images: `out`/NAME.explained.png for each, in folders as they lie.

    Images that cannot be read are left out, and named in the notes.

    Args:
        images: any number of what `find_images` takes: images, folders, patterns, lists, tables.
        checkpoint: a checkpoint that training wrote; None for zero-shot CLIP with `classes`.
        out: folder of the pictures, made where it is missing.
        labels: names of the labels to show, or one text with commas; by default those that reach their threshold.
        top: the number of best labels to show, whatever their scores.
        limit: the most pictures.
        classes: for `checkpoint` None alone: class names, one text with commas between them, or a file of class names.
        tower: of a checkpoint, new path of the weights of its tower; of zero-shot CLIP, the tower.
        device: 'cpu', 'cuda' or 'mps'; by default the best one that this machine has.

    Raises:
        ConfigError: an option is wrong, `out` cannot be written, or the model has no label attention.
        CheckpointError: the checkpoint is none.
        DataError: there is no image, or none of them can be read.
    """
    require_whole_number('limit', limit, 1)
    found = named_images(images)
    if checkpoint is None and classes is None:
        raise ConfigError(
            "classes: found none for --checkpoint none, expected the names of the classes; give --classes 'dog, cat'"
        )
    if checkpoint is None:
        model = explainable(open_for_prediction(None, tower=tower, classes=classes, device=device).scorer)
    elif classes is not None:
        raise ConfigError(
            'classes: found them beside a checkpoint, which has those of its training, expected them for --checkpoint '
            'none alone; leave them out, or give --labels'
        )
    else:
        model = explainable(checkpoint, tower=tower, device=device)
    explain = Explainer(model, labels=labels, top=top)
    run = ExplanationRun(_folder(out), rule=explain.rule)
    if len(found) > limit:
        run.notes.append(f'found {len(found):,} images and drew the first {limit:,}; --limit {len(found)} draws all')
    error: ImageError | None = None
    positions = range(min(limit, len(found)))
    names = picture_names([found.names[position] for position in positions])
    for position, name in zip(tqdm(positions, unit='image', disable=None if limit > 1 else True), names, strict=True):
        try:
            explanation = explain(found.path(position))
        except ImageError as bad:
            error = bad
            run.notes.append(f'left out: {found.names[position]} ({reason_of(bad, found.path(position))})')
            continue
        path = run.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_explanation(explanation, path)
        run.lines.append(f'{path}: {in_words(explanation)}')
    if error is not None and not run.lines:
        raise error
    return run


def named_images(images: Sequence[str | os.PathLike]) -> ImageList:
    """The images that any number of sources name, each once, without the pictures that were drawn before.

    Raises:
        DataError: a source has no image.
    """
    lists = [find_images(source) for source in images]
    found = lists[0] if len(lists) == 1 else find_images([each.path(n) for each in lists for n in range(len(each))])
    kept = [n for n, name in enumerate(found.names) if not name.endswith(SUFFIX)] or range(len(found))
    return ImageList(found.source, found.root, [found.names[n] for n in kept], [found.files[n] for n in kept])


def picture_names(names: Iterable[str]) -> list[str]:
    """Names of the pictures of images: the image's own without its ending, which stays where two would be equal."""
    paths = [PurePosixPath(name.rpartition('/')[2] if is_address(name) else name.lstrip('./')) for name in names]
    stems = Counter(str(path.with_suffix('')).casefold() for path in paths)
    return [
        str(path if stems[str(path.with_suffix('')).casefold()] > 1 else path.with_suffix('')) + SUFFIX
        for path in paths
    ]


def in_words(explanation: Explanation) -> str:
    """The labels of an explanation in one line."""
    return '; '.join(f'{name} {explanation.verdict(number)}' for number, name in enumerate(explanation.names))


def _folder(out: str | os.PathLike) -> Path:
    path = Path(out).expanduser()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"out: found '{out}' ({error.strerror or error}), expected a folder that pictures can be written to"
        ) from error
    return path
