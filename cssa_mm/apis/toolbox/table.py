"""The table of mmpretrain's tools: what becomes of each file below its folder of tools."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch

RUNS, MENDED, REPLACED, NOT_MEANT = 'runs', 'runs, mended', 'replaced', 'not meant'


@dataclass(frozen=True)
class Tool:
    """What becomes of a tool.

    Attributes:
        name: its path below the folder of tools; `*` stands for anything.
        verdict: 'runs' as it is; 'runs, mended'; 'replaced' by our own answer to the same arguments; or 'not meant'.
        note: what it does here; of one that is not meant, why, and what to use instead.
        module: of this folder, with the function `run` that runs it; '' where the script itself is run or nothing is.
        needs_script: whether `run` takes the script, loaded as a module.
    """

    name: str
    verdict: str
    note: str
    module: str = ''
    needs_script: bool = True


CLIP_READERS = 'towers are read by open_clip with their own weights; use: cssa towers'
LABELS = 'it prepares the labels of one public data set for one label an image; use: cssa import'
SERVING = (
    'its handler answers with one label an image; use: cssa export, or a cssa_mm.Predictor in a handler of your own'
)
OTHER_REPOSITORY = 'it trains detectors and segmenters on a backbone of mmpretrain, and the tower here is frozen'
CLUSTER = 'of mmpretrain, which does not know this package; use: bash tools/{} of a clone of cssa_mm'
LAUNCH = ', or torchrun --nproc_per_node=GPUS -m cssa_mm {} CONFIG --launcher pytorch'

TABLE = (
    Tool('train', RUNS, 'trains a config; the same as cssa train CONFIG'),
    Tool('test', RUNS, 'tests a checkpoint; the same as cssa test CONFIG CHECKPOINT'),
    Tool('kfold-cross-valid', MENDED, 'folds of the labelled images, the same in every call, and a summary', 'folds'),
    Tool('analysis_tools/analyze_logs', MENDED, 'curves over optimiser steps; times of the logged epochs', 'logs'),
    Tool('analysis_tools/eval_metric', MENDED, 'refuses metrics that take unknown cells for labels', 'metrics'),
    Tool('analysis_tools/get_flops', REPLACED, 'counts the frozen tower and the head; names trained params', 'flops'),
    Tool('analysis_tools/confusion_matrix', REPLACED, "one 2 x 2 table a class, by the model's thresholds", 'confusion'),
    Tool('analysis_tools/analyze_results', REPLACED, 'the images with all labels right, and with most wrong', 'results'),
    Tool('analysis_tools/shape_bias', NOT_MEANT, 'it compares predictions of one of 16 classes of ImageNet with people'),
    Tool('analysis_tools/utils', NOT_MEANT, 'it is a part of shape_bias, and no tool'),
    Tool('misc/print_config', RUNS, 'prints a config as it is written'),
    Tool('misc/verify_dataset', REPLACED, 'opens all images as training does; the same as a part of cssa check', 'verifying'),
    Tool('visualization/browse_dataset', MENDED, 'draws training images with their labels', 'browsing'),
    Tool('visualization/vis_scheduler', REPLACED, 'the rates of all steps of both phases', 'schedule'),
    Tool('visualization/vis_tsne', REPLACED, 'label-specific features, a point an image and a label of it', 'tsne'),
    Tool('visualization/vis_cam', REPLACED, "the model's own attention of each label", 'attention_map', False),
    Tool('model_converters/publish_model', RUNS, 'a checkpoint without optimiser, which load_model opens'),
    Tool('model_converters/merge_lora_weight', NOT_MEANT, 'no model here has LoRA layers; its prompts alone are trained'),
    Tool('model_converters/reparameterize_model', NOT_MEANT, f'no head here has branches to merge, and {CLIP_READERS}'),
    Tool('model_converters/*', NOT_MEANT, f'it brings weights of one repository into a backbone of mmpretrain; {CLIP_READERS}'),
    Tool('dataset_converters/*', NOT_MEANT, LABELS),
    Tool('torchserve/*', NOT_MEANT, SERVING),
    Tool('benchmarks/*', NOT_MEANT, OTHER_REPOSITORY),
    Tool('dist_train.sh', NOT_MEANT, 'it starts train.py ' + CLUSTER.format('dist_train.sh CONFIG GPUS') + LAUNCH.format('train')),
    Tool('dist_test.sh', NOT_MEANT, 'it starts test.py ' + CLUSTER.format('dist_test.sh CONFIG CHECKPOINT GPUS') + LAUNCH.format('test')),
    Tool('slurm_train.sh', NOT_MEANT, 'it starts train.py ' + CLUSTER.format('slurm_train.sh')),
    Tool('slurm_test.sh', NOT_MEANT, 'it starts test.py ' + CLUSTER.format('slurm_test.sh')),
)  # fmt: skip


def entry(name: str) -> Tool | None:
    """What becomes of a tool; None of one that the table does not know, such as one of a newer version."""
    return next((tool for tool in TABLE if fnmatch(name, tool.name)), None)
