"""`report`: one page of a run, or of several side by side; and the page that a training ends with."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmengine.runner import Runner

from cssa_mm.apis.predicting.writers.streams import refused_in_one_line
from cssa_mm.apis.reporting.building import build_report
from cssa_mm.apis.reporting.last_validation import LastValidationHook
from cssa_mm.apis.reporting.run import finished_run, open_run, validates_on_tests
from cssa_mm.apis.reporting.settings import without_paths
from cssa_mm.errors import ConfigError
from cssa_mm.files import write_text
from cssa_mm.models.eval_mode import in_eval_mode
from cssa_mm.visualization.pages.report_data import Report

FILE, SEVERAL = 'report.html', 'comparison.html'


@dataclass(frozen=True)
class ReportResult:
    """A page, and what it shows.

    Attributes:
        page: the file.
        reports: one for each run.
    """

    page: Path
    reports: tuple[Report, ...]

    def text(self) -> str:
        """The path of the page, and a line for each part that it lacks."""
        lines = [f'report: {self.page}']
        for report in self.reports:
            start = f'{report.title}: ' if len(self.reports) > 1 else ''
            lines += [f'{start}{line}' for line in dict.fromkeys([*report.missing.values(), *report.notes])]
        return '\n'.join(lines)


def report(
    *,
    work_dirs: str | os.PathLike | Sequence[str | os.PathLike],
    out: str | os.PathLike | None = None,
    data_root: str | os.PathLike | None = None,
    device: str | None = None,
) -> ReportResult:
    """Write a page, in one file that needs no network, about a training run; or about several, side by side.

    Args:
        work_dirs: work directory of a run, or of several.
        out: the file; by default `report.html` in the work directory, of several `comparison.html` in the first.
        data_root: directory of the data, if they are elsewhere than the run found them.
        device: 'cpu', 'cuda' or 'mps'; by default the best one that this machine has.

    Raises:
        ConfigError: a work directory does not exist or holds no training, or `out` cannot be written.

    Examples:
        >>> from cssa_mm.apis.reporting.report import report
        >>> report(work_dirs='work_dirs/cssa_demo').page  # doctest: +SKIP
        PosixPath('work_dirs/cssa_demo/report.html')
    """
    from cssa_mm.visualization.pages.comparison_page import render_comparison  # imports matplotlib
    from cssa_mm.visualization.pages.report_page import render_report

    folders = [work_dirs] if isinstance(work_dirs, str | os.PathLike) else list(work_dirs)
    if not folders:
        raise ConfigError('work_dirs: found none, expected the work directory of a training; give one or several')
    page = Path(out) if out is not None else Path(folders[0], FILE if len(folders) == 1 else SEVERAL)
    if page.suffix.lower() not in ('.html', '.htm'):
        raise ConfigError(f"--out: found '{page}', expected a name that ends with .html")
    reports = tuple(build_report(open_run(folder, data_root=data_root, device=device)) for folder in folders)
    with refused_in_one_line(page):
        shown = [_for_others(each) for each in reports]
        write_text(page, render_report(shown[0]) if len(shown) == 1 else render_comparison(shown))
    return ReportResult(page, reports)


def prepare_report(runner: Runner) -> None:
    """Keep the scores of the last validation for the report, if the config asks for one and validates on its tests."""
    if runner.cfg.get('report', True) and validates_on_tests(runner):
        runner.register_hook(LastValidationHook())


def report_training(runner: Runner) -> Path | None:
    """Write the report of a training that has just ended, if its config says `report=True`; rank 0 alone does.

    Whatever goes wrong costs a line in the log, and not the training.
    """
    if not runner.cfg.get('report', True) or not is_main_process():
        return None
    from cssa_mm.visualization.pages.report_page import render_report  # imports matplotlib

    page = Path(runner.work_dir, FILE)
    try:
        with in_eval_mode(runner.model):
            write_text(page, render_report(_for_others(build_report(finished_run(runner)))))
    # Hours of training hang on it.
    except Exception as error:
        reason = f'{type(error).__name__}: {" ".join(str(error).split())}'
        print_log(
            f'Report: not written ({reason}); the training is whole, and `cssa report {runner.work_dir}` tries again',
            'current',
            logging.WARNING,
        )
        return None
    print_log(f'Report: {page}', 'current')
    return page


def _for_others(report: Report) -> Report:
    """The report without the folders of this machine, which only its own user needs to know."""
    missing = {part: without_paths(reason) for part, reason in report.missing.items()}
    return replace(report, missing=missing, notes=tuple(map(without_paths, report.notes)))
