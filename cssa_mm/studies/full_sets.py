"""The paper's twelve settings on the full data sets, and one table of results."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from cssa_mm.errors import ConfigError, DataError, nearest
from cssa_mm.files import write_text
from cssa_mm.studies.jobs import FEATURES, run_study
from cssa_mm.studies.spec import Study, load_study
from cssa_mm.studies.tables import LABELS, marked, mean_and_error

STUDY, TABLE = 'full_sets', 'results.md'
DATA = dict(coco='COCO', voc='VOC', nus='NUS-WIDE')
ROOTS = dict(coco='data/coco', voc='data/VOC2012', nus='data/nuswide')  # as in configs/_base_/datasets


def reproduce(
    *,
    data_roots: Mapping[str, str | os.PathLike] | None = None,
    seeds: Sequence[int] = (1,),
    jobs: int | None = None,
    tower: str | os.PathLike | None = None,
    work_dir: str | os.PathLike = f'work_dirs/{STUDY}',
    features: str | os.PathLike = FEATURES,
    overrides: Mapping[str, object] | None = None,
    keep_results: bool = False,
) -> dict:
    """Run zero-shot, labelled-only, CSSA and cssa_plus in the twelve settings, as far as the data are there.

    The table is written anew after each data set; what is done is kept, as by `run_study`.

    Args:
        data_roots: 'coco', 'voc' or 'nus' -> the directory of the data; by default that of the configs.
        seeds: seeds of split, prompts and order.
        jobs: runs at a time, which take the GPUs in turn; by default one for each GPU.
        tower: the tower of every run (see `load_config`); by default OpenAI's CLIP, RN50.
        work_dir: directory of the table (results.md), and of a study for each data set.
        features: directory of the frozen features.
        overrides: dotted key -> value, for every run.
        keep_results: keep results of another version of the code.

    Returns:
        `table`, its path; `missing`, data set -> what is missing; `failures` of the runs, log -> reason.

    Raises:
        ConfigError: an unknown data set, or a wrong override or tower.
    """
    roots = ROOTS | dict(data_roots or {})
    for name in roots:
        if name not in ROOTS:
            raise ConfigError(f"data_roots: found '{name}', expected {', '.join(ROOTS)}.{nearest(name, ROOTS)}")
    folder, study = Path(work_dir), load_study(STUDY)
    rows: dict[str, Mapping] = {}
    missing: dict[str, str] = {}
    failures: dict[str, str] = {}
    for name, root in roots.items():
        try:
            summary = run_study(
                study=STUDY,
                seeds=seeds,
                jobs=jobs or max(1, torch.cuda.device_count()),
                rows=[f'{name}_*'],
                data_root=root,
                work_dir=folder / name,
                features=features,
                overrides=overrides,
                tower=tower,
                keep_results=keep_results,
            )
        except DataError as error:
            missing[name] = f'{error} (put the data into {root}, or name their folder with --data-root-{name})'
        else:
            failures |= summary['failures']
            rows |= {row['name']: row for row in summary.get('rows', [])}
        write_text(folder / TABLE, _text(study, rows, missing, seeds, tower))
    return dict(table=folder / TABLE, missing=missing, failures=failures)


def _text(
    study: Study,
    rows: Mapping[str, Mapping],
    missing: Mapping[str, str],
    seeds: Sequence[int],
    tower: str | os.PathLike | None,
) -> str:
    """A table for each measure with a line for each setting, and what is missing."""
    methods = list(dict.fromkeys((row.line or '').split(', ')[1] for row in study.rows))
    note = f'Tower {"RN50-quickgelu:openai" if tower is None else tower}, seeds {", ".join(map(str, seeds))}; '
    parts = [study.title, f'{note}mean and standard error in per cent.']
    for measure in ('mAP', *LABELS[:2]):
        table = [[measure, *methods]]
        for name, title in DATA.items():
            for share in sorted({row.x for row in study.rows if row.x is not None}):
                found = [rows.get(f'{name}_{method}@{share}') for method in methods]
                cells = ['not run' if row is None else mean_and_error(row[measure], '.1f') for row in found]
                table.append([f'{title}, {100 * share:.0f} %', *cells])
        parts.append(marked(table))
    parts += [f'{DATA[name]} was not run: {reason}' for name, reason in missing.items()]
    return '\n\n'.join(parts) + '\n'
