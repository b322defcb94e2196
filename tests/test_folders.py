import pytest

from cssa_mm.errors import ConfigError, DataError
from cssa_mm.files import write_text
from cssa_mm.folders import writable_folder


def test_a_folder_is_made_with_those_above_it(tmp_path):
    assert writable_folder(tmp_path / 'a' / 'b', 'out').is_dir()
    assert writable_folder(tmp_path / 'a' / 'b', 'out').is_dir()


def test_what_can_hold_no_file_is_one_line(tmp_path):
    (tmp_path / 'file').write_text('x')
    for path, reason in (
        (tmp_path / 'file', 'it is a file'),
        (tmp_path / 'file' / 'below', "'.*file' is a file"),
        ('/proc/nothing', '.'),
        (f'{tmp_path}/a\0b', 'null'),
        (tmp_path / 'caf\udce9', 'no UTF-8'),
    ):
        with pytest.raises(ConfigError, match=f'^work_dir: found .*{reason}.*, expected ') as error:
            writable_folder(path, 'work_dir')
        str(error.value).encode()


def test_files_are_written_where_they_can_be_and_hold_what_can_be_written(tmp_path):
    (tmp_path / 'file').write_text('x')
    for place in (tmp_path / 'file' / 'a.txt', tmp_path):  # whoever writes there says it in a line of his own
        with pytest.raises(OSError, match=str(tmp_path)):
            write_text(place, 'a')
    with pytest.raises(DataError, match=r'no UTF-8 .*caf.udce9\.png'):
        write_text(tmp_path / 'a.txt', 'first\ncaf\udce9.png\nlast')
    assert not (tmp_path / 'a.txt').exists()
