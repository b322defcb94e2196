"""One live line for a stage of the quickstart, from the log lines of its commands."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TextIO

TRAINING = re.compile(r'Epoch\(train\).* eta: (?:(\d+) days?, )?(\d+):(\d+):(\d+)')
M_AP = re.compile(r'Epoch\((?:val|test)\).* ema/mAP: ([\d.]+)')
BAR = re.compile(r'([A-Z][a-z]+(?: [\w-]+)*): +(\d+)%\|')  # of tqdm, as `Encoding plain views`
WIDTH = 24


class LiveLine:
    """Title, progress, remaining time and mAP of a stage: one changing line in a terminal, else a few lines.

    Args:
        title: title of the stage.
        out: where the line goes.
        clock: the time in seconds.
    """

    def __init__(self, title: str, out: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.title = title
        self._out = sys.stdout if out is None else out
        self._clock = clock
        self._began = clock()
        self._first_step: float | None = None
        self._share = 0.0
        self._eta = 0.0
        self._m_ap: str | None = None
        self._state = 'starting'
        self._tenths = -1
        self._shown = ''
        self._draw()

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
        else:
            return
        self._draw()

    def say(self, state: str) -> None:
        """Show a state that no log line tells, such as `testing`."""
        self._state = state
        self._draw()

    def finish(self, has_failed: bool = False) -> None:
        """End the line with the time that the stage took."""
        took = timedelta(seconds=round(self._clock() - self._began))
        words = [self.title, 'failed' if has_failed else 'done', f'in {took}', *self._result()]
        text = '  '.join(words)
        self._write(f'\r{text:{len(self._shown)}}\n' if self._out.isatty() else f'{text}\n')

    def _result(self) -> list[str]:
        return [] if self._m_ap is None else [f'mAP {float(self._m_ap):.1f}']

    def _draw(self) -> None:
        is_training = self._state == 'training'
        words = [f'{100 * self._share:3.0f} %', f'eta {timedelta(seconds=round(self._eta))}'] if is_training else []
        if self._out.isatty():
            done = round(WIDTH * self._share)
            text = '  '.join(
                [self.title, '#' * done + '.' * (WIDTH - done), *(words or [self._state]), *self._result()]
            )
            text = text[: shutil.get_terminal_size().columns - 1]
            self._write(f'\r{text:{len(self._shown)}}')
            self._shown = text
        elif is_training and int(10 * self._share) > self._tenths:
            self._tenths = int(10 * self._share)
            self._write('  '.join([self.title, *words, *self._result()]) + '\n')

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()
