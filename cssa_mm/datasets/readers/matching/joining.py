"""Which images of a folder the rows of a label table describe."""

from __future__ import annotations

import os
import posixpath
from collections import Counter
from collections.abc import Sequence
from itertools import islice

import numpy as np

from cssa_mm.datasets.images.image_folder import ImageFolder
from cssa_mm.datasets.readers.label_table import UNKNOWN, LabelTable
from cssa_mm.datasets.readers.matching.image_finder import AS_WRITTEN, BY_ADDRESS, BY_END, MISSING, Found, ImageFinder
from cssa_mm.datasets.readers.matching.written_paths import WrittenPath, readings_of
from cssa_mm.errors import DataError, nearest
from cssa_mm.names import one_form

SEARCHED = 20_000  # images among which the nearest name is looked for


def images_of(table: LabelTable, folder: ImageFolder) -> list[str]:
    """The image id of each of the n rows of a table; the rule that found them becomes a fact of its understanding.

    Raises:
        DataError: A path leaves the folder, fits several images or none, or two paths lead to one image by their end.
    """
    table.understanding.left_out |= folder.left_out
    ids = folder.image_ids
    others = [path for path in dict.fromkeys(table.paths) if path not in ids]
    if not others:
        _tell(table, Counter({AS_WRITTEN: len(table)}))
        return list(table.paths)
    search = _Search(table, folder, others)
    found = search.run()
    result = [path if path in ids else found[path].image_id for path in table.paths]
    missing = [row for row, image_id in enumerate(result) if image_id is None]
    if missing:
        raise DataError(search.missing_line(missing))
    search.refuse_joined(found)
    _tell(table, Counter(AS_WRITTEN if path in ids else found[path].rule for path in table.paths), found)
    return [image_id for image_id in result if image_id is not None]


def _tell(table: LabelTable, rules: Counter[str], found: dict[str, Found] | None = None) -> None:
    if not len(table):
        return
    cuts = Counter(each.cut for each in (found or {}).values() if each.cut)
    text = ', '.join(f'{rule} ({count} of {len(table)} rows)' for rule, count in rules.most_common())
    if cuts:
        text += f"; left off: '{cuts.most_common(1)[0][0]}'" + (f' and {len(cuts) - 1} more' if len(cuts) > 1 else '')
    table.understanding.facts['images'] = f'found {text}'


class _Search:
    """The paths of a table that are no image id as they stand."""

    def __init__(self, table: LabelTable, folder: ImageFolder, paths: Sequence[str]) -> None:
        self.table = table
        self.folder = folder
        self.paths = paths
        self.finder = ImageFinder(folder)
        self.places: dict[str, tuple[str, Found]] = {}
        is_address = '://' in folder.root
        self.roots = (
            (folder.root.rstrip('/'),) * 2
            if is_address
            else (os.path.abspath(folder.root), os.path.realpath(folder.root))
        )

    def run(self) -> dict[str, Found]:
        """Where each path leads; those that other rows must confirm come last."""
        found = {path: self._find(path) for path in self.paths}
        confirmed = {each.cut for each in found.values() if each.cut and not each.is_open}
        is_common = len(self.paths) > 1 and len({each.cut if each.is_open else None for each in found.values()}) == 1
        is_common = is_common and len(self.paths) == len(set(self.table.paths))
        for path, each in found.items():
            if each.is_open and each.image_id is not None and each.cut not in confirmed:
                if not (is_common and self.finder.is_only_name(each.image_id)):
                    found[path] = MISSING
        return found

    def _find(self, path: str) -> Found:
        """Where a path leads; of the paths with one directory, all but the first are found by a dictionary alone."""
        cut = max(path.rfind('/'), path.rfind('\\')) + 1
        head, name = path[:cut], path[cut:]
        place, found = self.places.get(head, ('', MISSING))
        if found is not MISSING and f'{place}{name}' in self.folder.image_ids:
            return Found(f'{place}{name}', found.rule, found.cut, found.is_open)
        found = self._search(path)
        if (
            found.image_id is not None
            and found.rule in (AS_WRITTEN, BY_ADDRESS, BY_END)
            and found.image_id.endswith(name)
        ):
            is_here = os.path.isabs(head) and os.path.isdir(head)
            if not is_here and not self.finder.has_siblings(found.cut):
                self.places[head] = (found.image_id.removesuffix(name), found)
        return found

    def _search(self, path: str) -> Found:
        for written in readings_of(self._from_root(path)):
            found = self.finder.find(written)
            if written.leaves or self._is_outside(path, found):
                raise DataError(
                    f"{self._where(path)}: found the path '{path}', which leaves the image folder "
                    f"'{self.folder.root}', expected one below it; move the image there and correct the path."
                )
            if found.others:
                shown = ', '.join(f"'{other}'" for other in islice(found.others, 3))
                raise DataError(
                    f"{self._where(path)}: found '{path}', which fits {len(found.others)} images of "
                    f"'{self.folder.root}' ({shown}{', ...' if len(found.others) > 3 else ''}), expected a path that "
                    'tells which; write the directory or the extension, too, or set img_dir.'
                )
            if found.image_id is not None:
                is_address = found.rule == AS_WRITTEN and '://' in self._from_root(path)
                return found._replace(rule=BY_ADDRESS) if is_address else found
        return MISSING

    def _from_root(self, path: str) -> str:
        """A path below the image folder of this machine, counted from there; others as they are."""
        for root in self.roots:
            if path.startswith(root) and path[len(root) : len(root) + 1] in ('/', os.sep) and '..' not in path:
                return path[len(root) + 1 :]
        return path

    def _is_outside(self, path: str, found: Found) -> bool:
        """Whether an absolute path leads to a file of this machine that is none of the image folder's."""
        if (
            '://' in self.roots[0]
            or not os.path.isabs(path)
            or self._from_root(path) != path
            or not os.path.exists(path)
        ):
            return False
        below = os.path.join(self.roots[1], '')
        if os.path.realpath(path).startswith(below):
            return False
        own = None if found.image_id is None else os.path.join(self.roots[0], self.folder.path_of(found.image_id))
        return own is None or not os.path.exists(own) or not os.path.samefile(own, path)

    def refuse_joined(self, found: dict[str, Found]) -> None:
        """DataError where two paths lead to one image, and one of them by its end: they may mean two photos."""
        ids = self.folder.image_ids
        paths = list(dict.fromkeys(self.table.paths))
        if len({path if path in ids else found[path].image_id for path in paths}) == len(paths):
            return
        first: dict[str, tuple[str, str]] = {}
        for path in paths:
            image_id = path if path in ids else found[path].image_id
            if image_id is None:
                continue
            is_certain = path in ids or found[path].rule == AS_WRITTEN
            meant = image_id if is_certain else one_form(path.replace('\\', '/'))
            other, other_meant = first.setdefault(image_id, (path, meant))
            if other_meant != meant:
                raise DataError(
                    f"{self._where(path)}: found '{path}', which leads to the image '{image_id}' as '{other}' does "
                    f'({self._where(other)}), expected one path for each image; if they are two photos, keep their '
                    'directories below img_dir, else write the same path in both.'
                )

    def missing_line(self, rows: Sequence[int]) -> str:
        """One line about the first of the rows whose image is missing."""
        path, count, total = self.table.paths[rows[0]], len(rows), len(self.table)
        readings = readings_of(self._from_root(path))
        fix = 'Correct the path or img_dir, add the image, or take it out of the file.'
        if count == total > 1:
            fix = 'None is there: img_dir looks wrong. ' + fix
        return (
            f"{self.table.where(rows[0])}: found '{path}', but no such image in '{self.folder.root}' ({count} of "
            f'{total} are missing), expected every image that the file lists.{self._hint(readings)} {fix}'
        )

    def _hint(self, readings: Sequence[WrittenPath]) -> str:
        folder, last = self.folder, readings[-1]
        for written in readings:
            for name in (written.path, written.name):
                reason = next((reason for reason, names in folder.left_out.items() if name in names), None)
                if reason is not None:
                    return f' The file is there, but is not read: {name} is one of those {reason}.'
        same = [image_id for image_id in folder.image_ids if posixpath.basename(image_id) == last.name]
        if same:
            return f" It is not '{same[0]}', which lies in no folder of that path."
        return nearest(last.path, islice(folder.image_ids, SEARCHED))

    def _where(self, path: str) -> str:
        return self.table.where(list(self.table.paths).index(path))


def join_rows(table: LabelTable, image_ids: Sequence[str], labels: np.ndarray) -> dict[str, np.ndarray]:
    """The labels (C,) of each image, those of its rows together: a positive counts, then a negative, then unknown.

    Args:
        table: n rows.
        image_ids: The image of each row.
        labels: Their labels, int8 (n, C).

    Raises:
        DataError: Rows of one image differ in a table that has one row an image; one that knows nothing does not.
    """
    first: dict[str, int] = {}
    joined = labels.copy()
    for row, image_id in enumerate(image_ids):
        start = first.setdefault(image_id, row)
        if start == row:
            continue
        known = [(each != UNKNOWN).any() for each in (labels[start], labels[row])]
        if not table.is_split and all(known) and not np.array_equal(labels[start], labels[row]):
            raise DataError(
                f"{table.where(row)}: found image id '{image_id}' again, with other labels than in "
                f'{table.where(start)}, expected one row an image; remove the wrong row.'
            )
        joined[start] = np.maximum(joined[start], labels[row])
    return {image_id: joined[row] for image_id, row in first.items()}
