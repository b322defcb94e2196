"""The whole road on the embedded demo: zero-shot, labelled-only, CSSA, CSSA plus; a table, a picture, a summary."""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cssa_mm.demo.scenes import generate_demo
from cssa_mm.errors import CSSAError
from cssa_mm.evaluation.text_table import aligned

ROOT = Path(__file__).parents[2]
CONFIG = 'configs/cssa_demo.py'
METRICS = ('mAP', 'CF1', 'OF1')


@dataclass(frozen=True)
class Stage:
    """One row of the table: how it is called, and how its model differs from the config's."""

    key: str
    title: str
    overrides: tuple[str, ...]
    trains: bool = True
    config: str = CONFIG


STAGES = (
    Stage('zero_shot', 'zero-shot CLIP, label-specific', (), trains=False),
    # 400 steps: the best number on validation scenes (docs/results.md).
    Stage(
        'labelled_only',
        'labelled-only (100 images)',
        (
            'train_cfg.warmup_epochs=200',
            'train_cfg.semi_epochs=0',
            'train_cfg.val_begin=40',
            'train_cfg.val_interval=40',
            'default_hooks.checkpoint.interval=50',
            'model.context_head=None',
        ),
    ),
    Stage('cssa', 'CSSA (100 + 1,900 unlabelled)', ()),
    Stage('cssa_plus', 'cssa_plus (the same, and ours)', (), config='configs/cssa_plus_demo.py'),
)


def parser(description: str) -> argparse.ArgumentParser:
    """Arguments of tools/quickstart.py."""
    result = argparse.ArgumentParser(description=description)
    result.add_argument('--work-dir', default='work_dirs/quickstart', help='directory of all results')
    result.add_argument('--data-root', default='data/icons', help='directory of the demo scenes')
    result.add_argument('--cfg-options', nargs='+', default=[], help='overrides for every stage')
    result.add_argument('--started', type=float, help='when the command began, in seconds since the epoch')
    return result


def prepare_data(data_root: str) -> None:
    """Draw the demo scenes where they are missing; every stage would, but this shows it first."""
    if not Path(data_root, 'annotations').is_dir():
        print(f'Drawing the demo scenes into {data_root}')
        generate_demo(data_root)


def quickstart(args: argparse.Namespace) -> dict:
    """Run what has not been run yet with the same settings; prints the table and returns the summary."""
    started = args.started or time.time()
    work_dir = Path(args.work_dir)
    work_dir.mkdir(parents=True, exist_ok=True)
    prepare_data(args.data_root)
    metrics = {stage.key: run_stage(stage, work_dir / stage.key, args.data_root, args.cfg_options) for stage in STAGES}

    from cssa_mm.visualization.quickstart_figure import draw_quickstart

    picture = draw_quickstart(work_dir, str(ROOT / CONFIG), args.data_root, work_dir / 'quickstart.png')
    summary = {**metrics, 'wall_seconds': round(time.time() - started, 1)}
    (work_dir / 'summary.json').write_text(json.dumps(summary, indent=2) + '\n')
    rows = [('', *METRICS)]
    rows += [(s.title, *(f'{metrics[s.key][name]:.1f}' for name in METRICS)) for s in STAGES]
    print(f'\n{aligned(rows)}\n\npicture: {picture}\nsummary: {work_dir / "summary.json"}')
    print(f'{summary["wall_seconds"]:.0f} seconds in all')
    return summary


def run_stage(stage: Stage, folder: Path, data_root: str, cfg_options: Sequence[str] = ()) -> dict[str, float]:
    """Train and test one row, unless `folder` holds its result for the same code and settings.

    Returns:
        mAP, CF1 and OF1 of the EMA model, in per cent.

    Raises:
        CSSAError: a tool failed; the message ends with the last line of its log.
    """
    overrides = [*stage.overrides, *cfg_options]
    common = [stage.config, '--data-root', data_root, '--work-dir', str(folder)]
    options = ['--cfg-options', *overrides] if overrides else []
    result = folder / 'metrics.json'
    stamp = folder / 'settings.txt'
    settings = f'{_fingerprint(Path(data_root))} {" ".join([*common, *options])}\n'
    if result.is_file() and stamp.is_file() and stamp.read_text() == settings:
        print(f'{stage.title}: reusing {result}')
    else:
        folder.mkdir(parents=True, exist_ok=True)
        stamp.unlink(missing_ok=True)
        checkpoint = 'none'
        if stage.trains:
            _call(['tools/train.py', *common, *options], stage.title, folder)
            checkpoint = (folder / 'last_checkpoint').read_text().strip()
        test = ['tools/test.py', common[0], checkpoint, *common[1:], '--out', str(result), '--out-item', 'metrics']
        _call([*test, *options], f'{stage.title}: test', folder)
        stamp.write_text(settings)
    values = json.loads(result.read_text())
    return {name: round(values[f'ema/{name}'], 2) for name in METRICS}


def _call(command: list[str], title: str, folder: Path) -> None:
    """Run a tool; its progress lines go to the screen, everything into a log file."""
    print(f'\n{title}\n$ python {" ".join(command)}', flush=True)
    log = folder / (Path(command[0]).stem + '.log')
    tool, config, *arguments = command
    in_checkout = [str(ROOT / tool), str(ROOT / config), *arguments]
    with log.open('w') as file:
        process = subprocess.Popen(
            [sys.executable, *in_checkout], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for line in process.stdout:
            file.write(line)
            if 'Epoch(' in line:
                print('  ' + line.split('INFO - ')[-1].rstrip(), flush=True)
        failed = process.wait()
    if failed:
        last = [line for line in log.read_text().splitlines() if line.strip()][-1:]
        raise CSSAError(f'{title}: failed; the log {log} ends with: {"".join(last)}')


def _fingerprint(data_root: Path) -> str:
    """A hash of the code, the configs and the kind of data that the results depend on."""
    digest = hashlib.sha256()
    sources = [*(ROOT / 'cssa_mm').rglob('*.py'), *(ROOT / 'configs').rglob('*.py'), *data_root.glob('meta.json')]
    for path in sorted(sources):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
