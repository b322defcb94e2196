"""The annotation in COCO's form that was read last: its classes are often asked for before its images."""

from __future__ import annotations

import os

from cssa_mm.datasets.data_root import DataRoot
from cssa_mm.datasets.readers.objects.instances import EXPECTED, Instances, read_instances
from cssa_mm.datasets.readers.objects.json_stream import pieces_of

Names = tuple[tuple[str, ...], tuple[str, ...]]
Stamp = tuple[str, int, int]


class LastInstances:
    """Keeps one annotation until a data set takes its images, and the class names of all that were read."""

    def __init__(self) -> None:
        self._last: tuple[Stamp, Instances] | None = None
        self._names: dict[Stamp, Names] = {}

    def names_in(self, files: DataRoot, path: str) -> Names:
        """The names of the categories of a file, declared and shown."""
        stamp = _stamp(files, path)
        if stamp not in self._names:
            instances = _read(files, path)
            self._last = stamp, instances
            self._names[stamp] = tuple(instances.names), tuple(instances.shown_names())
        return self._names[stamp]

    def take(self, files: DataRoot, path: str) -> Instances:
        """The content of a file, which is not kept any longer."""
        last, self._last = self._last, None
        return last[1] if last is not None and last[0] == _stamp(files, path) else _read(files, path)


def _read(files: DataRoot, path: str) -> Instances:
    return read_instances(pieces_of(files, path, EXPECTED), path)


def _stamp(files: DataRoot, path: str) -> Stamp:
    if '://' in path or not os.path.exists(path):
        return path, 0, id(files)
    status = os.stat(path)
    return os.path.abspath(path), status.st_size, status.st_mtime_ns
