"""The options of the policies, checked when a policy is built and not after the warm-up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cssa_mm.errors import ConfigError
from cssa_mm.values import check_values

KEY = 'default_hooks.pseudo_labels.policy'


def check_options(policy: Callable, **options: Any) -> None:
    """Check all options of a policy against the annotations of its function.

    Raises:
        ConfigError: An option is out of its range.
    """
    check_values(policy, options, KEY)
    if 'positive' in options and not options['negative'] < options['positive']:
        raise ConfigError(
            f'{KEY}: found negative={options["negative"]} and positive={options["positive"]}, expected negative below '
            'positive'
        )
