"""The folder of a prediction: whose it is, what it was made with, and what of it is finished.

OUT/predictions.csv, ...    the results, put there together when all images are predicted
OUT/shards/run.json         the model and the images that the shards are of, and what was written of them
OUT/shards/000000.npz, ...  scores of about a thousand images each
OUT/shards/neighbours.pt    what was read in the images that all scores lean on (`neighbours.py`), if they do
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

from cssa_mm.apis.predicting.neighbours import FILE as NEIGHBOURS
from cssa_mm.apis.predicting.shards import Shards, remove_partial
from cssa_mm.errors import ConfigError
from cssa_mm.files import write_json

FORMAT = 1
LONGEST = 255  # bytes of a file's name
RUN, LOCK, WRITING = 'run.json', 'run.lock', '.writing'
PARTS = dict(
    neighbours='a model with other neighbours or none', checkpoint='another checkpoint', classes='other classes',
    view='another view', tower='another tower', version='another version of cssa_mm',
)  # fmt: skip


class OutFolder:
    """A folder for the results of a prediction.

    Args:
        path: the folder, which must be new, empty, or of an earlier prediction by the same model.
        replaces: start anew, whatever the folder holds; files of others stay.

    Raises:
        ConfigError: it is no folder, or holds something else.
    """

    def __init__(self, path: str | os.PathLike, replaces: bool = False) -> None:
        self.path = Path(path).expanduser()
        self.replaces = replaces
        self.state = self.path / 'shards'
        self.shards = Shards(self.state)
        self.made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f"out: found the file '{path}', expected a folder; give another name")
        if replaces and not self._has_own_state():
            raise ConfigError(
                f"out: found '{self.state}', which no prediction wrote, expected none: scores are kept in a folder of "
                'that name; give another --out'
            )
        if not replaces and self.path.is_dir() and not self._is_own():
            raise ConfigError(
                f"out: found '{path}', which holds something that no prediction wrote, expected a new or empty folder; "
                'give another, or --force to replace files of the same names in it'
            )

    @contextmanager
    def held(self, identity: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """Hold the folder for this process, and yield what is known of an earlier run in it; {} if there was none.

        Raises:
            ConfigError: it cannot be written, another process holds it, or its shards are of another model.
        """
        with self.writing():
            self.state.mkdir(parents=True, exist_ok=True)
        with open_lock(self.state / LOCK, self.path):
            with self.writing():
                remove_partial(self.state)
                shutil.rmtree(self.state / WRITING, ignore_errors=True)
            known = self._read_run()
            if self.replaces:
                self._clear(known)
                known = {}
            other = [part for part in PARTS if known and known['model'].get(part) != identity.get(part)]
            if other:
                raise ConfigError(
                    f'{self.path}: found predictions by {PARTS[other[0]]}, expected those of the model that was given; '
                    'give another --out, or --force to start anew'
                )
            yield known

    def record(self, identity: Mapping[str, str], images: Mapping[str, Any], finished: Mapping | None = None) -> None:
        """Write down what the shards are of, and what was written of them when all was finished."""
        with self.writing():
            write_json(
                self.state / RUN, dict(format=FORMAT, model=dict(identity), images=dict(images), finished=finished)
            )

    @contextmanager
    def staged(self) -> Iterator[Path]:
        """Yield a folder to write results to; when the block ends without an error, all are put in their places."""
        staging = self.state / WRITING
        with self.writing():
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir()
            try:
                yield staging
                for file in sorted(path for path in staging.rglob('*') if path.is_file()):
                    target = self.path / file.relative_to(staging)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    os.replace(file, target)
            finally:
                shutil.rmtree(staging, ignore_errors=True)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Say in one line what the system says of a file that cannot be written."""
        try:
            yield
        except OSError as error:
            raise ConfigError(
                f"out: cannot write to '{self.path}' ({error.strerror or error}), expected a folder with room that may "
                'be written to; what is finished is kept, so mend it and run the same command again'
            ) from error

    def neighbours(self) -> Path:
        """Where the neighbours of this run, or of the earlier one that it goes on with, are kept.

        Raises:
            ConfigError: an earlier run wrote scores without neighbours.
        """
        path = self.state / NEIGHBOURS
        if not self.replaces and not path.is_file() and self.shards.numbers():
            raise ConfigError(
                f"out: found '{self.path}' with predictions without neighbours, expected some with them; give another "
                'folder, or --force to start anew'
            )
        return path

    def has_written(self, finished: Mapping[str, Any], request: Mapping[str, Any]) -> bool:
        """Whether the results of a request are there, by the record of an earlier run."""
        return finished.get('request') == request and all((self.path / name).is_file() for name in finished['written'])

    def remove(self, names: Sequence[str]) -> None:
        """Remove results of an earlier run."""
        for name in names:
            (self.path / name).unlink(missing_ok=True)
            parent = (self.path / name).parent
            if parent != self.path and parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()

    def discard(self) -> None:
        """Remove what a run without any result has made."""
        self._clear_state()
        (self.state / LOCK).unlink(missing_ok=True)
        for folder in (self.state, *self.made):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def _is_own(self) -> bool:
        is_recorded = (self.state / RUN).is_file()
        return is_recorded or self._has_own_state() and all(path == self.state for path in self.path.iterdir())

    def _has_own_state(self) -> bool:
        """Whether there is no folder of shards, or one that a run wrote or was killed in before it wrote any."""
        if not self.state.is_dir() or (self.state / RUN).is_file():
            return not self.state.is_file()
        return all(path.name == LOCK or path.name.startswith(f'.{RUN[:3]}') for path in self.state.iterdir())

    def _clear_state(self) -> None:
        """Remove what runs keep beside the results; files of others stay."""
        remove_partial(self.state)
        shutil.rmtree(self.state / WRITING, ignore_errors=True)
        for path in (self.state / RUN, self.state / NEIGHBOURS, *map(self.shards.path, self.shards.numbers())):
            path.unlink(missing_ok=True)

    def _read_run(self) -> dict[str, Any]:
        path = self.state / RUN
        if not path.is_file():
            return {}
        try:
            content = json.loads(path.read_text('utf-8'))
            is_known = content['format'] == FORMAT and isinstance(content['model'], dict)
            _check_record(content)
        except (ValueError, KeyError, TypeError) as error:
            if self.replaces:
                return {}
            raise ConfigError(
                f'{path}: found no readable record of a prediction ({type(error).__name__}), expected the file as it '
                'was written; give another --out, or --force to start anew'
            ) from error
        if not is_known and not self.replaces:
            raise ConfigError(
                f'{path}: found a record of format {content["format"]}, expected {FORMAT}; give another --out, or '
                '--force to start anew'
            )
        return content

    def _clear(self, known: Mapping[str, Any]) -> None:
        with self.writing():
            self.remove((known.get('finished') or {}).get('written', ()))
            self._clear_state()


def _check_record(content: Mapping[str, Any]) -> None:
    """A ValueError, or a TypeError, unless a record is of our form, and names no result outside of its folder."""
    if not isinstance(content.get('images', {}), dict) or not isinstance(content.get('finished'), dict | None):
        raise TypeError('images or finished')
    finished = content.get('finished') or dict(written=[])
    written, is_done = finished['written'], finished.get('request') is not None
    if not isinstance(written, list) or is_done and not isinstance(finished['counts'], dict):
        raise TypeError('what was written, or counts')
    for name in written:  # which --force removes
        path = PurePath(name)
        is_inside = path.parts and not path.is_absolute() and '..' not in path.parts and '\0' not in name
        if not is_inside or max(len(os.fsencode(part)) for part in path.parts) > LONGEST:
            raise ValueError(f'{name!r} as a result')


@contextmanager
def open_lock(path: Path, folder: Path) -> Iterator[None]:
    """Hold a lock that ends with this process, however it ends; a system without such locks goes without.

    Raises:
        ConfigError: another process holds it.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    try:
        file = path.open('a', encoding='utf-8')
    except OSError as error:
        raise ConfigError(
            f"out: cannot write to '{folder}' ({error.strerror or error}), expected a folder that may be written to; "
            'give another'
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"out: found '{folder}' in use by another process that predicts into it, expected none; wait for it, "
                'or give another folder'
            ) from error
        except OSError:  # some network drives know no locks
            pass
        yield
