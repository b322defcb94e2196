"""`pseudo_labels.jsonl`: written line by line, cut back by a resume, read after a kill."""

import json
import math

import pytest

from cssa_mm.errors import ConfigError, DataError
from cssa_mm.evaluation.pseudo_label_records import FILE, append_record, keep_records, read_records


@pytest.fixture
def path(tmp_path):
    return tmp_path / FILE


@pytest.fixture
def warned(monkeypatch):
    """The warnings that were logged."""
    messages = []
    monkeypatch.setattr(
        'cssa_mm.evaluation.pseudo_label_records.print_log', lambda message, **_: messages.append(message)
    )
    return messages


def epochs_of(path) -> list[int]:
    return [json.loads(line)['epoch'] for line in path.read_text().splitlines()]


def test_records_are_read_as_they_were_appended_and_none_becomes_nan(path, tmp_path, record, warned):
    for epoch in (5, 6):
        append_record(path, record | dict(epoch=epoch))
        assert path.read_text().endswith('}\n')
    first, second = read_records(tmp_path)
    assert (first['epoch'], second['epoch']) == (5, 6)
    assert second['reliability']['count'] == record['reliability']['count']
    assert [math.isnan(value) for value in second['positive_thresholds']] == [False, True, False]
    assert warned == []


@pytest.mark.parametrize(('last', 'kept'), [(0, []), (5, [5]), (6, [5, 6]), (9, [5, 6, 7])])
def test_a_resume_keeps_the_epochs_before_it(path, record, warned, last, kept):
    for epoch in (5, 6, 7):
        append_record(path, record | dict(epoch=epoch))
    keep_records(path, last)
    assert epochs_of(path) == kept
    append_record(path, record | dict(epoch=last + 1))
    assert epochs_of(path) == [*kept, last + 1]
    assert list(path.parent.iterdir()) == [path]
    assert warned == []


def test_without_a_file_there_is_nothing_to_keep(path):
    keep_records(path, 3)
    assert not path.exists()


@pytest.mark.parametrize(
    'rest', ['{"epoch": 7, "class_na', '{"epoch": 7}', '{"epoch": 7, "class_na\n', '\0\0\0\0', '"é'.encode()[:2]]
)
def test_an_unfinished_last_line_is_dropped_with_a_warning(path, tmp_path, record, warned, rest):
    """A process that is killed writes a part of the line; a machine that is switched off may leave zeros."""
    append_record(path, record)
    whole = path.read_bytes()
    path.write_bytes(whole + (rest if isinstance(rest, bytes) else rest.encode()))
    assert len(read_records(tmp_path)) == 1
    assert warned == [f'{path}: unfinished line 2 is dropped; the run was probably killed while it wrote']
    keep_records(path, 9)
    assert path.read_bytes() == whole
    assert len(warned) == 2


def test_any_place_of_a_kill_leaves_the_epochs_before_it(path, tmp_path, record, warned):
    append_record(path, record)
    start = path.stat().st_size
    append_record(path, record | dict(epoch=8))
    whole = path.read_bytes()
    for size in range(start, len(whole)):
        path.write_bytes(whole[:size])
        assert [found['epoch'] for found in read_records(tmp_path)] == [7], whole[:size]
    assert len(warned) == len(whole) - start - 1  # where nothing of the line was written, nothing is dropped


def test_a_killed_rewriting_leaves_the_old_file(path, record, monkeypatch):
    append_record(path, record)
    before = path.read_bytes()

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr('os.replace', killed)
    with pytest.raises(KeyboardInterrupt):
        keep_records(path, 0)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (None, 'pseudo_labels.jsonl: found no such file, expected that of a run with semi-supervised epochs'),
        ('', 'found no epoch, expected a semi-supervised one'),
        ('{"epoch": 2', 'found no epoch, expected a semi-supervised one'),
        ('{"epoch": 2\n{"epoch": 3}\n', 'found no JSON object in line 1'),
        ('[2]\n{"epoch": 3}\n', 'found no JSON object in line 1'),
        ('{"epoch": 2}'.encode('utf-16-le') + b'\n{"epoch": 3}\n', 'found no JSON object in line 1'),
        (
            '{"epoch": 2, "class_names": []}\n',
            "found no 'labelled_positives' in line 1, expected a record of this version",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(tmp_path, warned, content, message):
    if content is not None:
        (tmp_path / FILE).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises((ConfigError, DataError), match=message) as caught:
        read_records(tmp_path)
    assert '\n' not in str(caught.value)


def test_broken_lines_in_the_middle_stop_a_resume_and_stay(path, record):
    append_record(path, record)
    path.write_text('{"epoch": 1, \n' + path.read_text())
    before = path.read_bytes()
    with pytest.raises(DataError, match='found no JSON object in line 1'):
        keep_records(path, 9)
    assert path.read_bytes() == before
