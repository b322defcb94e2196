"""The live lines of stages on made-up log lines and a made-up clock."""

import io
import re

import pytest

from cssa_mm.demo.progress import LiveLine, LiveLines

STEP = '11/25 23:10:30 - mmengine - INFO - Epoch(train)  [{}][{:2d}/32]  lr: 2.0e-03  eta: {}  time: 0.02  loss: 1.0'
VALIDATION = '11/25 23:10:40 - mmengine - INFO - Epoch(val) [{}][10/10]    ema/mAP: {}  student/mAP: 12.0  time: 0.1'
TITLES = ('CSSA', 'a longer title')


class Terminal(io.StringIO):
    """One of a few rows, which shows what is written to it as a real one does."""

    def isatty(self) -> bool:
        return True

    def rows(self) -> list[str]:
        rows, row, column = [''], 0, 0
        for part in re.findall(r'\x1b\[\d*[AK]|[\r\n]|[^\x1b\r\n]+', self.getvalue()):
            if part == '\r':
                column = 0
            elif part == '\n':
                row, column = row + 1, 0
                rows += [''] * (row + 1 - len(rows))
            elif part.endswith('A') and part.startswith('\x1b'):
                row -= int(part[2:-1])
            elif part == '\x1b[K':
                rows[row] = rows[row][:column]
            else:
                rows[row] = rows[row][:column] + part + rows[row][column + len(part) :]
                column += len(part)
        return rows


@pytest.fixture
def clock():
    """clock.now is the time."""

    class Clock:
        now = 0.0

        def __call__(self) -> float:
            return self.now

    return Clock()


@pytest.fixture
def show(clock):
    """show(out) -> a function draw() for two lines, and the lines."""

    def of(out):
        lines = [LiveLine(title, clock) for title in TITLES]
        return LiveLines(lines, out).draw, *lines

    return of


def train(line: LiveLine, clock, seconds: int, total: int, draw=lambda: None) -> None:
    """A step is logged each second, of which the log says that `total` are needed; the first comes after ten."""
    for second in range(seconds + 1):
        clock.now = 10.0 + second
        left = total - second
        line.read(STEP.format(12, second % 32, f'{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}'))
        draw()


def test_without_a_terminal_there_is_a_line_for_each_tenth_and_one_at_the_end(clock, show):
    out = io.StringIO()
    draw, other, line = show(out)
    draw()
    line.begin()
    for noise in ('Loading weights', '', 'mmengine - INFO - Checkpoints will be saved', 'Epoch(train) ['):
        line.read(noise)
        draw()
    train(line, clock, 150, 300, draw)
    line.read(VALIDATION.format(150, '74.4321'))
    line.read('Encoding views:  50%|###      | 11/32 [00:01<00:02,  9.9it/s]')
    draw()
    train(line, clock, 300, 300, draw)
    line.say('testing')
    other.begin()
    draw()
    clock.now = 321.0
    line.read('INFO - Epoch(test) [10/10]    ema/mAP: 75.0  student/mAP: 12.0')
    line.end()
    draw()
    draw()
    lines = out.getvalue().splitlines()
    assert lines[0] == 'a longer title    0 %  eta 0:05:00'
    assert lines[5] == 'a longer title   50 %  eta 0:02:30'
    assert lines[6] == 'a longer title   60 %  eta 0:02:00  mAP 74.4'
    assert lines[-1] == 'a longer title  done  in 0:05:21  mAP 75.0'
    assert len(lines) == 12


def test_on_a_terminal_each_stage_keeps_its_row(clock, show):
    out = Terminal()
    draw, line, other = show(out)
    draw()
    assert out.rows() == [
        'CSSA            ........................  waiting',
        'a longer title  ........................  waiting',
        '',
    ]
    for each in (line, other):
        each.begin()
    other.read('Encoding plain views:  33%|###      | 11/32 [00:01<00:02,  9.9it/s]')
    train(line, clock, 150, 300, draw)
    assert out.rows() == [
        'CSSA            ############............   50 %  eta 0:02:30',
        'a longer title  ........................  encoding plain views 33 %',
        '',
    ]
    line.read(VALIDATION.format(150, '74.4321'))
    draw()
    assert out.rows()[0] == 'CSSA            ############............   50 %  eta 0:02:30  mAP 74.4'
    line.say('testing')
    draw()
    assert out.rows()[0] == 'CSSA            ############............  testing  mAP 74.4'
    line.end()
    other.end(has_failed=True)
    draw()
    assert out.rows() == ['CSSA            done  in 0:02:40  mAP 74.4', 'a longer title  failed  in 0:02:40', '']


def test_a_line_does_not_wrap_in_a_narrow_terminal(clock, show, monkeypatch):
    monkeypatch.setenv('COLUMNS', '40')
    out = Terminal()
    draw, line, _ = show(out)
    train(line, clock, 3, 300, draw)
    assert {len(row) for row in out.rows()} == {39, 0}


def test_progress_never_goes_back_and_an_eta_may_be_of_days(clock):
    line, texts = LiveLine('CSSA', clock), []
    train(line, clock, 60, 100, lambda: texts.append(line.text()))
    for eta in ('2 days, 1:00:00', '0:00:00'):
        clock.now += 1
        line.read(STEP.format(12, 1, eta))
        texts.append(line.text())
    assert 'eta 2 days, 1:00:00' in texts[-2]
    shares = [int(re.search(r'(\d+) %', text)[1]) for text in texts]
    assert shares == sorted(shares)
    assert shares[-3:] == [60, 60, 100]


def test_without_stages_there_is_nothing_to_draw():
    out = Terminal()
    LiveLines([], out).draw()
    assert out.rows() == ['']


def test_the_time_of_a_stage_begins_when_it_begins(clock):
    line = LiveLine('CSSA', clock)
    clock.now = 100.0
    line.begin()
    clock.now = 103.0
    line.end()
    assert line.text() == 'CSSA  done  in 0:00:03'
