"""A label file that a test writes, read as a table."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cssa_mm.datasets.data_root import DataRoot
from cssa_mm.datasets.readers import read_labels
from cssa_mm.datasets.readers.label_table import LabelTable
from cssa_mm.datasets.readers.source import LabelSource, ReadOptions
from cssa_mm.errors import CSSAError


class Root(DataRoot):
    """A folder of the local disk."""

    def __init__(self, path: Path) -> None:
        self.data_root, self.backend_args = str(path), None


@pytest.fixture
def table_of(tmp_path) -> Callable[..., LabelTable]:
    """table_of('content', name='labels.csv', **options) -> the table as read."""

    def make(content, name='labels.csv', format=None, **options) -> LabelTable:
        if not isinstance(content, (str, bytes)):
            content = json.dumps(content)
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_labels(LabelSource(Root(tmp_path), str(tmp_path / name)), ReadOptions(**options), format)

    return make


@pytest.fixture
def rows_of(table_of) -> Callable[..., dict[str, str]]:
    """rows_of('content', ...) -> image -> its labels: '+cat -dog ?cow'; '?' alone for an unlabelled image."""

    def make(*args, **options) -> dict[str, str]:
        return said(table_of(*args, **options))

    return make


@pytest.fixture
def refusal_of(table_of, tmp_path) -> Callable[..., str]:
    """refusal_of('content', ...) -> the one line that refuses it, without the folder."""

    def make(*args, **options) -> str:
        with pytest.raises(CSSAError) as caught:
            table_of(*args, **options)
        message = str(caught.value)
        assert '\n' not in message
        return message.replace(f'{tmp_path}/', '')

    return make


def said(table: LabelTable) -> dict[str, str]:
    """Image -> its labels, as the fixture `rows_of` says."""
    marks = {1: '+', 0: '-', -1: '?'}
    rows = {}
    for path, labels in zip(table.paths, table.labels.tolist(), strict=True):
        cells = [f'{marks[value]}{name}' for name, value in zip(table.class_names, labels, strict=True)]
        rows[path] = ' '.join(cells) if any(value >= 0 for value in labels) else '?'
    return rows


def kinds(table: LabelTable) -> list[str]:
    """The kinds of the questions about a table."""
    return [question.kind for question in table.understanding.questions]
