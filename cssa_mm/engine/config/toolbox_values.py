"""What values fit the keys that mmengine, mmpretrain and torch read: their own constructors take nearly anything.

A section is named by the end of its path, '' being the top level, or by the component that its `type` names.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from mmengine.hooks import CheckpointHook, EarlyStoppingHook, Hook, LoggerHook
from torch.optim import Optimizer

from cssa_mm.values import (
    MOST_EPOCHS,
    AboveZero,
    BatchSize,
    NotNegative,
    Positive,
    Range,
    Seed,
    Share,
    Whole,
    Workers,
)

Hints = dict[str, Any]
Momentum = Annotated[float, Range(0, 1, below=True)]
# One of them for the last checkpoints, or all.
KeptCheckpoints = Literal[-1] | Positive
Level = Literal['DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'] | Annotated[int, Range(0, logging.CRITICAL)]
LOADER: Hints = dict(
    dataset=Mapping | None,
    sampler=Mapping | None,
    batch_sampler=Mapping | None,
    batch_size=BatchSize,
    num_workers=Workers,
    prefetch_factor=Positive | None,
    timeout=Annotated[NotNegative, 'seconds'],
    drop_last=bool,
    pin_memory=bool,
    persistent_workers=bool,
    pin_memory_device=str,
)
PIPELINE = Sequence[Any] | Mapping | None
PLACES: dict[str, Hints] = {
    '': dict(
        model=Mapping,
        view=Mapping,
        train_dataloader=Mapping | None,
        val_dataloader=Mapping | None,
        test_dataloader=Mapping | None,
        train_cfg=Mapping | None,
        val_cfg=Mapping | None,
        test_cfg=Mapping | None,
        optim_wrapper=Mapping | None,
        auto_scale_lr=Mapping | None,
        default_hooks=Mapping[str, Mapping | None] | None,
        custom_hooks=Sequence[Any] | None,
        tta_model=Mapping | None,
        tta_pipeline=PIPELINE,
        randomness=Mapping | None,
        env_cfg=Mapping | None,
        log_processor=Mapping | None,
        visualizer=Mapping | None,
        vis_backends=Sequence[Any] | None,
        custom_imports=Mapping | None,
        model_wrapper_cfg=Mapping | None,
        work_dir=str | None,
        load_from=str | None,
        resume=bool,
        report=bool,
        on_used_work_dir=Literal['refuse', 'overwrite', 'new'],
        strict_classes=bool,
        log_level=Level | None,
        accept=Annotated[str, "'all'"]
        | Annotated[Sequence[str], 'the kinds of questions, which cssa check prints']
        | None,
        live=str | Sequence[str] | None,
        device=str | None,
        default_scope=str | None,
        runner_type=str | None,
        experiment_name=str | None,
        launcher=Literal['none', 'pytorch', 'slurm', 'mpi'] | None,
    ),
    'model': dict(class_names=Any, backbone=Mapping, head=Mapping | None),
    'model.head.centring': dict(weight=Literal['auto'] | Share, vocabulary=str | Sequence[str] | None),
    'train_dataloader': LOADER,
    'val_dataloader': LOADER,
    'test_dataloader': LOADER,
    'train_cfg': dict(max_epochs=Annotated[int, Range(1, MOST_EPOCHS)], by_epoch=bool),
    'val_cfg': dict(fp16=bool),
    'test_cfg': dict(fp16=bool),
    'dataset': dict(pipeline=Sequence[Any] | None),
    'dataset.split': dict(proportion=Share, seed=Seed, stratified=bool, at_most=Mapping[str, Whole] | None),
    'dataset.validation': dict(proportion=Share, seed=Seed),
    'sampler': dict(shuffle=bool, seed=Seed | None),
    'optim_wrapper': dict(
        accumulative_counts=Annotated[int, Range(1, 10**6)],
        optimizer=Annotated[Mapping, "such as dict(type='AdamW', lr=1e-3)"],
        clip_grad=Annotated[Mapping, 'such as dict(max_norm=1.0)'] | None,
        paramwise_cfg=Mapping | None,
        constructor=str | None,
    ),
    'optim_wrapper.clip_grad': dict(max_norm=AboveZero, clip_value=AboveZero, norm_type=Annotated[float, Range(0)]),
    'optim_wrapper.paramwise_cfg': dict(
        custom_keys=Mapping[str, Mapping[str, NotNegative]] | None,
        bias_lr_mult=NotNegative | None,
        bias_decay_mult=NotNegative | None,
        norm_decay_mult=NotNegative | None,
        flat_decay_mult=NotNegative | None,
        dwconv_decay_mult=NotNegative | None,
        dcn_offset_lr_mult=NotNegative | None,
        bypass_duplicate=bool,
    ),
    'auto_scale_lr': dict(
        enable=bool, base_batch_size=Annotated[Positive, 'images of a step that the rate is meant for']
    ),
    'randomness': dict(seed=Seed | None, deterministic=bool, diff_rank_seed=bool | None),
    'env_cfg': dict(
        cudnn_benchmark=bool,
        mp_cfg=Mapping | None,
        dist_cfg=Mapping | None,
        resource_limit=Annotated[int, Range(64, 2**31)],
    ),
    'env_cfg.mp_cfg': dict(
        mp_start_method=Literal['fork', 'spawn', 'forkserver'],
        opencv_num_threads=Annotated[int, Range(0, 1024)],
    ),
    'env_cfg.dist_cfg': dict(backend=str, timeout=Positive),
    'log_processor': dict(
        window_size=Annotated[int, Range(1, 10**6)],
        by_epoch=bool,
        custom_cfg=Sequence[Mapping] | None,
        num_digits=Annotated[int, Range(0, 20)],
        log_with_hierarchy=bool,
        mean_pattern=str,
    ),
    'custom_imports': dict(imports=str | Sequence[str] | None, allow_failed_imports=bool),
    'visualizer': dict(vis_backends=Any, name=str),
}

PLACES |= {f'datasets.{part}': PLACES[f'dataset.{part}'] for part in ('split', 'validation')}  # of joined sets


def hints_at(place: str) -> Hints:
    """The hints of the keys of a section, by its path without places in lists."""
    found = {end: hints for end, hints in PLACES.items() if place == end or (end and f'.{place}'.endswith(f'.{end}'))}
    return {key: hint for hints in found.values() for key, hint in hints.items()}


COMPONENTS: dict[type, Hints] = {
    Optimizer: dict(
        lr=NotNegative,
        weight_decay=NotNegative,
        momentum=NotNegative,
        betas=tuple[Momentum, Momentum] | tuple[Momentum, Momentum, Momentum],
        eps=NotNegative | tuple[NotNegative | None, NotNegative],
        amsgrad=bool,
        nesterov=bool,
    ),
    LoggerHook: dict(interval=Positive, ignore_last=bool, log_metric_by_epoch=bool),
    CheckpointHook: dict(
        interval=Literal[-1] | Positive,
        by_epoch=bool,
        save_optimizer=bool,
        save_param_scheduler=bool,
        out_dir=str | None,
        max_keep_ckpts=KeptCheckpoints,
        save_last=bool,
        save_begin=Whole,
        filename_tmpl=str | None,
    ),
    EarlyStoppingHook: dict(
        min_delta=NotNegative, strict=bool, check_finite=bool, patience=Annotated[int, Range(1, 10**6)]
    ),
    Hook: dict(priority=str | Annotated[int, Range(0, 100)]),
}
