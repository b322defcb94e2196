"""Whose a folder of predictions is, and what may be done in it."""

import os
import subprocess
import sys

import pytest
from mmengine.fileio import LocalBackend

from cssa_mm.apis.predicting.folder import OutFolder
from cssa_mm.datasets.images.image_folder import list_images
from cssa_mm.errors import ConfigError

MODEL = dict(checkpoint='a', classes='b', view='c', tower='d', version='e')
HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], 'a')
fcntl.flock(file, fcntl.LOCK_EX)
print('held', flush=True)
time.sleep(60)
"""


def recorded(path, **changes):
    folder = OutFolder(path)
    with folder.held(MODEL):
        folder.record(MODEL | changes, dict(count=1, digest='x'), dict(request=None, written=['predictions.csv']))
    return folder


def test_a_file_in_its_place_and_a_folder_of_others_are_refused(tmp_path):
    (tmp_path / 'file').write_text('x')
    (tmp_path / 'others').mkdir()
    (tmp_path / 'others' / 'predictions.csv').write_text('mine')
    with pytest.raises(ConfigError, match='found the file'):
        OutFolder(tmp_path / 'file')
    with pytest.raises(ConfigError, match='which holds something that no prediction wrote'):
        OutFolder(tmp_path / 'others')
    assert (tmp_path / 'others' / 'predictions.csv').read_text() == 'mine'


def test_shards_without_a_record_are_nobody_s(tmp_path):
    (tmp_path / 'out' / 'shards').mkdir(parents=True)
    OutFolder(tmp_path / 'out')  # a run that was killed at once
    (tmp_path / 'out' / 'shards' / '000000.npz').write_bytes(b'x')
    with pytest.raises(ConfigError, match='no prediction wrote'):
        OutFolder(tmp_path / 'out')


@pytest.mark.parametrize(('part', 'words'), [
    ('checkpoint', 'another checkpoint'), ('classes', 'other classes'), ('view', 'another view'),
    ('version', 'another version'),
])  # fmt: skip
def test_shards_of_another_model_are_refused_and_stay(tmp_path, part, words):
    folder = recorded(tmp_path / 'out')
    folder.shards.path(0).write_bytes(b'precious')
    with pytest.raises(ConfigError, match=words), OutFolder(tmp_path / 'out').held(MODEL | {part: 'z'}):
        pass
    assert folder.shards.path(0).read_bytes() == b'precious'
    with OutFolder(tmp_path / 'out').held(MODEL) as known:
        assert known['images'] == dict(count=1, digest='x')


def test_force_removes_what_a_prediction_wrote_and_nothing_else(tmp_path):
    folder = recorded(tmp_path / 'out', checkpoint='other')
    folder.shards.path(0).write_bytes(b'x')
    for name in ('predictions.csv', 'notes.txt'):
        (folder.path / name).write_text('x')
    with OutFolder(folder.path, replaces=True).held(MODEL) as known:
        assert known == {}
    assert sorted(os.listdir(folder.path)) == ['notes.txt', 'shards']
    assert os.listdir(folder.state) == ['run.lock']


@pytest.mark.parametrize('content', ['{', '[]', '{"format": 1}', '{"format": 9, "model": {}}'])
def test_a_record_that_cannot_be_read_is_one_line_and_force_goes_on(tmp_path, content):
    folder = recorded(tmp_path / 'out')
    (folder.state / 'run.json').write_text(content)
    with pytest.raises(ConfigError, match=r'run\.json: found'), OutFolder(folder.path).held(MODEL):
        pass
    with OutFolder(folder.path, replaces=True).held(MODEL) as known:
        assert known == {}


@pytest.mark.parametrize(
    'finished',
    [dict(request=None), dict(request={}, written=[]), dict(request={}, written=[], counts=3), dict(written='abc')],
    ids=str,
)
def test_a_record_that_lacks_what_was_written_is_one_line(tmp_path, finished):
    folder = recorded(tmp_path / 'out')
    folder.record(MODEL, dict(count=1), finished)
    with pytest.raises(ConfigError, match=r'run\.json: found no readable record'), OutFolder(folder.path).held(MODEL):
        pass


@pytest.mark.parametrize('name', ['../kept.txt', '{}/kept.txt', 'a/../../kept.txt', '', 'a\0b', 3, 'x' * 256])
def test_a_record_of_others_removes_nothing_outside(tmp_path, name):
    """A folder may come from anywhere, and --force removes what its record says that a prediction wrote."""
    (tmp_path / 'kept.txt').write_text('mine')
    folder = recorded(tmp_path / 'out')
    name = name.format(tmp_path) if isinstance(name, str) else name
    folder.record(MODEL, dict(count=1), dict(request=None, written=[name]))
    with pytest.raises(ConfigError, match=r'run\.json: found no readable record'), OutFolder(folder.path).held(MODEL):
        pass
    with OutFolder(folder.path, replaces=True).held(MODEL) as known:
        assert known == {}
    assert (tmp_path / 'kept.txt').read_text() == 'mine'


def test_results_come_together_or_not_at_all(tmp_path):
    folder = recorded(tmp_path / 'out')
    (folder.path / 'a.txt').write_text('old')

    def write_until_the_disk_is_full():
        with folder.staged() as staging:
            (staging / 'a.txt').write_text('new')
            raise OSError(28, 'No space left on device')

    with pytest.raises(ConfigError, match='cannot write to .* [(]No space left on device[)]'):
        write_until_the_disk_is_full()
    assert (folder.path / 'a.txt').read_text() == 'old'
    assert not (folder.state / '.writing').exists()
    with folder.staged() as staging:
        (staging / 'a.txt').write_text('new')
        (staging / 'deep').mkdir()
        (staging / 'deep' / 'b.txt').write_text('b')
    assert (folder.path / 'a.txt').read_text() == 'new'
    folder.remove(['deep/b.txt', 'gone.txt'])
    assert sorted(os.listdir(folder.path)) == ['a.txt', 'shards']


def test_a_run_without_result_leaves_nothing(tmp_path):
    folder = OutFolder(tmp_path / 'new' / 'out')
    with folder.held(MODEL):
        folder.record(MODEL, {})
        folder.discard()
    assert os.listdir(tmp_path) == []


def test_a_folder_in_use_is_refused_until_its_process_ends_however_it_ends(tmp_path):
    folder = recorded(tmp_path / 'out')
    process = subprocess.Popen([sys.executable, '-c', HOLD, str(folder.state / 'run.lock')], stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b'held\n'
        with pytest.raises(ConfigError, match='in use by another process'), OutFolder(tmp_path / 'out').held(MODEL):
            pass
    finally:
        process.kill()
        process.wait()
    with OutFolder(tmp_path / 'out').held(MODEL) as known:
        assert known['images'] == dict(count=1, digest='x')


@pytest.mark.parametrize('place', ['/proc/nowhere/out', '/dev/null/out'])
def test_a_folder_that_cannot_be_made_is_one_line(place):
    with pytest.raises(ConfigError, match='out: ') as refused, OutFolder(place).held(MODEL):
        pass
    assert '\n' not in str(refused.value)


@pytest.mark.parametrize('name', ['000000.tar', '000000.npz', 'deep/000000.npz'])
def test_force_spares_a_folder_of_shards_that_is_another_s(tmp_path, name):
    mine = tmp_path / 'out' / 'shards' / name
    mine.parent.mkdir(parents=True)
    mine.write_text('precious')
    with pytest.raises(ConfigError, match=r"found '.*shards', which no prediction wrote"):
        OutFolder(tmp_path / 'out', replaces=True)
    assert mine.read_text() == 'precious'


def test_foreign_files_among_the_shards_stay(tmp_path):
    folder = recorded(tmp_path / 'out')
    folder.shards.path(0).write_bytes(b'x')
    for name in ('notes.txt', '0 copy.npz', '7.npz'):
        (folder.state / name).write_text('x')
    assert folder.shards.numbers() == [0]
    with OutFolder(folder.path, replaces=True).held(MODEL):
        assert sorted(os.listdir(folder.state)) == ['0 copy.npz', '7.npz', 'notes.txt', 'run.lock']
        folder.discard()
    assert sorted(os.listdir(folder.state)) == ['0 copy.npz', '7.npz', 'notes.txt']


def test_no_file_of_its_own_is_taken_for_a_photo(tmp_path):
    folder = recorded(tmp_path / 'out')
    folder.shards.path(0).write_bytes(b'x')
    found = list_images(LocalBackend(), str(tmp_path))
    assert (found.image_ids, found.left_out) == ({}, {})
