"""A page in one file: a template with its style and script beside it, opened from disk without server or network.

`NAME.html` extends `frame.html` and fills its block `content`; `NAME.css` and `NAME.js` are put into the page where
they exist, after `style.css`, which all pages share. The frame forbids every request (Content-Security-Policy), so
that a page that someone sends asks nobody for anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

PAGES = Path(__file__).parent
SHARED_STYLE = 'style.css'


def render_page(name: str, *, title: str, shares: str = '', **values: Any) -> str:
    """The text of the page `name`.

    All that the template prints is escaped, whatever a class or a file is called. A script gets its data from the
    template: `<script type="application/json" id="data">{{ data | tojson }}</script>`, which escapes `</script>`, too;
    `plain` makes data of numbers that JSON has not.

    Args:
        name: of the template, without its ending.
        title: of the page.
        shares: another page, whose style and script come before those of this one.
        values: what the template prints; `Markup` of markupsafe stays as it is.

    Raises:
        jinja2.UndefinedError: the template prints what `values` lack.
    """
    environment = Environment(
        loader=FileSystemLoader(PAGES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies['json.dumps_kwargs'] = dict(ensure_ascii=False, allow_nan=False, separators=(',', ':'))
    names = [each for each in (shares, name) if each]
    style = _text(SHARED_STYLE) + ''.join(_text(f'{each}.css') for each in names)
    script = ''.join(_text(f'{each}.js') for each in names)
    own = dict(style=Markup(style), script=Markup(script))  # nosec B704 # files of this folder
    text = environment.get_template(f'{name}.html').render(title=title, **own, **values)
    # Half a character, as in file names that are no text in UTF-8, becomes its escape.
    return text.encode('utf-8', 'backslashreplace').decode('utf-8')


def plain(value: Any) -> Any:
    """A value as JSON has it: lists for tuples and arrays, None for nan and infinity."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _text(name: str) -> str:
    path = PAGES / name
    return path.read_text('utf-8') if path.is_file() else ''
