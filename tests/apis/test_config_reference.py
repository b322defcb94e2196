"""docs/configuration.md is up to date, and knows what the guard and the shipped configs know."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import cssa_mm
from cssa_mm.apis.config_reference import SECTIONS, config_page
from cssa_mm.apis.config_words import WORDS
from cssa_mm.apis.documented_keys import arguments, keys_of
from cssa_mm.cli.main import main
from cssa_mm.engine.config.guard import CONFIG_KEYS
from cssa_mm.engine.config.section_readers import READERS
from tests.cli.pages import config_rows, of_any_loader

PAGE = Path(__file__).parents[2] / 'docs' / 'configuration.md'


def test_the_page_is_what_the_command_prints(capsys):
    with pytest.raises(SystemExit) as end:
        main(['check', '--keys'])
    assert end.value.code == 0
    assert capsys.readouterr().out == config_page()
    assert PAGE.read_text('utf-8') == config_page(), 'write it anew: cssa check --keys > docs/configuration.md'


def keys_in(section: Mapping, path: str = '') -> Iterator[tuple[str, str]]:
    """(section, key) of a config, all loaders under one name."""
    for key, value in section.items():
        yield path, key
        if isinstance(value, Mapping):
            below = f'{path}.{key}' if path else key
            yield from keys_in(value, of_any_loader(below))


@pytest.mark.parametrize('name', ['cssa_coco_p05', 'cssa_plus_voc_p05', 'cssa_table', 'cssa_nus_p05'])
def test_each_key_that_a_shipped_config_sets_has_a_row(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    known = config_rows()
    config = cssa_mm.load_config(name).to_dict()
    of_others = {'type', 'shuffle'}  # of DefaultSampler
    # What has no table is a part of another library, too.
    missing = [f'{path}.{key}' for path, key in keys_in(config) if path in known and key not in known[path] | of_others]
    assert missing == []
    sections = {path for path, _ in keys_in(config) if path.startswith('model.')}
    assert sections - set(known) <= {'model.class_names', 'model.view'}  # a data set, and the view of the top level


def test_the_words_are_those_of_the_keys_that_the_guard_knows():
    assert set(WORDS['']) == CONFIG_KEYS
    for path, words in WORDS.items():
        ends = [end for end in READERS if f'.{path}'.replace('*', 'train').endswith(f'.{end}')]
        if path and isinstance(READERS[ends[0]], set):
            assert set(words) - {'type'} == READERS[ends[0]], path
    assert {path for path, taker in SECTIONS.items() if taker is None} == set(WORDS)


class Base:
    """A parent.

    Args:
        depth: of the tree,
            in levels | steps.
        owner: who built it (given by the runner).
    """

    def __init__(self, depth: int = 2, owner: object = None) -> None: ...


class Child(Base):
    """A child.

    Args:
        width: a :class:`~cssa_mm.models.Width` or ``None``.
        **options: the keys of :class:`Base`.

    Raises:
        ConfigError: always.
    """

    def __init__(self, width, **options) -> None: ...


def test_keys_are_read_from_signatures_and_docstrings_through_the_parents():
    assert [tuple(key) for key in keys_of(Child)] == [
        ('width', '', 'A `Width` or `None`.', ''),
        ('depth', '2', r'Of the tree, in levels \| steps.', ''),
    ]
    assert arguments('No section.') == {}
