"""The stages of the quickstart on the screen, each on a line, from the logs that they write."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TextIO

TRAINING = re.compile(r'Epoch\(train\).* eta: (?:(\d+) days?, )?(\d+):(\d+):(\d+)')
M_AP = re.compile(r'Epoch\((?:val|test)\).* ema/mAP: ([\d.]+)')
BAR = re.compile(r'([A-Z][a-z]+(?: [\w-]+)*): +(\d+)%\|')  # of tqdm, as `Encoding views`
WIDTH = 24
UP, CLEAR = '\x1b[{}A', '\x1b[K'  # of a terminal: some lines up; clear the rest of the line


class LiveLine:
    """Title, progress, remaining time and mAP of a stage.

    Args:
        title: title of the stage.
        clock: the time in seconds.
    """

    def __init__(self, title: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.title = title
        self._clock = clock
        self._began = clock()
        self._first_step: float | None = None
        self._share = 0.0
        self._eta = 0.0
        self._m_ap: str | None = None
        self._state = 'waiting'
        self._tenths = -1

    def begin(self) -> None:
        """The stage begins now."""
        self._began, self._state = self._clock(), 'starting'

    def read(self, line: str) -> None:
        """Read a line of a log; lines without news are ignored."""
        if found := TRAINING.search(line):
            days, hours, minutes, seconds = (int(number or 0) for number in found.groups())
            self._eta = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds()
            # Warm-up steps are shorter than the others, so the share is one of time, not of steps.
            now = self._clock()
            self._first_step = now if self._first_step is None else self._first_step
            spent = now - self._first_step
            self._share = max(self._share, spent / (spent + self._eta) if spent + self._eta else 1.0)
            self._state = 'training'
        elif found := M_AP.search(line):
            self._m_ap = found[1]
        elif found := BAR.search(line):
            self._state = f'{found[1].lower()} {found[2]} %'

    def say(self, state: str) -> None:
        """Show a state that no log line tells, such as `testing`."""
        self._state = state

    def end(self, has_failed: bool = False) -> None:
        """The stage ends now."""
        took = timedelta(seconds=round(self._clock() - self._began))
        self._state = f'{"failed" if has_failed else "done"}  in {took}'

    @property
    def has_ended(self) -> bool:
        """Whether `end` was called."""
        return self._state.startswith(('done', 'failed'))

    def text(self, has_bar: bool = False, width: int = 0) -> str:
        """The line as it stands.

        Args:
            has_bar: show the share of the training that is done as a bar, until the stage ends.
            width: of the title.
        """
        has_bar &= not self.has_ended
        bar = ['#' * (done := round(WIDTH * self._share)) + '.' * (WIDTH - done)] if has_bar else []
        is_training = self._state == 'training'
        words = [f'{100 * self._share:3.0f} %', f'eta {timedelta(seconds=round(self._eta))}'] if is_training else []
        found = [] if self._m_ap is None else [f'mAP {float(self._m_ap):.1f}']
        return '  '.join([f'{self.title:{width}}', *bar, *(words or [self._state]), *found])

    def is_news(self) -> bool:
        """Whether another tenth of the training is done since this was asked the last time, or the stage has ended."""
        tenths = 11 if self.has_ended else int(10 * self._share) if self._state == 'training' else -1
        is_more, self._tenths = tenths > self._tenths, max(tenths, self._tenths)
        return is_more


class LiveLines:
    """The lines of several stages: in a terminal they change in place, else each tells when there is news.

    Args:
        lines: in order.
        out: where they go.
    """

    def __init__(self, lines: Sequence[LiveLine], out: TextIO | None = None) -> None:
        self.lines = lines
        self._out = sys.stdout if out is None else out
        self._drawn = 0

    def draw(self) -> None:
        """Show what is new."""
        if not self._out.isatty():
            self._out.write(''.join(f'{line.text()}\n' for line in self.lines if line.is_news()))
        else:
            columns = shutil.get_terminal_size().columns - 1
            width = max((len(line.title) for line in self.lines), default=0)
            up = UP.format(self._drawn) if self._drawn else ''
            texts = [line.text(True, width)[:columns] for line in self.lines]
            self._out.write(up + ''.join(f'\r{text}{CLEAR}\n' for text in texts))
            self._drawn = len(texts)
        self._out.flush()
