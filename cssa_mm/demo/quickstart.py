"""The quickstart on the embedded demo: zero-shot, labelled-only, CSSA, cssa_plus; a table, a picture, a summary."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from cssa_mm.demo.scenes import generate_demo
from cssa_mm.demo.stages import METRICS, STAGES, run_stages
from cssa_mm.evaluation.text_table import aligned
from cssa_mm.files import write_json


def quickstart(
    *,
    work_dir: str | os.PathLike = 'work_dirs/quickstart',
    data_root: str | os.PathLike = 'data/icons',
    overrides: Mapping[str, object] | None = None,
    started: float | None = None,
) -> dict:
    """Run the stages whose results are missing or out of date; prints the table and writes the picture.

    Args:
        work_dir: directory of all results, with a folder for each stage.
        data_root: directory of the demo scenes, which are drawn if they are missing.
        overrides: dotted key -> value, for every stage.
        started: when the command began, in seconds since the epoch; by default now.

    Returns:
        Metrics in per cent by stage, and `wall_seconds`; `summary.json` holds the same.

    Raises:
        CSSAError: a stage failed.
        DataError: `data_root` holds something other than demo scenes.
    """
    started = time.time() if started is None else started
    work_dir, data_root = Path(work_dir), str(data_root)
    if not Path(data_root, 'annotations').is_dir():
        # Each stage would draw them, but into its log: here the progress is seen.
        print(f'Drawing the demo scenes into {data_root}', flush=True)
        generate_demo(data_root)
    metrics = run_stages(work_dir, data_root, overrides)

    # Imported here because the stages do not need it.
    from cssa_mm.demo.results import draw_results

    picture = draw_results(work_dir, metrics['zero_shot']['mAP'])
    summary = {**metrics, 'wall_seconds': round(time.time() - started, 1)}
    write_json(work_dir / 'summary.json', summary, indent=2)
    rows = [['', *METRICS]]
    rows += [[stage.title, *(f'{metrics[stage.key][name]:.1f}' for name in METRICS)] for stage in STAGES]
    print(f'\n{aligned(rows)}\n\npicture: {picture}\nsummary: {work_dir / "summary.json"}')
    print(f'{summary["wall_seconds"]:.0f} seconds in all')
    return summary
