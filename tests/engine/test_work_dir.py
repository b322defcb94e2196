"""A work directory belongs to one training, and to one config."""

import os
import signal

import pytest
import torch
from mmengine.config import Config

from cssa_mm.engine import work_dir
from cssa_mm.engine.config.preparing import prepare_config
from cssa_mm.engine.work_dir import LOCK, check_used, free_work_dir, in_use
from cssa_mm.errors import ConfigError


def forked(body) -> int:
    """The exit status of a function in a process of its own."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = body()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def refused_in(folder, capture) -> int:
    def body():
        try:
            with in_use(folder):
                return 3
        except ConfigError as error:
            capture.write_text(str(error))
            return 4

    return forked(body)


def test_a_second_training_is_refused_in_one_line_until_the_first_ends(tmp_path):
    told = tmp_path / 'told'
    run = tmp_path / 'run'
    run.mkdir()
    with in_use(run):
        assert refused_in(run, told) == 4
        assert told.read_text().startswith(
            f"work_dir: found '{run}', in which another training runs (process {os.getpid()} on "
        )
        assert '\n' not in told.read_text()
        assert refused_in(tmp_path, told) == 3
    assert refused_in(run, told) == 3


def test_a_killed_training_holds_nothing_though_its_workers_live_on(tmp_path):
    read, write = os.pipe()

    def body():
        with in_use(tmp_path):
            worker = os.fork()
            if worker == 0:
                signal.pause()
            os.write(write, str(worker).encode())
            os.kill(os.getpid(), signal.SIGKILL)

    assert forked(body) == -signal.SIGKILL
    worker = int(os.read(read, 20))
    try:
        assert refused_in(tmp_path, tmp_path / 'told') == 3
    finally:
        os.kill(worker, signal.SIGKILL)


def test_a_disk_without_locks_is_told_and_used(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(37, 'No locks available')

    told = []
    monkeypatch.setattr(work_dir.fcntl, 'lockf', refuse)
    monkeypatch.setattr(work_dir, 'print_log', lambda text, *_: told.append(text))
    with in_use(tmp_path):
        assert (tmp_path / LOCK).is_file()
    assert told == [
        f"work_dir: '{tmp_path}' cannot be locked ([Errno 37] No locks available); see that no other training uses it"
    ]


@pytest.fixture
def used(tiny_config, tmp_path):
    """used(rate) -> a config; the work directory has the checkpoint of a run with a rate of 1e-3."""

    def config(rate=1e-3, **keys) -> Config:
        return prepare_config(tiny_config(**{'optim_wrapper.optimizer.lr': rate} | keys))

    run = tmp_path / 'run'
    run.mkdir()
    torch.save(dict(meta=dict(cfg=config().pretty_text)), run / 'epoch_3.pth')
    return config


def test_another_config_is_refused_with_what_differs_and_the_same_one_is_not(used, tmp_path):
    run = tmp_path / 'run'
    check_used(used(), run, None)
    with pytest.raises(ConfigError) as error:
        check_used(used(2e-3), run, None)
    assert str(error.value) == (
        f"work_dir: found '{run / 'epoch_3.pth'}' of another config (optim_wrapper.optimizer.lr 0.001 -> 0.002), "
        'expected a folder without checkpoints or with those of this config; give another --work-dir, go on with '
        '--resume, or set on_used_work_dir=overwrite or on_used_work_dir=new'
    )
    check_used(used(2e-3, on_used_work_dir='overwrite'), run, None)
    check_used(used(2e-3), run, run / 'epoch_3.pth')  # a resumed run goes on in its folder
    with pytest.raises(ConfigError, match='of another config'):
        check_used(used(2e-3), run, tmp_path / 'other' / 'epoch_3.pth')
    with pytest.raises(ConfigError, match=r"on_used_work_dir: found 'overwirte', .* Did you mean 'overwrite'"):
        check_used(used(on_used_work_dir='overwirte'), run, None)


def test_new_takes_the_first_folder_that_has_none_of_another_config(used, tmp_path):
    run = str(tmp_path / 'run')
    assert free_work_dir(used(2e-3), run) == run
    assert free_work_dir(used(1e-3, on_used_work_dir='new'), run) == run
    assert free_work_dir(used(2e-3, on_used_work_dir='new'), run) == f'{run}_2'
    os.rename(run, f'{run}_2')
    os.mkdir(run)
    torch.save(dict(meta={}), f'{run}/epoch_1.pth')
    assert free_work_dir(used(2e-3, on_used_work_dir='new'), run) == f'{run}_3'
    assert free_work_dir(used(on_used_work_dir='new'), run) == f'{run}_2'
    assert free_work_dir(used(2e-3, on_used_work_dir='new', resume=True), run) == run
