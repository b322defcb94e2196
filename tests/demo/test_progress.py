"""The live line of a stage on made-up log lines and a made-up clock."""

import io
import re

import pytest

from cssa_mm.demo.progress import LiveLine

STEP = '11/25 23:10:30 - mmengine - INFO - Epoch(train)  [{}][{:2d}/32]  lr: 2.0e-03  eta: {}  time: 0.02  loss: 1.0'
VALIDATION = '11/25 23:10:40 - mmengine - INFO - Epoch(val) [{}][10/10]    ema/mAP: {}  student/mAP: 12.0  time: 0.1'


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock():
    """clock.now is the time."""

    class Clock:
        now = 0.0

        def __call__(self) -> float:
            return self.now

    return Clock()


def train(line: LiveLine, clock, seconds: int, total: int) -> None:
    """A step is logged each second, of which the log says that `total` are needed; the first comes after ten."""
    for second in range(seconds + 1):
        clock.now = 10.0 + second
        left = total - second
        line.read(STEP.format(12, second % 32, f'{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}'))


def test_without_a_terminal_there_is_a_line_for_each_tenth_and_one_at_the_end(clock):
    out = io.StringIO()
    line = LiveLine('CSSA', out, clock)
    for noise in ('Loading weights', '', 'mmengine - INFO - Checkpoints will be saved', 'Epoch(train) ['):
        line.read(noise)
    train(line, clock, 150, 300)
    line.read(VALIDATION.format(150, '74.4321'))
    train(line, clock, 300, 300)
    line.say('testing')
    clock.now = 321.0
    line.read('INFO - Epoch(test) [10/10]    ema/mAP: 75.0  student/mAP: 12.0')
    line.finish()
    lines = out.getvalue().splitlines()
    assert lines[0] == 'CSSA    0 %  eta 0:05:00'
    assert lines[5] == 'CSSA   50 %  eta 0:02:30'
    assert lines[6] == 'CSSA   60 %  eta 0:02:00  mAP 74.4'
    assert lines[-1] == 'CSSA  done  in 0:05:21  mAP 75.0'
    assert len(lines) == 12


def test_on_a_terminal_all_of_it_is_one_line(clock):
    out = Terminal()
    line = LiveLine('CSSA', out, clock)
    line.read('Encoding plain views:  33%|###      | 11/32 [00:01<00:02,  9.9it/s]')
    train(line, clock, 150, 300)
    line.read(VALIDATION.format(150, '74.4321'))
    line.say('testing')
    line.finish()
    text = out.getvalue()
    assert text.count('\n') == 1
    shown = [state.rstrip() for state in text.split('\r')]
    assert shown[1] == 'CSSA  ........................  starting'
    assert shown[2] == 'CSSA  ........................  encoding plain views 33 %'
    assert shown[-4] == 'CSSA  ############............   50 %  eta 0:02:30'
    assert shown[-3] == 'CSSA  ############............   50 %  eta 0:02:30  mAP 74.4'
    assert shown[-2] == 'CSSA  ############............  testing  mAP 74.4'
    assert shown[-1] == 'CSSA  done  in 0:02:40  mAP 74.4'


def test_what_a_longer_line_showed_is_wiped(clock):
    """Oracle: a terminal of one row that writes over what stands there."""
    out = Terminal()
    line = LiveLine('CSSA', out, clock)
    train(line, clock, 1, 300)
    line.finish()
    row: list[str] = []
    for state in out.getvalue().rstrip('\n').split('\r'):
        row[: len(state)] = state
    assert ''.join(row).rstrip() == 'CSSA  done  in 0:00:11'


def test_a_line_does_not_wrap_in_a_narrow_terminal(clock, monkeypatch):
    monkeypatch.setenv('COLUMNS', '40')
    out = Terminal()
    line = LiveLine('a title of some length', out, clock)
    train(line, clock, 3, 300)
    assert max(len(state) for state in out.getvalue().split('\r')) < 40


def test_progress_never_goes_back_and_an_eta_may_be_of_days(clock):
    out = Terminal()
    line = LiveLine('CSSA', out, clock)
    train(line, clock, 60, 100)
    for eta in ('2 days, 1:00:00', '0:00:00'):
        clock.now += 1
        line.read(STEP.format(12, 1, eta))
    assert 'eta 2 days, 1:00:00' in out.getvalue()
    shares = [int(share) for share in re.findall(r'(\d+) %', out.getvalue())]
    assert shares == sorted(shares)
    assert (shares[-3], shares[-2], shares[-1]) == (60, 60, 100)


def test_a_stage_that_fails_says_so(clock):
    out = io.StringIO()
    LiveLine('CSSA', out, clock).finish(has_failed=True)
    assert out.getvalue() == 'CSSA  failed  in 0:00:00\n'
