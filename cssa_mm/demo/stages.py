"""The stages of the quickstart: our own commands train and test one config each, once."""

from __future__ import annotations

import hashlib
import json
import subprocess  # nosec B404 # no shell, see below
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cssa_mm.datasets.workers import child_environment
from cssa_mm.demo.progress import LiveLine
from cssa_mm.engine.latest import latest_checkpoint
from cssa_mm.errors import CSSAError
from cssa_mm.files import code_digest, configs_root, write_text

METRICS = ('mAP', 'CF1', 'OF1')
COMMAND = (sys.executable, '-m', 'cssa_mm')


@dataclass(frozen=True)
class Stage:
    """One row of the table: its folder, what it is called, its config, and whether it learns at all."""

    key: str
    title: str
    config: str
    trains: bool = True


STAGES = (
    Stage('zero_shot', 'zero-shot CLIP, label-specific', 'cssa_demo', trains=False),
    Stage('labelled_only', 'labelled-only (100 images)', 'labelled_only_demo'),
    Stage('cssa', 'CSSA (100 + 1,900 unlabelled)', 'cssa_demo'),
    Stage('cssa_plus', 'cssa_plus (the same, and ours)', 'cssa_plus_demo'),
)


def run_stage(stage: Stage, folder: Path, data_root: str, overrides: Sequence[str] = ()) -> dict[str, float]:
    """Train and test one stage, unless `folder` holds its result for the same code, settings and data.

    Logs go to `train.log` and `test.log` in the folder; the screen shows one line.

    Returns:
        mAP, CF1 and OF1 of the EMA model, in per cent.

    Raises:
        CSSAError: a command failed; the message ends with the last line of its log.
    """
    common = ['--data-root', data_root, '--work-dir', str(folder)]
    options = ['--cfg-options', *overrides] if overrides else []
    result, stamp = folder / 'metrics.json', folder / 'settings.txt'
    settings = f'{_fingerprint(Path(data_root))} {" ".join([stage.config, *common, *options])}\n'
    if result.is_file() and stamp.is_file() and stamp.read_text('utf-8') == settings:
        print(f'{stage.title}: reusing {result}', flush=True)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        stamp.unlink(missing_ok=True)
        line = LiveLine(stage.title)
        try:
            checkpoint = 'none'
            if stage.trains:
                anew = ['--cfg-options', 'on_used_work_dir=overwrite', *overrides]
                _run(['train', stage.config, *common, *anew], line, folder / 'train.log')
                checkpoint = str(latest_checkpoint(folder))
            line.say('testing')
            out = ['--out', str(result), '--out-item', 'metrics']
            _run(['test', stage.config, checkpoint, *common, *out, *options], line, folder / 'test.log')
        except BaseException:
            line.finish(has_failed=True)
            raise
        line.finish()
        write_text(stamp, settings)
    values = json.loads(result.read_text('utf-8'))
    return {name: round(values[f'ema/{name}'], 2) for name in METRICS}


def _run(words: list[str], line: LiveLine, log: Path) -> None:
    """Run one of our commands; the live line reads along, and everything goes into a log file."""
    command = [*COMMAND, *words]
    with log.open('w', encoding='utf-8') as file:
        process = subprocess.Popen(  # nosec B603 # a command of our own, without a shell
            command,
            env=child_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding='utf-8',
            errors='replace',
        )
        try:
            for text in process.stdout or ():
                file.write(text)
                file.flush()
                line.read(text)
            failed = process.wait()
        finally:
            process.kill()
    if failed:
        last = [text for text in log.read_text('utf-8').splitlines() if text.strip()][-1:]
        raise CSSAError(f'{line.title}: {words[0]} failed; the log {log} ends with: {"".join(last)}')


def _fingerprint(data_root: Path) -> str:
    """A hash of the code, the configs and the data (names, sizes and times of change) that a result depends on."""
    digest = hashlib.sha256(code_digest().encode())
    for path in sorted(((configs_root() or Path()) / 'configs').rglob('*.py')):
        digest.update(path.read_bytes())
    for path in sorted(data_root.rglob('*')):
        if path.is_file():
            digest.update(f'{path.relative_to(data_root)} {path.stat().st_size} {path.stat().st_mtime_ns}\n'.encode())
    return digest.hexdigest()[:16]
