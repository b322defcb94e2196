"""The exceptions of cssa_mm: each message is one line that names what was found, what was expected and the fix."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any, TypeGuard

CONTROL = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028\u2029]')


class CSSAError(Exception):
    """Base of every error that a user can mend; the tools print it as one line, without a traceback.

    What a file has written into its names can neither break the line nor steer a terminal.
    """

    may_have_lines = False

    def __init__(self, *arguments: object) -> None:
        is_whole = self.may_have_lines
        texts = (of_worker(text) if isinstance(text, str) else text for text in arguments)
        super().__init__(*(one_line(text) if isinstance(text, str) and not is_whole else text for text in texts))


class ConfigError(CSSAError):
    """A config key or value is wrong."""


class DataError(CSSAError):
    """An image, an annotation or a class list is missing, unreadable or inconsistent."""


class ImageError(DataError):
    """One image file is missing or unreadable; training survives a few of them."""


class SplitError(DataError):
    """A labelled/unlabelled split does not fit the data."""


class OpenQuestionsError(DataError):
    """What was read of the data looks wrong and waits for an answer: a line for each question, and how to go on."""

    may_have_lines = True


class CheckpointError(CSSAError):
    """A checkpoint is missing, unreadable or was made for another model."""


class NonFiniteError(CSSAError):
    """A loss, a gradient or a parameter is NaN or infinite: training has diverged, or its input was so."""


class ToolboxError(CSSAError):
    """The OpenMMLab toolbox or another dependency is missing or too old."""


def of_worker(text: str) -> str:
    """A message; of an error that a loader's worker has raised, the last line of the traceback that torch makes of it.

    >>> of_worker('Caught DataError in a worker.\\nTraceback (most recent call last):\\nx.DataError: a.png: no')
    'a.png: no'
    """
    if not text.startswith('Caught ') or 'Traceback' not in text:
        return text
    return text.rstrip().rpartition('\n')[2].partition(': ')[2]


def one_line(text: str) -> str:
    """A text with the escapes of its control characters, such as ``\\n``, in their place.

    >>> one_line('a\\nb')
    'a\\\\nb'
    """
    return text if text.isprintable() else CONTROL.sub(lambda found: found[0].encode('unicode_escape').decode(), text)


def nearest(name: str, known: Iterable[str]) -> str:
    """The hint `` Did you mean 'x'?`` for the known name most like ``name``, or an empty string."""
    texts = [str(k) for k in known]
    alike = [text for text in texts if text.casefold() == str(name).casefold()]
    matches = alike or difflib.get_close_matches(str(name), texts, n=1, cutoff=0.5)
    return f" Did you mean '{matches[0]}'?" if matches else ''


def is_whole_number(value: Any, lowest: int = 0) -> TypeGuard[int]:
    """Whether a value is an int from ``lowest``; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= lowest


def require_whole_number(key: str, value: Any, lowest: int = 0) -> None:
    """Refuse what is no int from ``lowest``.

    Raises:
        ConfigError: It is none; the message names its ``key``.
    """
    if not is_whole_number(value, lowest):
        raise ConfigError(f'{key}: found {value!r}, expected a whole number from {lowest}')
