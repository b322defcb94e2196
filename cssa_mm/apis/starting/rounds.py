"""What earlier calls have done: each set of labels is a round of its own, in a folder of its own.

OUT/start.json               the rounds, and what was chosen at the first call
OUT/no_labels/               predictions/ and suggestions/ of zero-shot CLIP
OUT/30_labelled/             training/, predictions/ and suggestions/ with 30 labelled photos
OUT/features/                features of the photos, which the trainings of all rounds read
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cssa_mm.apis.starting.project import Project
from cssa_mm.errors import ConfigError
from cssa_mm.files import write_json

FILE = 'start.json'


@dataclass
class Rounds:
    """The rounds of a folder of photos.

    Attributes:
        out: the folder of all results.
        photos: the folder of the photos.
        tower: what `--tower` said at the first call.
        names: digest of the labels -> folder of the round, in the order in which they were begun.
        checkpoints: digest of the labels -> checkpoint of the finished training.
    """

    out: Path
    photos: str
    tower: str | None = None
    names: dict[str, str] = field(default_factory=dict)
    checkpoints: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, out: Path, photos: Path, tower: str | None) -> Rounds:
        """What is written in `out`, or a beginning.

        Raises:
            ConfigError: `out` is of other photos, or another tower is asked for.
        """
        path, place = out / FILE, os.path.abspath(photos)
        if not path.is_file():
            if out.exists() and (not out.is_dir() or any(out.iterdir())):
                raise ConfigError(
                    f"out: found '{out}', which holds something that start did not write, expected a new or empty "
                    'folder; give another --out'
                )
            return cls(out, place, tower)
        try:
            found = cls(out, **json.loads(path.read_text('utf-8')))
        except (ValueError, TypeError) as error:
            raise ConfigError(
                f'{path}: found no record of start ({error}), expected one; give another --out'
            ) from error
        if found.photos != place:
            raise ConfigError(
                f"out: found '{out}' of the photos in '{found.photos}', expected those of '{place}'; give another --out"
            )
        if tower is not None and tower != found.tower:
            before = f'--tower {found.tower}' if found.tower else 'the default tower'
            raise ConfigError(f"tower: found '{tower}', but '{out}' was begun with {before}; give another --out")
        return found

    @property
    def features(self) -> Path:
        """The folder of the features."""
        return self.out / 'features'

    def folder(self, project: Project) -> Path:
        """The folder of the round of a project's labels, a new one where the labels are new."""
        if project.digest not in self.names:
            name = f'{project.labelled}_labelled' if project.can_train else 'no_labels'
            taken = list(self.names.values())
            number = sum(other == name or other.startswith(f'{name}_v') for other in taken)
            self.names[project.digest] = name if not number else f'{name}_v{number + 1}'
            self.write()
        return self.out / self.names[project.digest]

    def checkpoint(self, project: Project) -> Path | None:
        """The checkpoint of a finished training on these labels, if it is still there."""
        path = self.checkpoints.get(project.digest)
        return self.out / path if path and (self.out / path).is_file() else None

    def finish(self, project: Project, checkpoint: Path) -> None:
        """Note the checkpoint of a finished training."""
        self.checkpoints.pop(project.digest, None)
        self.checkpoints[project.digest] = os.path.relpath(checkpoint, self.out)
        self.write()

    def write(self) -> None:
        """Write the record."""
        content = asdict(self)
        content.pop('out')
        write_json(self.out / FILE, content)
