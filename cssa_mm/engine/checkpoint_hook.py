"""Writes checkpoints that survive a kill and a full disk, and keeps as many as the config says."""

from __future__ import annotations

import inspect
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

from cssa_mm.engine.latest import name_latest
from cssa_mm.engine.progress import KEY, TrainingProgress
from cssa_mm.errors import CheckpointError, ConfigError, nearest
from cssa_mm.files import partial_files
from cssa_mm.values import Positive, check_values


@HOOKS.register_module()
class CSSACheckpointHook(CheckpointHook):
    """mmengine's hook with checkpoints that survive; it takes the same options, and the place of that hook.

    A new checkpoint is written aside, brought to the disk and renamed; then `last_checkpoint` names it; then older ones
    are removed. So each moment has a whole checkpoint, and no name without a file. After a resume, the checkpoints of
    the work directory count for `max_keep_ckpts`. Those that are not of this run (of an earlier one with the same
    config, or from after the point that this one was resumed at) are removed when its first own one is written.

    Args:
        interval: epochs, or steps, from checkpoint to checkpoint; -1 writes the last one alone.
        by_epoch: whether epochs are counted; else steps.
        max_keep_ckpts: how many are kept; -1 keeps all.
        save_best: a metric such as 'ema/mAP', or a list of them, whose best checkpoint is kept, too.
        on_failed_save: where a checkpoint cannot be written, as on a full disk, 'stop' ends the training with one line;
            'go_on' tells it and tries at the next one, and fails only at the last. The previous one stays whole.
        options: the others of mmengine's CheckpointHook.

    Raises:
        ConfigError: an option is unknown or invalid.
    """

    def __init__(
        self,
        interval: Literal[-1] | Positive = -1,
        by_epoch: bool = True,
        max_keep_ckpts: Literal[-1] | Positive = -1,
        save_best: str | list[str] | None = None,
        on_failed_save: Literal['stop', 'go_on'] = 'stop',
        **options: Any,
    ) -> None:
        known = {'on_failed_save', *inspect.signature(CheckpointHook).parameters} - {'kwargs'}
        for key in options:
            if key not in known:
                raise ConfigError(
                    f"default_hooks.checkpoint: found the unknown key '{key}', expected one of "
                    f'{", ".join(sorted(known))}.{nearest(key, known)}'
                )
        own = dict(interval=interval, max_keep_ckpts=max_keep_ckpts, on_failed_save=on_failed_save)
        check_values(CSSACheckpointHook.__init__, own, 'default_hooks.checkpoint')
        super().__init__(interval, by_epoch, max_keep_ckpts=max_keep_ckpts, save_best=save_best, **options)
        self.on_failed_save = on_failed_save
        self._steps: list[int] = []  # of the checkpoints of this run that are there, oldest first
        self._progress: TrainingProgress | None = None
        self._failed = ''  # what is wrong with the last checkpoint
        self._files: Any = None  # the storage, from before_train on

    def before_train(self, runner: Runner) -> None:
        """Find what a resumed run has kept, and remove what a killed one has left half written."""
        super().before_train(runner)
        self._files = self.file_backend
        self._adopt_best()
        resumed = getattr(runner, 'resumed_from', None)
        if resumed is not None:
            self.last_ckpt = resumed
        if not self._is_local or not is_main_process():
            return
        self._remove(partial_files(self.out_dir, '.pth'), 'half written')
        if resumed is not None and Path(resumed).resolve().parent == Path(self.out_dir).resolve():
            done = runner.epoch if self.by_epoch else runner.iter
            self._steps = [step for step in sorted(self._on_disk()) if step <= done]
            self._remove_old()

    def after_train(self, runner: Runner) -> None:
        """Say that the model of the end is not on the disk."""
        super().after_train(runner)
        if self._failed:
            raise CheckpointError(f'{self._failed}make room and go on with --resume')

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add what goes on from the tensors; a best checkpoint, which nothing goes on from, has none."""
        if self._progress is not None:
            checkpoint[KEY] = self._progress.state()

    def save_last_step_again(self, runner: Runner) -> None:
        """Write the checkpoint of the last step again, where steps are counted; all ranks must call it.

        It is written before the epoch ends, and so before thresholds are found.
        """
        last = None if self.by_epoch else self.last_ckpt
        if last is not None and Path(last).name == self.filename_tmpl.format(runner.iter):
            self._save_checkpoint_with_step(runner, runner.iter, dict(epoch=runner.epoch + 1, iter=runner.iter))

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        """Write the checkpoint of an epoch or step; mmengine's own removes the oldest one first."""
        name = self.filename_tmpl.format(step)
        path = self.file_backend.join_path(self.out_dir, name)
        previous = self.last_ckpt
        self._progress = TrainingProgress.of(runner, meta['epoch'], meta['iter'])
        options = dict(save_optimizer=self.save_optimizer, save_param_scheduler=self.save_param_scheduler, meta=meta)
        options |= dict(by_epoch=self.by_epoch, backend_args=self.backend_args)
        try:
            runner.message_hub.update_info('last_ckpt', path)
            runner.save_checkpoint(self.out_dir, name, self.file_client_args, **options, **self.args)
            if is_main_process():
                name_latest(runner.work_dir, path)
        except OSError as error:
            runner.message_hub.update_info('last_ckpt', previous)
            self._failed = self._fail(path, previous, error)
            return
        finally:
            self._progress = None
        self.last_ckpt, self._failed = path, ''
        self._steps = [*(known for known in self._steps if known != step), step]
        if is_main_process():
            self._remove_others(runner)
            self._remove_old()

    def _save_best_checkpoint(self, runner: Runner, metrics: Mapping[str, float]) -> None:
        """Save the best checkpoint, and only then remove the one before it."""
        before, known = self._best(), _best_of(runner)
        paths = getattr(self, 'best_ckpt_path', None), dict(getattr(self, 'best_ckpt_path_dict', {}))
        try:
            with self._nothing_removed():
                super()._save_best_checkpoint(runner, metrics)
        except OSError as error:
            failed = ' or '.join(sorted(self._best() - before))
            self.best_ckpt_path, self.best_ckpt_path_dict = paths
            for key in _best_of(runner):
                runner.message_hub.pop_info(key)
            runner.message_hub.update_info_dict(known)
            self._fail(failed, self.last_ckpt, error)
            return
        if is_main_process():
            self._remove(sorted(before - self._best()), 'no longer the best')

    def _fail(self, path: str, previous: str | None, error: OSError) -> str:
        kept = f"'{previous}' is whole" if previous else 'there is no earlier one'
        text = f"checkpoint: cannot write '{path}' ({error.strerror or error}), expected room for it; {kept}; "
        if self.on_failed_save == 'stop':
            raise CheckpointError(
                f'{text}make room and go on with --resume, or train on without it: '
                'default_hooks.checkpoint.on_failed_save=go_on'
            ) from error
        print_log(f'{text}training goes on, and tries again at the next one', 'current', logging.WARNING)
        return text

    @property
    def _is_local(self) -> bool:
        return isinstance(self._files, LocalBackend)

    def _on_disk(self, prefix: str = '') -> dict[int, Path]:
        """The checkpoints in the folder whose names this hook gives, by their numbers."""
        parts = re.split(r'\{[^}]*\}', self.filename_tmpl)
        pattern = re.compile(prefix + r'(\d+)'.join(map(re.escape, parts)))
        found = ((pattern.fullmatch(path.name), path) for path in Path(self.out_dir).iterdir())
        return {int(match[1]): path for match, path in found if match}

    def _remove_old(self) -> None:
        if self.max_keep_ckpts > 0:
            old = self._steps[: -self.max_keep_ckpts]
            self._steps = self._steps[-self.max_keep_ckpts :]
            self._remove(self._files.join_path(self.out_dir, self.filename_tmpl.format(step)) for step in old)

    def _remove_others(self, runner: Runner) -> None:
        """Remove what is not of this run, after its own checkpoint is there; what it started from stays."""
        if self._is_local:
            others = [path for step, path in self._on_disk().items() if step not in self._steps]
            best = {Path(path).name for path in self._best()}
            others += [path for path in self._on_disk('best_.*_').values() if path.name not in best]
            others += self._of_a_signal(runner)
            start = runner.cfg.get('load_from')
            others = [path for path in others if start is None or path.resolve() != Path(start).resolve()]
            self._remove(sorted(others), 'not of this run')

    def _of_a_signal(self, runner: Runner) -> list[Path]:
        """The checkpoint within an epoch that a signal has left and this run went on from, where epochs are counted."""
        resumed = getattr(runner, 'resumed_from', None)
        if resumed is None or not self.by_epoch or not re.fullmatch(r'iter_\d+\.pth', Path(resumed).name):
            return []
        return [Path(resumed)] if Path(resumed).resolve().parent == Path(self.out_dir).resolve() else []

    def _remove(self, paths: Iterable[str | os.PathLike], why: str = '') -> None:
        for path in paths:
            if self._files.isfile(path):
                self._files.remove(os.fspath(path))
                if why:
                    print_log(f"Removed '{path}', which is {why}", 'current')

    def _best(self) -> set[str]:
        one, several = getattr(self, 'best_ckpt_path', None), getattr(self, 'best_ckpt_path_dict', {})
        return {str(path) for path in (one, *several.values()) if path}

    def _adopt_best(self) -> None:
        """Look for the best checkpoint of a resumed run in this run's folder, wherever it was before."""
        best = getattr(self, 'best_ckpt_path', None)
        if best:
            self.best_ckpt_path = self._here(best)
        for key, path in getattr(self, 'best_ckpt_path_dict', {}).items():
            self.best_ckpt_path_dict[key] = path and self._here(path)

    def _here(self, path: str | os.PathLike) -> str:
        return self._files.join_path(self.out_dir, Path(path).name)

    @contextmanager
    def _nothing_removed(self) -> Iterator[None]:
        """Let mmengine find no file that it would remove."""
        self.file_backend = _WithoutFiles(self._files)
        try:
            yield
        finally:
            self.file_backend = self._files


def _best_of(runner: Runner) -> dict[str, Any]:
    """The scores and paths of best checkpoints that a runner knows."""
    return {key: value for key, value in runner.message_hub.runtime_info.items() if key.startswith('best_')}


class _WithoutFiles:
    """A storage backend on which no file is seen."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def isfile(self, path: str) -> bool:
        return False

    def isdir(self, path: str) -> bool:
        return False
