"""The text of a label file in the encodings that editors and spreadsheets write."""

from __future__ import annotations

import codecs
import re

from cssa_mm.errors import ConfigError, DataError

MARKS = (
    (codecs.BOM_UTF8, 'utf-8-sig'),
    (codecs.BOM_UTF32_LE, 'utf-32'),  # before UTF-16, whose mark it starts with
    (codecs.BOM_UTF32_BE, 'utf-32'),
    (codecs.BOM_UTF16_LE, 'utf-16'),
    (codecs.BOM_UTF16_BE, 'utf-16'),
)
PIECE = 1 << 20  # bytes that are decoded at a time
INNER_CAPITAL = re.compile('[a-z][\u00c0-\u00d6\u00d8-\u00deŠŽŒŸ]')
FOREIGN = re.compile(r'[^\x00-\x7f]+')


def decode_text(content: bytes, source: str, encoding: str | None = None) -> tuple[str, str]:
    """Text and name of the encoding: the one given, or that of :func:`find_encoding`.

    Raises:
        ConfigError: The encoding is not known.
        DataError: The bytes are no text in it.
    """
    name = find_encoding(content, source, encoding)
    return content.decode(name), name.removesuffix('-sig')


def find_encoding(content: bytes, source: str, encoding: str | None = None) -> str:
    """The encoding of a text: that of the byte-order mark, else UTF-8, else cp1252 (Excel on Windows).

    Args:
        content: The bytes of the file.
        source: Its path, for messages.
        encoding: The one that it has to be in, where the user gives it.

    Raises:
        ConfigError: The encoding is not known.
        DataError: The bytes are no text in it.
    """
    if content.startswith(b'PK\x03\x04'):
        raise DataError(
            f'{source}: found a ZIP or Excel file, expected text; name it .xlsx, or save it as CSV (UTF-8).'
        )
    mark = next((name for start, name in MARKS if content.startswith(start)), None)
    if encoding is not None:
        candidates = [_known(encoding, mark)]
    elif mark is not None:
        candidates = [mark]
    elif wide := _wide(content):
        candidates = [wide]
    else:
        candidates = ['utf-8', 'cp1252']
    for name in candidates:
        decoder = codecs.getincrementaldecoder(name)()
        start = 0
        try:
            for start in range(0, len(content), PIECE):
                decoder.decode(content[start : start + PIECE])
            decoder.decode(b'', final=True)
            return name
        except UnicodeError as error:
            reason = f'{getattr(error, "reason", error)} near byte {start + getattr(error, "start", 0)}'
    raise DataError(
        f'{source}: found no text in {candidates[-1] if encoding else "UTF-8"} ({reason}), expected UTF-8; save the '
        f'file in UTF-8, or set encoding.'
    )


def _known(encoding: str, mark: str | None) -> str:
    try:
        name = codecs.lookup(encoding).name
    except LookupError as error:
        raise ConfigError(f"encoding: found '{encoding}', expected one that Python knows, such as cp1252.") from error
    return mark if mark is not None and mark.startswith(name) else name


def _wide(content: bytes) -> str | None:
    """UTF-16 without a mark: every other byte of its first letters is zero."""
    for start, name in ((1, 'utf-16-le'), (0, 'utf-16-be')):
        zeros = content[start:64:2]
        if len(zeros) > 1 and zeros.count(0) * 4 > len(zeros) * 3 and content[1 - start : 64 : 2].count(0) == 0:
            return name
    return None


def looks_foreign(text: str) -> str | None:
    """The first word of a text that cp1252 seems to have made up of letters of another script.

    Western words have single accented letters between plain ones; three in a row are rare.
    """
    if inner := INNER_CAPITAL.search(text):  # cafŽ: Mac Roman
        return text[: inner.end()].split('\n')[-1][-10:].strip()
    for found in FOREIGN.finditer(text):
        letters = found.group()
        if len(letters) > 2 or any(not letter.isalpha() and letter not in '–—’‘“”«»°€…ºª²³½×´' for letter in letters):
            start, end = found.span()
            before, after = text[max(start - 8, 0) : start], text[start : end + 8]
            return f'{before.splitlines()[-1] if before else ""}{after.splitlines()[0]}'.strip()
    return None
