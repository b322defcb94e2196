"""`--cfg-options`: values with blanks, quotes, lists and dicts; whatever else is refused in one line."""

import argparse
import json
import random

import pytest
from mmengine.config import DictAction

from cssa_mm.cli.overrides import Overrides, read_value
from cssa_mm.errors import ConfigError


def parsed(*pairs):
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=Overrides)
    return parser.parse_args(['--cfg-options', *pairs]).cfg_options


@pytest.mark.parametrize(
    'text',
    [
        '3', '-3', '1e-3', '1_000', 'inf', 'None', 'none', 'true', 'False', 'adam', '', 'a/b.pth', 's3://x/y', 'a[0]',
        'a,b', 'a,', '1,2.5,None', '[a,b]', '(a,b)', '(1)', '[]', '()', '[[a,b],[c]]', '[(1,2),[a,b],c]', '[a,,b]',
        '[(1),(2)]', "it's", 'Width]', 'epoch_{}.pth', 'x=y',
    ],
)  # fmt: skip
def test_what_worked_with_mmengine_means_the_same(text):
    found = read_value(text)
    assert found == DictAction._parse_iterable(text)
    assert type(found) is type(DictAction._parse_iterable(text))


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('Image Index', 'Image Index'),
        (' Image Index ', 'Image Index'),
        ('[Car Ferry, Jet Ski,Speedboat]', ['Car Ferry', 'Jet Ski', 'Speedboat']),
        ('Car Ferry,Jet Ski', ['Car Ferry', 'Jet Ski']),
        ('["Car Ferry", \'Jet, Ski\']', ['Car Ferry', 'Jet, Ski']),
        ('[Bus (red), Bus [old]]', ['Bus (red)', 'Bus [old]']),
        ("[lion's mane, king's crown]", ["lion's mane", "king's crown"]),
        ("'a,b'", 'a,b'),
        ('"3"', '3'),
        ("'None'", 'None'),
        ('"[a]"', '[a]'),
        (r"'lion\'s mane'", "lion's mane"),
        (r"'C:\new\table'", r'C:\new\table'),
        (' ', ' '),
        (';,|', ';,|'),
        (', ', ', '),
        ('[1,2],[3]', [[1, 2], [3]]),
        ('dict()', {}),
        ('{}', {}),
        ('dict(a=1, b=x y, c=[1,(2,)])', dict(a=1, b='x y', c=[1, (2,)])),
        ("{a: 1, 'b: c': {d: None}, 3: x}", {'a': 1, 'b: c': {'d': None}, 3: 'x'}),
        ("[dict(type='EarlyStoppingHook',monitor='ema/mAP')]", [dict(type='EarlyStoppingHook', monitor='ema/mAP')]),
        ("dict(a='x=1, y=2')", dict(a='x=1, y=2')),
    ],
)
def test_blanks_quotes_and_dicts(text, expected):
    assert read_value(text) == expected


@pytest.mark.parametrize(
    ('text', 'reason'),
    [
        ('[a,b', "'[' is not closed"),
        ('a],b', "']' closes nothing"),
        ('[a,b)', "')' closes nothing"),
        ("'tis", 'is not closed'),
        ("['a' b, c]", 'more follows the closing quote'),
        ('[Bus (red, old)]', "a comma stands in the brackets of 'Bus (red, old)'"),
        ('f(x,y)', 'a comma stands in the brackets'),
        ('{a,b}', "'a' is not key: value"),
        ('dict(a)', "'a' is not key=value"),
        ('dict(a=1,a=2)', "'a' stands twice"),
        ('dict(**x)', 'is not key=value'),
        ('[' * 30 + ']' * 30, 'nested more than'),
        ('[' * 5000 + ']' * 5000, 'nested more than'),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line_that_says_how_to_write_it(text, reason):
    with pytest.raises(ConfigError) as error:
        parsed(f'custom_hooks={text}')
    message = str(error.value)
    assert message.startswith('--cfg-options: custom_hooks: found ')
    assert reason in message
    assert 'dict(a=1)' in message
    assert '\n' not in message


def test_random_text_is_read_or_refused_in_one_line():
    draw = random.Random(0)
    pieces = ['dict(', '(', ')', '[', ']', '{', '}', "'", '"', ',', '=', ':', ' ', '\\', '\n', '\t', 'a', '7', 'é', '.']
    refused = []
    for _ in range(20_000):
        text = ''.join(draw.choices(pieces, k=draw.randrange(16)))
        try:
            read_value(text)
        except ConfigError as error:
            refused.append(str(error))
    assert 2_000 < len(refused) < 18_000
    assert not any('\n' in message for message in refused)


def test_random_values_come_back_from_the_form_that_json_gives_them():
    draw = random.Random(1)

    def value(depth):
        kind = draw.randrange(6 if depth else 3)
        if kind < 2:
            return ''.join(draw.choices("ab ,;'[](){}=:|é-_", k=draw.randrange(8)))
        if kind == 2:
            return draw.choice([0, -7, 12345, 0.5])
        items = [value(depth - 1) for _ in range(draw.randrange(4))]
        return items if kind < 5 else {f'k {number}': item for number, item in enumerate(items)}

    for _ in range(3_000):
        expected = value(3)
        assert read_value(json.dumps(expected, ensure_ascii=False)) == expected


def test_pairs_are_collected_and_the_last_of_a_key_counts():
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=Overrides, default={})
    words = ['--cfg-options', 'a.b=1', 'c=x=y', 'a.b=2', '--cfg-options', 'd = e']
    assert parser.parse_args(words).cfg_options == {'a.b': 2, 'c': 'x=y', 'd': 'e'}
    assert parser.parse_args([]).cfg_options == {}


@pytest.mark.parametrize('pair', ['model', '=1', 'a..b=1', '.a=1', ' =1', 'a.=1'])
def test_a_pair_without_key_or_equals_sign_is_refused(pair):
    with pytest.raises(ConfigError, match=r"--cfg-options: found '.*', expected key=value; write no spaces around '='"):
        parsed(pair)


def test_a_value_that_the_shell_split_at_its_blank_is_told_of():
    with pytest.raises(ConfigError, match="if it belongs to 'image_column=Image', put the whole in quotes"):
        parsed('image_column=Image', 'Index')
