"""XMP sidecars: the labels as keywords in a file beside each photo, which photo managers read; never in the photo.

`photo.jpg` gets `photo.jpg.xmp`, the name that digiKam, darktable and Immich look for; it also keeps `photo.jpg` and
`photo.png` apart. Lightroom reads no sidecar of a JPEG. Keywords are `dc:subject`, and `digiKam:TagsList` for Immich,
which looks there; names that were never trained are marked in `cssa:zeroShot`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape, quoteattr  # nosec B406 # it writes XML

from cssa_mm.apis.predicting.rows import PredictedImage
from cssa_mm.apis.predicting.sources import is_address
from cssa_mm.apis.predicting.writers.streams import zero_shot_names
from cssa_mm.errors import ConfigError
from cssa_mm.files import write_text

SUFFIX = '.xmp'
MARK = '<!-- written by cssa_mm; sha256 of what follows: {} -->\n'
NAMESPACES = (
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:digiKam="http://www.digikam.org/ns/1.0/" '
    'xmlns:cssa="https://cssa-mm.example/ns/1.0/"'
)


class SidecarCounts(NamedTuple):
    """What became of the sidecars.

    written: of images with labels.
    removed: ours of an earlier run, of images that have no label now.
    foreign: those that are there and that another program wrote or changed; they stay as they are.
    first_foreign: one of these.
    distant: images in a storage, which get none.
    """

    written: int = 0
    removed: int = 0
    foreign: int = 0
    first_foreign: str | None = None
    distant: int = 0

    def text(self) -> str:
        """In one line, what was done."""
        line = f'{self.written} sidecars written beside the photos'
        if self.removed:
            line += f', {self.removed} of an earlier run removed'
        if self.foreign:
            line += (
                f'; {self.foreign} photos have a sidecar that another program wrote or changed, such as '
                f'{self.first_foreign}: left as they are, without the labels'
            )
        if self.distant:
            line += f'; {self.distant} images are at addresses, beside which none is written'
        return line


def write_sidecars(rows: Iterable[PredictedImage], facts: Mapping[str, Any]) -> SidecarCounts:
    """Write a sidecar beside each photo that has labels; those that we did not write stay as they are.

    Args:
        rows: the images.
        facts: those of the model.

    Raises:
        ConfigError: the folder of a photo cannot be written.
    """
    untrained = zero_shot_names(facts)
    written = removed = foreign = distant = 0
    first: str | None = None
    for row in rows:
        if is_address(row.path):
            distant += 1
            continue
        path = Path(f'{row.path}{SUFFIX}')
        try:
            if os.path.lexists(path) and not _is_ours(path):
                foreign, first = foreign + 1, first or str(path)
            elif row.labels:
                write_text(path, sidecar(row.labels, untrained, str(facts.get('made_by') or 'cssa_mm')))
                written += 1
            elif path.exists():
                path.unlink()
                removed += 1
        except OSError as error:
            raise ConfigError(
                f'sidecars: found no way to write {path} ({error.strerror or error}), expected a folder of photos that '
                'can be written, with space on its disk; leave out --sidecars, or predict a copy of the folder.'
            ) from error
    return SidecarCounts(written, removed, foreign, first, distant)


def sidecar(labels: Iterable[str], untrained: Iterable[str] = (), made_by: str = 'cssa_mm') -> str:
    """The text of a sidecar with these keywords."""
    labels, untrained = list(labels), set(untrained)
    parts = [_list('dc:subject', 'Bag', labels), _list('digiKam:TagsList', 'Seq', labels)]
    if marked := [name for name in labels if name in untrained]:
        parts.append(_list('cssa:zeroShot', 'Bag', marked))
    body = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
        f' <rdf:RDF {NAMESPACES}>\n'
        f'  <rdf:Description rdf:about="" xmp:CreatorTool={quoteattr(made_by)}>\n'
        f'{"".join(parts)}'
        '  </rdf:Description>\n'
        ' </rdf:RDF>\n'
        '</x:xmpmeta>\n'
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{MARK.format(_digest(body))}{body}'


def _list(name: str, kind: str, values: Iterable[str]) -> str:
    items = ''.join(f'     <rdf:li>{escape(value)}</rdf:li>\n' for value in values)
    return f'   <{name}>\n    <rdf:{kind}>\n{items}    </rdf:{kind}>\n   </{name}>\n'


def _is_ours(path: Path) -> bool:
    """Whether a sidecar is as we wrote it: another program that adds to it keeps no right digest."""
    if path.is_symlink() or not path.is_file():
        return False
    lines = path.read_bytes().split(b'\n', 2)
    if len(lines) < 3:
        return False
    return lines[1] == MARK.format(_digest(lines[2].decode('utf-8', 'replace'))).strip().encode()


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
