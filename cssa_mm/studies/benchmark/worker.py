"""One row in a process of its own: `python -m cssa_mm.studies.benchmark.worker`, the job as JSON on standard input.

So its memory is its own, and a row that needs more than there is fails alone.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import cssa_mm  # noqa: F401 - registers the components
from cssa_mm.datasets.workers import end_with_parent
from cssa_mm.files import write_json
from cssa_mm.studies.benchmark.measuring import measure
from cssa_mm.studies.benchmark.rows import row_of
from cssa_mm.studies.benchmark.setting import Setting
from cssa_mm.studies.memory import limit_memory

ROUND = '== round done'


def main() -> None:
    """Measure the row of the job, and write its figures."""
    end_with_parent(by_signal=True)
    job: dict[str, Any] = json.load(sys.stdin)
    if job['memory_gib']:
        limit_memory(job['memory_gib'])
    setting = Setting(**job['setting'])
    contest = row_of(job['row']).build(setting)
    figures = measure(contest, job['repeats'], lambda: print(ROUND, flush=True))
    write_json(job['out'], figures.as_dict())


if __name__ == '__main__':
    main()
