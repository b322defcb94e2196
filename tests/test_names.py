"""Names of classes and files have one form, whatever machine they were typed on."""

import pytest

from cssa_mm.names import one_form, plain_name


@pytest.mark.parametrize(
    ('written', 'expected'),
    [
        ('cafe\u0301', 'caf\u00e9'),
        ('\ufeffcat', 'cat'),
        ('hot\u00a0dog', 'hot dog'),
        ('hot\u3000dog', 'hot dog'),
        ('hot\tdog\r', 'hot dog'),
        ('sno\u00adw\u200b', 'snow'),
        ('\U0001f469\u200d\U0001f692', '\U0001f469\u200d\U0001f692'),  # a joiner is a part of the emoji
    ],
)
def test_one_form(written, expected):
    assert one_form(written) == expected


def test_case_blanks_and_strokes_do_not_tell_classes_apart():
    assert len({plain_name(name) for name in ('Dining table', 'dining_table', 'DINING-TABLE', 'diningtable')}) == 1
    assert plain_name('STRASSE') == plain_name('Straße')
    assert plain_name('cat') != plain_name('cats')
