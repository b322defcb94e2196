"""Every documented key with wrong values: each fits its annotation, or is one line that names the key.

`bash tools/acceptance.sh values` tries all of them, and trains a tiny model with those that are taken.
"""

import copy
import os
import zlib
from collections import Counter

import pytest
from mmengine.config import Config

from cssa_mm import load_config
from cssa_mm.apis.config_reference import EVERY, SECTIONS
from cssa_mm.apis.config_words import WORDS
from cssa_mm.apis.documented_keys import keys_of
from cssa_mm.engine.runner import CSSARunner
from cssa_mm.errors import ConfigError, CSSAError, DataError
from cssa_mm.files import shipped_config

VALUES = ('text', '', None, float('nan'), -1, 0, 10**12, 3.5, True, [], [1, 'a'], {})
BASES = ('cssa_plus_coco_p05', 'cssa_table')
FULL = 'CSSA_VALUES' in os.environ
OFTEN = 8  # one of so many cases is tried
# What shows that values are compared with more than their type: a data root without data.
OF_DATA = ('data_root',)


def documented() -> list[str]:
    found = []
    for path, taker in SECTIONS.items():
        names = [key.name for key in keys_of(taker)] if taker else list(WORDS[path])
        loaders = ('train_dataloader', 'val_dataloader') if EVERY in path else ('',)
        found += [f'{path}.{name}'.lstrip('.').replace(EVERY, loader) for name in names for loader in loaders]
    return list(dict.fromkeys(found))


def cases() -> list[tuple[str, object]]:
    """All in the full version, else some of them: those are the same in every run."""
    found = [(key, value) for key in documented() for value in VALUES]
    return [case for case in found if FULL or zlib.crc32(repr(case).encode()) % OFTEN == 0]


@pytest.fixture(scope='module')
def bases() -> dict[str, Config]:
    return {name: Config.fromfile(shipped_config(name)) for name in BASES}


def complaint(key: str, attempt) -> tuple[str, str]:
    """How an attempt ended, and what is wrong with that."""
    try:
        attempt()
    except ConfigError as error:
        text = str(error)
        is_named = key in text or key.rpartition('.')[2] in text
        return 'refused', '' if is_named and '\n' not in text else f'no line that names the key: {text}'
    except DataError as error:
        return 'refused', '' if key.endswith(OF_DATA) else f'{type(error).__name__}: {error}'
    except Exception as error:
        return 'failed', f'{type(error).__name__}: {error}'
    return 'taken', ''


def test_a_value_fits_or_is_one_line(bases):
    wrong, counts = [], Counter()
    for number, (key, value) in enumerate(cases()):
        for name in BASES if FULL else [BASES[number % 2]]:
            how, why = complaint(
                key, lambda name=name, key=key, value=value: load_config(bases[name], overrides={key: value})
            )
            counts[how] += 1
            wrong += [f'{name}: {key}={value!r}: {why}'] if why else []
    print('\nchecked: ' + ', '.join(f'{count} {how}' for how, count in counts.items()))
    assert wrong == []
    assert counts['refused'] > counts['taken'] > 0


@pytest.mark.skipif(not FULL, reason='takes half an hour: bash tools/acceptance.sh values')
def test_what_is_taken_can_be_trained_with_or_is_one_line(tiny_config, tmp_path):
    wrong, counts = [], Counter()
    base = tiny_config()
    for number, (key, value) in enumerate(cases()):
        try:
            config = load_config(base, overrides={key: value})
        except CSSAError:
            continue
        if config.get('work_dir') == base.work_dir:
            config.work_dir = str(tmp_path / str(number))

        def attempt(config=config):
            CSSARunner.from_cfg(copy.deepcopy(config)).train()

        how, why = complaint(key, attempt)
        counts[how] += 1
        if why:
            wrong.append(f'{key}={value!r}: {why}')
            print(wrong[-1])
    print('\ntrained: ' + ', '.join(f'{count} {how}' for how, count in counts.items()))
    assert wrong == []
