"""How label files write the path of an image: relative, absolute, of another machine, as an address or an upload."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from typing import NamedTuple
from urllib.parse import parse_qs, unquote

from cssa_mm.names import one_form

ADDRESS = re.compile(r'([A-Za-z][A-Za-z0-9+.-]+)://+([^/]*)/?(.*)', re.DOTALL)  # more than a drive's letter
LOCAL_FILES = re.compile(r'/local-files/?\?(.*)$')  # Label Studio's address of a file on a disk
UPLOAD = re.compile(r'(?:^|/)(?:data|media)/upload/(?:\d+/)?[^/]+$')  # and of one that was uploaded to it
UPLOAD_PREFIX = re.compile(r'^[0-9a-f]{8}-')


class WrittenPath(NamedTuple):
    """The path of an image in forward slashes and without '.', in its parts.

    Attributes:
        directory: All before the name, without host or bucket; '' where there is none.
        name: The last part, with or without an extension.
        is_kept_name: Whether the name alone is known, as of an upload, whose directory says nothing.
        leaves: Whether the path starts with '..'.
    """

    directory: str
    name: str
    is_kept_name: bool = False
    leaves: bool = False

    @property
    def path(self) -> str:
        """Directory and name."""
        return f'{self.directory}/{self.name}' if self.directory else self.name


def readings_of(text: str) -> list[WrittenPath]:
    """What a written path can mean, the likeliest first; more than one where it may be percent-encoded, or an upload.

    >>> readings_of('C:\\\\data\\\\north\\\\1.jpg')[0].directory
    'C:/data/north'
    >>> [reading.path for reading in readings_of('https://host/a%20b.jpg?width=200')]
    ['a%20b.jpg', 'a b.jpg']
    """
    path, is_address = _without_address(text)
    paths = [path]
    if '%' in path and unquote(path) != path:
        paths.append(unquote(path))
    result = []
    for path in paths:
        path = _plain(path)
        if UPLOAD.search(path):
            result += _uploads(path)
        else:
            leaves = not is_address and (path == '..' or path.startswith('../'))
            result.append(WrittenPath(*_parts(path), leaves=leaves))
    return result


def upload_names(name: str) -> set[str]:
    """The names that Label Studio can store an upload by: blanks become '_', and all but letters, digits, '-', '_' and
    '.' goes. Which letters these are differs with the Unicode form in which the browser sent the name.

    >>> upload_names("Tom's photo (2).jpg")
    {'Toms_photo_2.jpg'}
    """
    forms = (name, unicodedata.normalize('NFC', name), unicodedata.normalize('NFD', name))
    return {one_form(re.sub(r'[^-\w.]', '', form.strip().replace(' ', '_'))) for form in forms}


def _without_address(text: str) -> tuple[str, bool]:
    found = LOCAL_FILES.search(text)
    if found and 'd' in (query := parse_qs(found[1])):
        return query['d'][0], True
    found = ADDRESS.match(text)
    if not found:
        return text, text.startswith('/data/upload/')
    scheme, _, path = found.groups()
    if scheme.lower() in ('http', 'https'):
        path = re.split('[?#]', path, maxsplit=1)[0]
    return path, True


def _plain(path: str) -> str:
    path = path.replace('\\', '/')
    if '//' in path or path.startswith('./') or '/.' in path or path.endswith('/'):
        path = posixpath.normpath(path)
    return path


def _parts(path: str) -> tuple[str, str]:
    directory, name = posixpath.split(path)
    return directory, name


def _uploads(path: str) -> list[WrittenPath]:
    """An upload keeps its name behind a prefix, so the image is there as Label Studio stored it, or by its name."""
    directory, name = _parts(path)
    plain = UPLOAD_PREFIX.sub('', name)
    number = posixpath.basename(directory)
    stored = [WrittenPath(number, name, is_kept_name=True)] if number.isdecimal() else []
    kept = [WrittenPath('', each, is_kept_name=True) for each in dict.fromkeys((name, plain))]
    return stored + kept
