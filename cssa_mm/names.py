"""Names: the one form in which those of classes and files are compared, and what those of components stand for."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from mmengine.registry import Registry

# Byte-order mark and zero-width characters that editors and spreadsheets leave behind; the joiners between letters and
# emoji are part of names.
INVISIBLE = re.compile('[\ufeff\u200b\u2060\u00ad]')
BLANK = re.compile(r'\s')


def one_form(text: str) -> str:
    """A text in Unicode's composed form (NFC) without byte-order marks, each kind of blank as ' ', stripped.

    `café` typed on a Mac and on Windows are the same then.

    >>> one_form('\\ufeffcafe\\u0301\\u00a0bar ')
    'café bar'
    """
    return BLANK.sub(' ', INVISIBLE.sub('', unicodedata.normalize('NFC', text))).strip()


def plain_name(name: str) -> str:
    """A class name as names are compared: in one form, without case, blanks, '_' and '-'."""
    return re.sub('[ _-]', '', one_form(name).casefold())


def component_of(kind: Any, registry: Registry) -> Any:
    """What a config's ``type`` stands for: the component of that name, or None; what is no name stands for itself."""
    return registry.get(kind) if isinstance(kind, str) else kind
