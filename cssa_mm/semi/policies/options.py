"""The valid ranges of the policies' options, checked when a policy is built and not after the warm-up."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from numbers import Real
from typing import Any

from cssa_mm.errors import ConfigError

RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    'eta_positive': (lambda value: 0 <= value < inf, 'a number >= 0'),
    'eta_negative': (lambda value: 0 <= value < inf, 'a number >= 0'),
    'positive': (lambda value: value == value, 'a number'),
    'negative': (lambda value: value == value, 'a number'),
    'k': (lambda value: type(value) is int and value >= 1, 'a whole number >= 1'),
    'beta': (lambda value: 0 < value < inf, 'a number > 0'),
    'penalty': (lambda value: 0 < value < inf, 'a number > 0'),
    'confidence': (lambda value: 0 < value < 1, 'a number between 0 and 1'),
    'prior': (lambda value: 0 < value < inf, 'a number > 0'),
    'bins': (lambda value: type(value) is int and 2 <= value <= 1000, 'a whole number from 2 to 1000'),
}


def check_options(policy: str, **options: Any) -> None:
    """Check all options of a policy.

    Raises:
        ConfigError: An option is out of its range.
    """
    for name, value in options.items():
        fits, expected = RANGES.get(name, (None, ''))
        if fits is not None and not (isinstance(value, Real) and fits(value)):
            raise ConfigError(f'Policy {policy}: {name}={value!r}; expected {expected}.')
    if 'positive' in options and not options['negative'] < options['positive']:
        raise ConfigError(
            f'Policy {policy}: negative={options["negative"]}, positive={options["positive"]}; '
            'expected negative below positive.'
        )
