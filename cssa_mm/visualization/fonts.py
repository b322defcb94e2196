"""Fonts for class names in any script: which ones of this machine draw them, and which names none can draw."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from matplotlib import font_manager
from mmengine.logging import print_log

# Draws a box with a code in place of each character.
PLACEHOLDERS = 'Last Resort'
LEFT_TO_RIGHT = '\u200e'


@dataclass(frozen=True)
class DrawableNames:
    """The names of C classes as a picture can show them, and the font families for it, the first one first."""

    names: tuple[str, ...]
    families: tuple[str, ...]

    @classmethod
    def of(cls, classes: Sequence[str]) -> DrawableNames:
        """Names that no font draws become 'class 3', by their index; a line in the log says so."""
        families, missing = families_for(frozenset(''.join(classes)))
        unknown = [name for name in classes if missing & set(name)]
        if unknown:
            print_log(
                f'pictures: found no font on this machine for {len(unknown)} class names ({", ".join(unknown[:3])}), '
                'so they are shown by their number; install one of their script, such as Noto Sans CJK',
                'current',
                logging.WARNING,
            )
        shown = [f'class {index}' if name in unknown else _in_line(name) for index, name in enumerate(classes)]
        return cls(tuple(shown), families)


@lru_cache(maxsize=8)
def families_for(characters: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Font families that draw the characters together, and the characters that none of them can draw."""
    default = font_manager.findfont('monospace')
    families, missing = ['monospace'], _without(default, _visible(characters))
    entries = sorted(font_manager.fontManager.ttflist, key=lambda entry: (not _is_plain(entry), entry.name))
    for entry in entries:
        if not missing:
            break
        if PLACEHOLDERS not in entry.name and entry.name not in families:
            left = _without(entry.fname, missing)
            if left != missing:
                families.append(entry.name)
                missing = left
    return tuple(families), missing


def columns(text: str) -> int:
    """The width of a text in a fixed-width font, in letters: Chinese ones are two wide."""
    return sum(2 if unicodedata.east_asian_width(character) in 'WF' else 1 for character in text)


def _in_line(name: str) -> str:
    """The name with a mark before Arabic or Hebrew, which keeps the rest of the line from left to right."""
    is_from_right = any(unicodedata.bidirectional(character) in ('R', 'AL') for character in name)
    return f'{LEFT_TO_RIGHT}{name}' if is_from_right else name


def _is_plain(entry: font_manager.FontEntry) -> bool:
    return entry.style == 'normal' and entry.weight in (400, 'normal', 'regular')


def _visible(characters: Iterable[str]) -> frozenset[str]:
    """Those that have a glyph of their own: no blanks, marks and controls."""
    return frozenset(each for each in characters if unicodedata.category(each)[0] not in 'CMZ')


def _without(path: str, characters: frozenset[str]) -> frozenset[str]:
    """The characters that a font file lacks."""
    try:
        known = font_manager.get_font(path).get_charmap()
    except (OSError, RuntimeError):  # a broken font
        return characters
    return frozenset(each for each in characters if ord(each) not in known)
