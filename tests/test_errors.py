"""What a file has written into its names breaks no line of a message, and steers no terminal."""

import pickle

from cssa_mm.errors import CheckpointError, DataError, OpenQuestionsError, one_line


def test_control_characters_are_shown_by_their_escapes():
    error = DataError("a\nb.csv: found '\x1b[2J\x00\u2028', expected ä 猫 🐈")
    assert str(error) == "a\\nb.csv: found '\\x1b[2J\\x00\\u2028', expected ä 猫 🐈"
    assert one_line('\r\t\x9b') == '\\r\\t\\x9b'


def test_open_questions_keep_their_lines():
    assert str(OpenQuestionsError('one\ntwo')) == 'one\ntwo'


def test_an_error_travels_between_processes():
    error = pickle.loads(pickle.dumps(CheckpointError('a\nb')))
    assert isinstance(error, CheckpointError)
    assert str(error) == 'a\\nb'
    assert str(DataError()) == ''
    assert DataError('a', 3).args == ('a', 3)
