import pytest

from cssa_mm.errors import ConfigError
from cssa_mm.features.options import CacheOptions, checked_options


def test_what_is_not_given_has_its_default():
    defaults = dict(gib=1.0, folder=None, dtype='float32', partial=True, strong_views=0)
    assert checked_options(None) == checked_options({}) == defaults
    assert checked_options(dict(gib=0, strong_views=4)) == defaults | dict(gib=0, strong_views=4)
    assert CacheOptions().path is None


@pytest.mark.parametrize(
    ('key', 'value', 'expected'),
    [
        ('gib', -1, 'a number from 0'),
        ('gib', '2', 'a number from 0'),
        ('gib', True, 'a number from 0'),
        ('folder', 3, 'text or None'),
        ('dtype', 'fp16', "'float32' or 'float16'. Did you mean 'float16'?"),
        ('dtype', None, "'float32' or 'float16'"),
        ('partial', 1, 'True or False'),
        ('strong_views', 1.5, 'a whole number from 0'),
        ('strong_views', -1, 'a whole number from 0'),
        ('strong_views', True, 'a whole number from 0'),
    ],
)
def test_invalid_values_are_refused_by_name(key, value, expected):
    with pytest.raises(ConfigError) as error:
        checked_options({key: value})
    assert str(error.value) == (
        f'default_hooks.pseudo_labels.feature_cache.{key}: found {value!r}, expected {expected}'
    )
