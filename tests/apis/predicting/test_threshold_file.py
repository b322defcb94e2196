"""Thresholds that a user gives."""

import pytest

from cssa_mm.apis.predicting.threshold_file import given_threshold
from cssa_mm.errors import ConfigError


def test_a_number_in_any_form_and_a_file(tmp_path):
    (tmp_path / 't.csv').write_text('\ufeffClass, Threshold\r\n"a, b",0.25\r\n\r\ndog , .5\r\n', encoding='utf-8')
    assert given_threshold(None) is None
    assert given_threshold(0.3) == 0.3
    assert given_threshold('.3') == 0.3
    assert given_threshold(tmp_path / 't.csv') == {'a, b': 0.25, 'dog': 0.5}
    assert given_threshold({'a': 0.1}) == {'a': 0.1}


@pytest.mark.parametrize(('content', 'message'), [
    (None, 'found neither a number nor a readable file'),
    ('', "found the header ''"),
    ('dog,0.5\n', "found the header 'dog,0.5'"),
    ('class,threshold\ndog,x\n', "found 'dog,x' in row 2"),
    ('class,threshold\ndog\n', "found 'dog' in row 2"),
    ('class,threshold\ndog,.1\ndog,.2\n', "found the class 'dog' twice"),
])  # fmt: skip
def test_anything_else_is_one_line(tmp_path, content, message):
    if content is not None:
        (tmp_path / 't.csv').write_text(content)
    with pytest.raises(ConfigError) as refused:
        given_threshold(str(tmp_path / 't.csv'))
    assert message in str(refused.value)
    assert '\n' not in str(refused.value)
