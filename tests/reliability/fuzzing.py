"""Wounded files of every reader: success or one clear line, never a traceback of another kind, never a hang.

`test_fuzz.py` runs them; a failure is told with the number that makes it again.
"""

import os
import random
import signal
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cssa_mm  # noqa: F401  registers the components
from cssa_mm.errors import CSSAError
from tests.reliability.fuzz_wounds import wounded

SECONDS = 60  # in which every reading must end; the slowest takes one, on a busy machine some
IMAGES = ('.jpg', '.png')


@dataclass
class Reader:
    """A reader, and files that it reads.

    write: writes valid files into a folder.
    read: reads them; a CSSAError is a refusal.
    wound: wounds them in a way that bytes alone would hardly find; None leaves it at the bytes.
    suffixes: of the files whose bytes are wounded; empty for all but images.
    weight: its share of all inputs.
    """

    write: Callable[[Path], None]
    read: Callable[[Path], None]
    wound: Callable[[random.Random, Path], None] | None = None
    suffixes: tuple[str, ...] = ()
    weight: float = 1.0
    files: dict[str, bytes] = field(default_factory=dict)

    def prepared(self, folder: Path) -> None:
        """Write the files, see that they are read, and remember them."""
        self.write(folder)
        self.files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob('*') if path.is_file()}
        self.read(folder)

    def targets(self) -> list[str]:
        """The files whose bytes are wounded."""
        chosen = [name for name in self.files if not self.suffixes or name.endswith(self.suffixes)]
        return sorted(name for name in chosen if self.suffixes or not name.endswith(IMAGES))


class HangError(BaseException):
    """A reading did not end; no `except Exception` may take it for a broken file."""


@contextmanager
def must_end():
    def stop(*_):
        raise HangError(f'no end within {SECONDS} s')

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def restore(reader: Reader, folder: Path) -> None:
    """Put the valid files back, and take away what a reading has left."""
    for path in sorted(folder.rglob('*'), reverse=True):
        if path.is_file() and str(path.relative_to(folder)) not in reader.files:
            path.unlink()
    for name, content in reader.files.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != len(content) or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def attempt(reader: Reader, folder: Path, rng: random.Random) -> str:
    """Read wounded files: 'read' or 'refused'.

    Raises:
        AssertionError: a refusal has no line, or several.
        BaseException: whatever else the reader raises.
    """
    targets = reader.targets()
    if reader.wound is not None and (not targets or rng.random() < 0.5):
        reader.wound(rng, folder)
    else:
        for name in rng.sample(targets, min(len(targets), rng.choice((1, 1, 1, 2)))):
            (folder / name).write_bytes(wounded(rng, reader.files[name], name))
    try:
        with must_end(), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            reader.read(folder)
        return 'read'
    except CSSAError as error:
        refuse_other_lines(error)
        return 'refused'
    finally:
        restore(reader, folder)


def refuse_other_lines(error: CSSAError) -> None:
    """An AssertionError unless a refusal is one line that people read."""
    text, kind = str(error), type(error).__name__
    assert text.strip(), f'{kind} without a message'
    assert '\n' not in text, f'{kind} of several lines: {text!r}'


def fuzz(name: str, reader: Reader, inputs: int, seed: int, folder: Path, say: Callable[[str], None]) -> Counter:
    """Read `inputs` wounded files; failures are told once a kind, with what makes them again."""
    reader.prepared(folder)
    counts: Counter = Counter(inputs=inputs, read=0, refused=0, tracebacks=0, hangs=0)
    known: set[str] = set()
    for number in range(inputs):
        try:
            counts[attempt(reader, folder, random.Random(f'{name} {seed} {number}'))] += 1
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a reader raises is what is looked for
            counts['hangs' if isinstance(error, HangError) else 'tracebacks'] += 1
            last = [line for line in traceback.extract_tb(error.__traceback__) if 'cssa_mm/' in line.filename][-1:]
            place = ''.join(f'{line.filename.split("cssa_mm/")[-1]}:{line.lineno}' for line in last)
            if (kind := f'{type(error).__name__} {place}') not in known:
                known.add(kind)
                text = ' '.join(str(error).split())[:300]
                say(f'  {name}, number {number}: {kind}: {ascii(text)}')
                if 'CSSA_FUZZ_TRACE' in os.environ:
                    say(''.join(traceback.format_exception(error)))
    return counts
