import json
import re

import numpy as np
import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from cssa_mm.visualization.pages import page

NASTY = '<b>&"\'</script><script>alert(1)</script>'
TEMPLATE = """{% extends 'frame.html' %}{% block content %}<p title="{{ word }}">{{ word }}</p>{{ picture }}
<script type="application/json" id="data">{{ data | tojson }}</script>{% endblock %}"""


@pytest.fixture
def pages(tmp_path, monkeypatch):
    for name in ('frame.html', 'style.css'):
        (tmp_path / name).write_text((page.PAGES / name).read_text('utf-8'), 'utf-8')
    (tmp_path / 'toy.html').write_text(TEMPLATE)
    (tmp_path / 'toy.js').write_text("'use strict'; // a < b && c {{ kept }}")
    monkeypatch.setattr(page, 'PAGES', tmp_path)
    return tmp_path


def render(**values):
    return page.render_page('toy', **dict(title='t', word='w', data=1, picture='') | values)


def test_whatever_is_printed_is_escaped_and_data_comes_back_as_they_were(pages):
    text = render(title=NASTY, word=NASTY, data={NASTY: [NASTY, 'ü\u2028']})
    assert '<b>' not in text
    assert 'alert(1)</script>' not in text
    data = re.search(r'id="data">(.*?)</script>', text, re.S).group(1)
    assert json.loads(data) == {NASTY: [NASTY, 'ü\u2028']}


def test_markup_style_and_script_stay_as_they_are(pages):
    text = render(picture=Markup('<svg></svg>'))
    assert '<svg></svg>' in text
    assert '// a < b && c {{ kept }}' in text
    assert '--paper' in text


def test_a_page_may_ask_nobody_for_anything(pages):
    text = render()
    assert "default-src 'none'" in text
    assert not re.search(r'https?://|//[a-z]+\.', text)


def test_a_value_that_the_template_lacks_is_an_error(pages):
    with pytest.raises(UndefinedError):
        page.render_page('toy', title='t', word='w')


def test_numbers_that_json_has_not_become_none():
    found = page.plain(dict(a=(float('nan'), 1), b=np.array([1.5, np.inf]), c=np.int64(2)))
    assert found == dict(a=[None, 1], b=[1.5, None], c=2)
    with pytest.raises(ValueError, match='JSON'):
        json.dumps(float('nan'), allow_nan=False)
