"""Processes that find each other, and one line where one of them never comes or the port is another's."""

import socket
from pathlib import Path

import pytest
import torch

from cssa_mm.engine.joining import in_one_line, join
from cssa_mm.engine.runner import CSSARunner
from cssa_mm.errors import ConfigError

END = '; see the message of the process that ended, or raise env_cfg.dist_cfg.timeout'


def free_port() -> str:
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return str(listener.getsockname()[1])


@pytest.fixture(scope='module')
def told(fork_server):
    """What processes said that were started at once: case -> standard output; none writes anything else."""
    store = torch.distributed.TCPStore('127.0.0.1', 0, is_master=True, wait_for_workers=False)
    launched = dict(MASTER_PORT=str(store.port), TORCHELASTIC_USE_AGENT_STORE='True')
    pair, alone, nobody = free_port(), free_port(), free_port()
    with socket.socket() as used:
        used.bind(('127.0.0.1', 0))
        used.listen()
        used_port = str(used.getsockname()[1])
        cases = {
            'both 0': dict(RANK='0', MASTER_PORT=pair, SECONDS='60'),
            'both 1': dict(RANK='1', MASTER_PORT=pair, SECONDS='60'),
            'first alone': dict(RANK='0', MASTER_PORT=alone),
            'second alone': dict(RANK='1', MASTER_PORT=nobody),
            'port in use': dict(RANK='0', MASTER_PORT=used_port),
            'launched': launched | dict(RANK='1', WORLD_SIZE='3'),
            # Keys of an earlier attempt are of nobody who is here.
            'restarted': launched | dict(RANK='0', WORLD_SIZE='3', TORCHELASTIC_RESTART_COUNT='1'),
            'no port': dict(RANK='0', MASTER_PORT=''),
        }
        group = dict(MASTER_ADDR='127.0.0.1', WORLD_SIZE='2', SECONDS='1')
        done = fork_server.run([Path(__file__).with_name('on_joining.py')], [group | case for case in cases.values()])
    assert [(each.returncode, each.stderr) for each in done] == [(0, '')] * len(cases)
    return {name: each.stdout for name, each in zip(cases, done, strict=True)}, {**locals()}


def test_processes_that_meet_know_their_place_and_the_timeout(told):
    lines, _ = told
    assert (lines['both 0'], lines['both 1']) == ('0 of 2, 60.0 s\n', '1 of 2, 60.0 s\n')


def test_a_process_that_never_comes_is_one_line(told):
    lines, ports = told
    assert lines['first alone'].startswith('error: launcher: found fewer than the expected 2 processes (Timed out')
    assert lines['first alone'].endswith(f'{END}\n')
    start = f'error: launcher: found nobody at 127.0.0.1:{ports["nobody"]} after 1 s ('
    assert lines['second alone'].startswith(start)
    assert lines['second alone'].endswith(f'), expected the first process{END}\n')


def test_of_processes_that_a_launcher_started_the_missing_ones_are_named(told):
    lines, _ = told
    text = 'error: launcher: found 1 of 3 processes after 1 s, expected all; missing: '
    assert lines['launched'] == f'{text}0, 2{END}\n'
    assert lines['restarted'] == f'{text}1, 2{END}\n'


def test_a_port_in_use_and_a_missing_variable_are_one_line(told):
    lines, ports = told
    assert lines['port in use'] == (
        f'error: MASTER_PORT: found port {ports["used_port"]}, which another program uses, expected a free one; set '
        'another MASTER_PORT, or wait for the end of the other training\n'
    )
    assert lines['no port'].startswith('error: launcher: ')
    assert 'MASTER_PORT expected, but not set' in lines['no port']
    assert [line.count('\n') for line in lines.values()] == [1] * len(lines)


def test_other_errors_are_left_alone():
    with pytest.raises(ValueError, match='^other$'), in_one_line():
        raise ValueError('other')
    with pytest.raises(ConfigError, match='MASTER_PORT: found port'), in_one_line():
        raise torch.distributed.DistNetworkError('EADDRINUSE')


@pytest.fixture
def attempt(monkeypatch):
    """attempt(1): be the only process that torchrun has started, for the second time; its store stays."""
    store = torch.distributed.TCPStore('127.0.0.1', 0, is_master=True, wait_for_workers=False)

    def start(number: int) -> None:
        given = dict(RANK=0, WORLD_SIZE=1, MASTER_ADDR='127.0.0.1', MASTER_PORT=store.port)
        given |= dict(TORCHELASTIC_USE_AGENT_STORE=True, TORCHELASTIC_RESTART_COUNT=number)
        for name, value in given.items():
            monkeypatch.setenv(name, str(value))

    return start


def test_addresses_of_processes_that_are_gone_are_not_read_after_a_restart(attempt):
    attempt(0)
    join({})['store'].set('address', 'of a process that is gone')
    assert join({})['store'].check(['address'])
    attempt(1)
    assert not join({})['store'].check(['address'])


def test_with_cuda_mmengine_gets_the_store_of_a_restart_and_is_left_alone_at_first(attempt, monkeypatch):
    given = []
    monkeypatch.setattr('mmengine.runner.runner.init_dist', lambda *words, **options: given.append(options))
    monkeypatch.setattr('mmengine.runner.runner.set_multi_processing', lambda **options: None)
    runner = CSSARunner.__new__(CSSARunner)
    runner._launcher, runner._distributed = 'pytorch', True
    env_cfg = dict(dist_cfg=dict(backend='nccl', timeout=60))
    for number in range(2):
        attempt(number)
        runner.setup_env(env_cfg)
    first, second = given
    assert first == env_cfg['dist_cfg'] == dict(backend='nccl', timeout=60)
    assert second.pop('store').check(['0 is here'])
    assert second == dict(backend='nccl', timeout=60, rank=0, world_size=1)
