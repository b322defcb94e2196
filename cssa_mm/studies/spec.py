"""A study file: a Python file in `configs/studies/` with these names and nothing else.

config          the config that all rows start from: a file, or a shipped config by its name
rows            name -> dict(title, options, config, kind, line, x, baseline), all optional:
                options: overrides of the config; config: another one to start from; kind: 'train', 'zero_shot' or
                'linear_probe'; line and x: a point of that line in the plot; baseline: in place of the study's.
                'zero_shot' leaves evidence out, and neighbours with it; those of a config without evidence stay
x_label         name of the x axis
baseline        row or line that the others are compared with; by default the first trained row
references      rows or lines: each other row is compared with the best of them, in mAP and class by class
ceiling         row or line: the report says which share of the distance from baseline to ceiling each row covers
worth           line: the report says at which x this line reaches the mAP of each other row
since_first     True: each point is also compared with the first point of its line, and this change with the baseline's
by_seed         True: the report has the paired difference of each seed
own_photos      dict(source, photos, labelled): each seed trains on a folder of its own (own_photos.py), drawn from the
                data of the config `source`
min_positives   leaves out classes with fewer positives in the test set or in the training set
"""

from __future__ import annotations

import runpy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from cssa_mm.errors import ConfigError, nearest
from cssa_mm.files import configs_root
from cssa_mm.studies.worker import KINDS

KEYS = (
    'baseline',
    'references',
    'ceiling',
    'worth',
    'since_first',
    'by_seed',
    'x_label',
    'own_photos',
    'min_positives',
)


@dataclass(frozen=True)
class Row:
    """One row of the table, or one point of a line."""

    name: str
    title: str = ''
    options: Mapping = field(default_factory=dict)
    config: str | None = None
    kind: str = 'train'
    line: str | None = None
    x: float | None = None
    baseline: str | None = None


@dataclass(frozen=True)
class Study:
    """The content of a study file."""

    name: str
    title: str
    config: str
    rows: tuple[Row, ...]
    baseline: str | None = None
    references: tuple[str, ...] = ()
    ceiling: str | None = None
    worth: str | None = None
    since_first: bool = False
    by_seed: bool = False
    x_label: str | None = None
    own_photos: Mapping | None = None
    min_positives: int = 1

    def chosen(self, patterns: Sequence[str] | None) -> list[Row]:
        """The rows whose names fit one of the patterns, all by default; '*' stands for anything.

        Raises:
            ConfigError: a pattern fits no row.
        """
        names = [row.name for row in self.rows]
        for pattern in patterns or ():
            if not any(fnmatch(name, pattern) for name in names):
                raise ConfigError(
                    f"--rows: found '{pattern}', expected some of {', '.join(names)}.{nearest(pattern, names)}"
                )
        return [row for row in self.rows if patterns is None or any(fnmatch(row.name, p) for p in patterns)]


def known_studies() -> list[str]:
    """The names of the studies in configs/studies."""
    return sorted(path.stem for path in _folder().glob('*.py'))


def _folder() -> Path:
    return (configs_root() or Path()) / 'configs' / 'studies'


def load_study(name: str) -> Study:
    """Read a study by its name, or from a file.

    Raises:
        ConfigError: the study is missing or has no rows or config, or a key, kind or name in it is unknown.
    """
    path = Path(name) if name.endswith('.py') else _folder() / f'{name}.py'
    if not path.is_file():
        raise ConfigError(
            f"study: found no '{name}', expected one of {', '.join(known_studies())}, or a Python file."
            f'{nearest(name, known_studies())}'
        )
    content = runpy.run_path(str(path))
    if not content.get('rows') or not content.get('config'):
        raise ConfigError(f'{path}: found no rows or no config, expected both')
    rows = tuple(_row(path, key, dict(value)) for key, value in content['rows'].items())
    options = {key: content[key] for key in KEYS if key in content}
    title = (content.get('__doc__') or path.stem).strip().splitlines()[0].rstrip('.')
    lines = [row.line for row in rows if row.line]
    names = [row.name for row in rows] + lines
    if isinstance(options.get('references'), str):
        options['references'] = (options['references'],)
    named = [('baseline', row.baseline) for row in rows if row.baseline is not None]
    named += [(key, options[key]) for key in ('baseline', 'ceiling', 'worth') if key in options]
    named += [('references', name) for name in options.get('references', ())]
    for key, name in named:
        known, expected = (lines, 'a line') if key == 'worth' else (names, 'a row or line')
        if name not in known:
            raise ConfigError(f"{path}: found {key} '{name}', expected the name of {expected}.{nearest(name, known)}")
    return Study(path.stem, title, content['config'], rows, **options)


def _row(path: Path, name: str, content: dict) -> Row:
    known = set(Row.__dataclass_fields__) - {'name'}
    for key in content:
        if key not in known:
            raise ConfigError(f"{path}: found '{key}' in row '{name}', expected one of {', '.join(sorted(known))}")
    if content.get('kind', 'train') not in KINDS:
        raise ConfigError(f"{path}: found kind '{content['kind']}' in row '{name}', expected one of {', '.join(KINDS)}")
    line, x = content.get('line'), content.get('x')
    title = content.pop('title', None) or (name if line is None else f'{line}, {x:g}')
    return Row(name=name, title=title, **content)
