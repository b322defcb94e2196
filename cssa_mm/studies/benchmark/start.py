"""The row of a start: from the command to the first step of a training, above the imports that nobody can spare."""

from __future__ import annotations

import inspect
import shutil
import subprocess  # nosec B404 # no shell, see below
import sys
import time
from pathlib import Path

from cssa_mm.compat import mend_torchvision
from cssa_mm.datasets.workers import child_environment
from cssa_mm.errors import CSSAError
from cssa_mm.studies.benchmark.measuring import Contest, Seconds
from cssa_mm.studies.benchmark.setting import Setting

# What a training needs of others, with the mending that torchvision's import may ask for.
IMPORTS = f"""
import importlib, sys, torch
_torchvision_library = None
{inspect.getsource(mend_torchvision)}
mend_torchvision()
import open_clip, mmpretrain.apis
"""
# A process that trains, and leaves with the first step.
TRAINING = """
import os, sys
from mmengine.hooks import Hook
import cssa_mm
from cssa_mm.datasets.workers import end_with_parent
from mmpretrain.registry import HOOKS
end_with_parent(by_signal=True)
@HOOKS.register_module()
class LeaveHook(Hook):
    priority = 'VERY_LOW'
    def after_train_iter(self, *_, **__):
        os._exit(0)
data, work, features = sys.argv[1:]
overrides = {'custom_hooks': [dict(type='LeaveHook')], 'report': False, 'accept': 'all'}
overrides['default_hooks.pseudo_labels.feature_cache.folder'] = features
cssa_mm.train(config='cssa_demo', data_root=data, work_dir=work, overrides=overrides)
"""


def start(setting: Setting, is_cached: bool) -> Contest:
    """The time above the imports of a training of the demo; the limit is that of these imports.

    Args:
        setting: the sizes.
        is_cached: whether an earlier run has left the features.
    """
    work, features = (Path(setting.folder, name) for name in ('run', 'features'))

    def imports() -> float:
        return run_python(IMPORTS)

    def ours() -> Seconds:
        if not is_cached:
            shutil.rmtree(features, ignore_errors=True)
        return Seconds(run_python(TRAINING, str(setting.demo_root), str(work), str(features)) - imports())

    return Contest(ours, limit=lambda: Seconds(imports()))


def run_python(program: str, *arguments: str) -> float:
    """Run a program in a process of its own; the seconds that it takes.

    Raises:
        CSSAError: it fails; the message is its last line.
    """
    started = time.perf_counter()
    done = subprocess.run(  # nosec B603 # programs of this file, without a shell
        [sys.executable, '-c', program, *arguments],
        env=child_environment(),
        capture_output=True,
        text=True,
        errors='replace',
        check=False,
    )
    if done.returncode:
        raise CSSAError(((done.stderr + done.stdout).strip().splitlines() or ['no output'])[-1])
    return time.perf_counter() - started
