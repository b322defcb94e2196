"""XML of label files: whatever encoding it declares, and without entities of its own."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, ParseError  # nosec B405 # types: defusedxml parses

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from cssa_mm.errors import DataError

HEAD = re.compile(r'^\s*(<\?xml[^>]*\?>)?\s*')
DECLARED = re.compile(rb'\s*<\?xml[^>]*?encoding\s*=\s*["\']([\w.:-]+)["\']')


def parse_xml(content: bytes, path: str, expected: str) -> Element:
    """The root of an XML file.

    Raises:
        DataError: It is no XML, in another encoding than it declares, or declares entities, which can blow up.
    """
    text = _decoded(content, path, expected)
    try:
        # A text says nothing of its encoding any more; lines keep their numbers.
        return fromstring(HEAD.sub(lambda match: '\n' * match[0].count('\n'), text, count=1))
    except DefusedXmlException as error:
        raise DataError(
            f'{path}: found entities that the file declares itself (<!ENTITY), which no tool for labels writes, '
            f'expected {expected}; export it again.'
        ) from error
    except (ParseError, ValueError) as error:
        raise DataError(f'{path}: found no valid XML ({error}), expected {expected}; restore the file.') from error


def _decoded(content: bytes, path: str, expected: str) -> str:
    declared = DECLARED.match(content)
    encoding = declared[1].decode('ascii') if declared else 'utf-8'
    if content.startswith((b'\xff\xfe', b'\xfe\xff')):
        encoding = 'utf-16'
    elif b'\0' in content[:8]:
        encoding = 'utf-16-be' if content[:1] == b'\0' else 'utf-16-le'
    elif encoding.lower() in ('utf-8', 'utf8'):
        encoding = 'utf-8-sig'
    try:
        return content.decode(encoding)
    except (UnicodeDecodeError, LookupError) as error:
        reason = f'{error.reason} at byte {error.start}' if isinstance(error, UnicodeDecodeError) else str(error)
        raise DataError(
            f'{path}: cannot be read as {encoding.upper().removesuffix("-SIG")} text ({reason}), expected {expected}; '
            'save it in UTF-8.'
        ) from error
