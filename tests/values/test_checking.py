"""A value that does not fit is one line that names key, value and what is expected."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import pytest

from cssa_mm.errors import ConfigError
from cssa_mm.models.neighbours import Neighbours
from cssa_mm.semi.pseudo_label_hook import PseudoLabelHook
from cssa_mm.values import OneOf, Positive, Range, check_values, hints_of, require_value

NAN = float('nan')


def taker(
    text: str,
    words: str | Sequence[str] = (),
    switch: bool = False,
    one: str | Mapping | Sequence | None = None,
    steps: Sequence = (),
    number: float = 0.0,
    thing: object | Path | None = None,
    **others: str,
):
    """Options of several kinds."""


@pytest.mark.parametrize(
    'options',
    [
        dict(text='a', words='b', switch=True, one=None, steps=[1]),
        dict(words=['a', 'b'], one=dict(a=1)),
        dict(words=(), one=['a'], text=Path('a')),
        dict(number=3, thing='left to the taker', unknown=3),
    ],
)
def test_right_values_stay(options):
    known = ('text', 'words', 'switch', 'one', 'steps', 'number')
    assert check_values(taker, options, takes_digits=True) == {
        key: value for key, value in options.items() if key in known
    }


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        (dict(text=None), 'x.text: found None, expected text'),
        (dict(text=['a']), r"x.text: found \['a'\], expected text"),
        (dict(words=[['a']]), 'expected text or a list of texts'),
        (dict(words=True), "for the text, put it in quotes: words='True'"),
        (dict(words=1.5), "put it in quotes: words='1.5'"),
        (dict(switch=1), 'x.switch: found 1, expected True or False'),
        (dict(switch='no'), "found 'no', expected True or False"),
        (dict(one=True), 'expected text, a dict, a list or None'),
        (dict(steps='abc'), "found 'abc', expected a list"),
    ],
)
def test_wrong_values_are_one_line(options, text):
    with pytest.raises(ConfigError, match=text):
        check_values(taker, options, 'x')


def test_whole_numbers_are_text_where_only_text_is_taken():
    found = check_values(taker, dict(text=3, words=[0, 'a', -1]), takes_digits=True)
    assert found == dict(text='3', words=['0', 'a', '-1'])


@pytest.mark.parametrize(
    ('hint', 'right', 'wrong'),
    [
        (int, [0, -3, 10**12], [True, 1.0, '1', None, NAN, [1], {}]),
        (float, [0, 1.5, -2], [True, '1.5', NAN, float('inf'), None, [], {}]),
        (Annotated[float, Range()], [float('inf'), 0], [NAN, 'x']),
        (Annotated[float, Range(0, 1)], [0, 1, 0.5], [-1e-9, 1.1, NAN, True]),
        (Annotated[float, Range(0, 1, above=True, below=True)], [0.5], [0, 1, NAN]),
        (Positive, [1, 10**12], [0, -1, 1.0, True, None, 'a']),
        (Literal[-1] | Positive, [-1, 1], [0, -2, True]),
        (Annotated[str, OneOf(('a', 'b'))] | None, ['a', None], ['c', '', 1, ['a']]),
        (Mapping[str, int], [{}, dict(a=1)], [dict(a='x'), [], 'a', None]),
        (Sequence[tuple[Positive, Positive]], [[], [(1, 2)], ([3, 4],)], [[1, 2], [(1,)], [(0, 1)], 'ab']),
        (str, ['', 'a', Path('a')], ['caf\udce9', 1, None, ['a']]),
    ],
)
def test_what_fits_a_hint(hint, right, wrong):
    for value in right:
        require_value('key', value, hint)
    for value in wrong:
        with pytest.raises(ConfigError, match='^key: found .*, expected ') as error:
            require_value('key', value, hint)
        assert '\n' not in str(error.value)


def test_messages_are_short_and_help():
    with pytest.raises(ConfigError, match=r"^a\.b: found 'sun', expected 'sum' or 'mean'\. Did you mean 'sum'\?$"):
        require_value('a.b', 'sun', Annotated[str, OneOf(('sum', 'mean'))])
    with pytest.raises(
        ConfigError, match=r'^model: found 3, expected a dict; to set one of its keys: model.KEY=\.\.\.$'
    ):
        require_value('model', 3, Mapping)
    with pytest.raises(ConfigError) as error:
        require_value('k', 'a\nb' * 1000, int)
    assert len(str(error.value)) < 200
    assert '\n' not in str(error.value)


def test_the_hints_of_a_class_are_those_of_its_bases_too():
    class Child(PseudoLabelHook):
        def __init__(self, own: int = 1, **others) -> None: ...

    assert {'batch_size', 'num_workers'} <= hints_of(Child).keys()
    with pytest.raises(ConfigError, match='hook.batch_size: found 0, expected a whole number from 1'):
        check_values(Child, dict(own='left', batch_size=0), 'hook')


def test_a_constructor_checks_its_own_options():
    for name, value in dict(k=0, weight=101, shrinkage=NAN, max_images=1).items():
        with pytest.raises(ConfigError, match=f'^model.neighbours.{name}: found '):
            Neighbours(embed_dim=4, num_classes=2, num_readings=1, **{name: value})
