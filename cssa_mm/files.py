"""Write files whole or not at all, and find the files that come with the package."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cssa_mm.errors import ConfigError, DataError
from cssa_mm.folders import writable_folder

PACKAGE = Path(__file__).parent
DEMO_CLIP = PACKAGE / 'demo' / 'clip'
CODE = ('.py', '.json', '.gz', '.safetensors', '.txt')  # ignores the files that editors and Python leave behind


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a path beside `path` to write to; it takes the place of `path` when the block ends without an error.

    Readers see the old file or the whole new one. Processes that write the same file don't disturb each other, and the
    file is on the disk when it gets its name, and the name when the block has ended.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'.{path.stem}.{os.getpid()}.tmp{path.suffix}')
    try:
        yield partial
        with partial.open('rb+') as file:  # Windows brings only those to the disk that may be written to
            os.fsync(file.fileno())
        os.replace(partial, path)
        sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def sync_folder(path: str | os.PathLike) -> None:
    """Bring the names in a folder to the disk; where folders cannot be opened (Windows), do nothing."""
    if hasattr(os, 'O_DIRECTORY'):
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def partial_files(folder: str | os.PathLike, suffix: str) -> list[Path]:
    """Files of this suffix that `replacing` had begun to write in a folder: those of a process that was killed."""
    return sorted(Path(folder).glob(f'.*.tmp{suffix}'))


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a UTF-8 text file, whole or not at all.

    Raises:
        DataError: the text holds the name of a file that is no UTF-8.
    """
    try:
        text.encode('utf-8')
    except UnicodeEncodeError as error:
        name = text[: error.start].rpartition('\n')[2] + text[error.start :].partition('\n')[0]
        raise DataError(
            f'{path}: found a name to write that is no UTF-8 ({ascii(name[-120:])}), expected one that '
            'is; rename the file'
        ) from error
    with replacing(path) as partial:
        partial.write_text(text, encoding='utf-8')


def write_json(path: str | os.PathLike, content: object, indent: int | None = 1) -> None:
    """Write a JSON file, whole or not at all."""
    write_text(path, json.dumps(content, indent=indent, ensure_ascii=False) + '\n')


@contextmanager
def new_folder(path: str | os.PathLike, replaces: bool = False, parts: Sequence[str] = ()) -> Iterator[Path]:
    """Yield a folder beside `path` to write to; it becomes `path` when the block ends without an error.

    Args:
        path: the folder, which must be new or empty unless `replaces`.
        replaces: if the folder holds something, what was written takes the place of `parts` in it; the rest stays.
        parts: names of files and folders that may be replaced.

    Raises:
        ConfigError: `path` is no folder, or holds something.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise ConfigError(f"out: found the file '{path}', expected a folder; give another name.")
    if path.is_dir() and any(path.iterdir()) and not replaces:
        raise ConfigError(
            f"out: found '{path}', which holds something, expected a new or empty folder; give another, or --force to "
            f'replace {", ".join(parts)} in it.'
        )
    writable_folder(path.absolute().parent, 'out')
    partial = path.absolute().with_name(f'.{path.absolute().name}.{os.getpid()}.tmp')
    partial.mkdir()
    try:
        yield partial
        if not path.is_dir() or not any(path.iterdir()):
            os.replace(partial, path)
            return
        old = partial / '.replaced'
        old.mkdir()
        for name in parts:
            if os.path.lexists(path / name):
                os.replace(path / name, old / name)
            if os.path.lexists(partial / name):
                os.replace(partial / name, path / name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def cache_root() -> Path:
    """The folder of this user's cache for this package; it need not exist."""
    return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'cssa_mm'


def file_facts(path: str | os.PathLike) -> str:
    """Size and time of change of a file, by which a change is seen; a file that cannot be reached has none."""
    try:
        status = os.stat(path)
    except OSError:
        return 'unreachable'
    return f'{status.st_size} {status.st_mtime_ns}'


def configs_root() -> Path | None:
    """The folder that holds `configs/`: beside the package in a checkout, in it after an installation.

    None where the package was copied without its configs.
    """
    places = (PACKAGE.parent, PACKAGE)
    return next((place for place in places if (place / 'configs' / 'metafile.yml').is_file()), None)


def shipped_config(path: str | os.PathLike) -> Path | None:
    """The shipped config of this name or relative path (`cssa_demo`, `configs/cssa_demo.py`); None if there is none."""
    root = configs_root()
    if root is None:
        return None
    name = Path(path)
    if name.is_absolute():
        return name if name.is_file() and name.suffix == '.py' else None
    choices = [root / name, root / 'configs' / name, root / 'configs' / f'{name}.py']
    return next((choice for choice in choices if choice.is_file() and choice.suffix == '.py'), None)


def code_digest(places: Sequence[str] = ('',)) -> str:
    """A hash of the code and of the demo's CLIP, without commands and figures, which change no result.

    Args:
        places: folders or files of the package that count, such as 'models/towers'; by default all.
    """
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob('*')):
        place = path.relative_to(PACKAGE)
        is_wanted = any(place.as_posix().startswith(wanted) for wanted in places)
        if is_wanted and path.suffix in CODE and place.parts[0] not in ('cli', 'visualization', 'configs'):
            digest.update(f'{place.as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}\n'.encode())
    return digest.hexdigest()[:16]
