"""The text of a label file in the encodings that editors and spreadsheets write."""

from __future__ import annotations

import codecs

from cssa_mm.errors import DataError

MARKS = (
    (codecs.BOM_UTF8, 'utf-8-sig'),
    (codecs.BOM_UTF32_LE, 'utf-32'),  # before UTF-16, whose mark it starts with
    (codecs.BOM_UTF32_BE, 'utf-32'),
    (codecs.BOM_UTF16_LE, 'utf-16'),
    (codecs.BOM_UTF16_BE, 'utf-16'),
)


def decode_text(content: bytes, source: str) -> tuple[str, str]:
    """Text and name of the encoding: that of the byte-order mark, else UTF-8, else cp1252 (Excel on Windows).

    Raises:
        DataError: the bytes are text in none of them.
    """
    encoding = next((name for mark, name in MARKS if content.startswith(mark)), None)
    if encoding is None and content[1:64:2].count(0) * 4 > len(content[1:64:2]) * 3:
        encoding = 'utf-16-le'  # without a mark
    for name in [encoding] if encoding else ['utf-8', 'cp1252']:
        try:
            return content.decode(name), name.removesuffix('-sig')
        except UnicodeDecodeError as error:
            reason = f'{error.reason} at byte {error.start}'
    raise DataError(f'{source}: found no text ({reason}), expected UTF-8; save the file in UTF-8.')
