"""What a user should know of a prediction besides its counts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from cssa_mm.apis.chosen_labels import LabelChoice
from cssa_mm.apis.predicting.shards import Found
from cssa_mm.apis.predicting.sources import ImageList
from cssa_mm.apis.scorer import Scorer


def notes_on(found: ImageList, before: Found, then: Mapping[str, Any], missing: int) -> list[str]:
    """What to know of the images of a run, a line each, by what an earlier run had of them."""
    notes = [f'left out: {count:,} files {reason}' for reason, count in found.left_out.items()]
    if found.repeated:
        notes.append(f'{found.source}: {found.repeated:,} lines repeat an image; each is predicted once')
    done = len(found) - missing
    if done and missing:
        notes.append(f'{done:,} of {len(found):,} images were predicted before; {missing:,} are left')
    elif done:
        notes.append(f'all of {len(found):,} images were predicted before: their results are written anew')
    if done and then.get('root', found.place) != found.place:
        notes.append(
            f"the images lay in '{then['root']}' when they were predicted, and lie in '{found.place}' now: files of "
            'the same name, size and time of change count as the same; --force predicts them anew'
        )
    if then and then.get('digest') != found.digest:
        notes.append(
            f'the images have changed since the last run: {then.get("count"):,} then, {len(found):,} now; those that '
            f'are new are predicted, {before.gone:,} that are gone are left out'
        )
    if before.changed:
        notes.append(f'{before.changed:,} image files have changed since they were predicted: they are predicted anew')
    return notes


def note_on_untrained(scorer: Scorer, choice: LabelChoice) -> str:
    """What to know of the classes that were never trained."""
    names = scorer.zero_shot_names
    if len(names) == len(scorer.class_names):
        return 'no class was ever trained: all scores are those of zero-shot CLIP'
    note = f'never trained, scored by zero-shot CLIP: {", ".join(names)}'
    values = dict(zip(scorer.class_names, choice.thresholds.values, strict=True))
    if choice.top is None and any(math.isnan(values[name]) for name in names):
        note += '; the checkpoint has no thresholds for them: no image gets them without --threshold or --top'
    return note
