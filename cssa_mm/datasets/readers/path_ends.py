"""Images by a path that another machine wrote: the longest end of it that leads to exactly one."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from functools import cached_property

from cssa_mm.names import one_form


class PathEnds:
    """Finds paths, relative to a folder with forward slashes, by longer or shorter forms of them.

    Args:
        paths: The paths that can be found.
        is_stem: Whether extensions don't matter.
    """

    def __init__(self, paths: Iterable[str], is_stem: bool = False) -> None:
        self.is_stem = is_stem
        self._whole: dict[str, list[str]] = {}
        for path in paths:
            self._whole.setdefault(self._form(path), []).append(path)

    def find(self, path: str) -> list[str]:
        """What a written path can mean: one path, several, or none.

        The path itself comes first. Else, one that is an end of it (it was written on another machine), the longest;
        else those of which it is an end (it was written without folders). A file of the same name whose folders differ
        is another one.
        """
        form = self._form(path)
        parts = form.split('/')
        for start in range(len(parts)):
            found = self._whole.get('/'.join(parts[start:]))
            if found:
                return found
        return [other for other in self._by_name.get(parts[-1], ()) if self._form(other).endswith(f'/{form}')]

    def _form(self, path: str) -> str:
        path = posixpath.normpath(one_form(path).replace('\\', '/')).lstrip('/')
        return posixpath.splitext(path)[0] if self.is_stem else path

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        names: dict[str, list[str]] = {}
        for path in (path for paths in self._whole.values() for path in paths):
            names.setdefault(posixpath.basename(self._form(path)), []).append(path)
        return names
