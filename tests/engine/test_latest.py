"""Which checkpoint `--resume` takes: the latest one that loads, wherever its folder has been moved."""

import logging

import pytest
import torch

from cssa_mm.engine.checkpoints import RESUMABLE
from cssa_mm.engine.latest import checkpoints_in, find_resumable, latest_checkpoint, name_latest
from cssa_mm.errors import CheckpointError


@pytest.fixture
def folder(tmp_path):
    """A work directory with three checkpoints of a run, whose best one cannot be resumed."""
    run = tmp_path / 'run'
    run.mkdir()
    for number in (8, 9, 10):
        torch.save(dict.fromkeys(RESUMABLE, number) | dict(state_dict={}), run / f'epoch_{number}.pth')
    torch.save(dict(state_dict={}), run / 'best_ema_mAP_epoch_11.pth')
    (run / '.epoch_12.77.tmp.pth').write_bytes(b'half')
    name_latest(run, run / 'epoch_10.pth')
    return run


@pytest.fixture
def told(monkeypatch):
    lines = []
    monkeypatch.setattr('cssa_mm.engine.latest.print_log', lambda text, logger, level: lines.append((level, text)))
    return lines


def test_a_checkpoint_beside_it_is_named_without_its_folder(folder, tmp_path):
    assert (folder / 'last_checkpoint').read_text() == 'epoch_10.pth'
    name_latest(folder, tmp_path / 'elsewhere' / 'epoch_3.pth')
    assert (folder / 'last_checkpoint').read_text() == str(tmp_path / 'elsewhere' / 'epoch_3.pth')
    name_latest(folder, 's3://bucket/run/epoch_3.pth')
    assert (folder / 'last_checkpoint').read_text() == 's3://bucket/run/epoch_3.pth'


@pytest.mark.parametrize('content', ['epoch_10.pth', 'OLD/epoch_10.pth', 'epoch_10.pth\n'])
def test_a_folder_that_was_moved_goes_on_in_its_new_place(folder, tmp_path, content, told):
    """Also where an earlier version wrote the whole path, and the old place is still there."""
    (folder / 'last_checkpoint').write_text(content.replace('OLD', str(folder)))
    moved = tmp_path / 'moved'
    moved.mkdir()
    for path in folder.iterdir():
        (moved / path.name).write_bytes(path.read_bytes())
    path, content = find_resumable(moved)
    assert (path, content['meta'], told) == (str(moved / 'epoch_10.pth'), 10, [])
    assert latest_checkpoint(moved) == moved / 'epoch_10.pth'


def test_numbers_order_checkpoints_and_what_is_best_or_half_written_is_none(folder):
    assert [path.name for path in checkpoints_in(folder)] == ['epoch_10.pth', 'epoch_9.pth', 'epoch_8.pth']


@pytest.mark.parametrize('broken', ['missing', 'half', 'foreign', 'unnamed'])
def test_the_newest_that_loads_takes_the_place_of_one_that_does_not(folder, told, broken):
    last = folder / 'epoch_10.pth'
    if broken == 'half':
        last.write_bytes(last.read_bytes()[:100])
    elif broken == 'foreign':
        torch.save(dict(state_dict={}), last)
    elif broken == 'missing':
        last.unlink()
    else:
        (folder / 'last_checkpoint').unlink()
    path, content = find_resumable(folder)
    number = 10 if broken == 'unnamed' else 9
    assert (path, content['meta']) == (str(folder / f'epoch_{number}.pth'), number)
    if broken != 'unnamed':
        ((level, text),) = told
        assert level == logging.WARNING
        assert text.startswith(f"checkpoint: found {'no file ' if broken == 'missing' else ''}'{last}'")
        assert text.endswith("Going on from 'epoch_9.pth', the newest that loads")


def test_where_nothing_loads_the_latest_is_refused(folder):
    for number in (8, 9, 10):
        (folder / f'epoch_{number}.pth').write_bytes(b'')
    with pytest.raises(CheckpointError, match=r'^checkpoint: found .*epoch_10.pth. that cannot be loaded'):
        find_resumable(folder)


def test_an_empty_folder_has_nothing_to_go_on_from(tmp_path):
    assert find_resumable(tmp_path) == (None, None)
    assert latest_checkpoint(tmp_path) is None
    assert find_resumable(tmp_path / 'nowhere') == (None, None)
