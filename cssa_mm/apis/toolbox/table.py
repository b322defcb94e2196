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


CLONE = 'it knows nothing of this package; use: bash tools/{} of a clone of cssa_mm'
LAUNCHED = f'{CLONE}, or torchrun --nproc_per_node=GPUS -m cssa_mm {{}} --launcher pytorch'
OPEN_CLIP = 'towers are read by open_clip, with weights of their own; use: cssa towers'
NOT_MEANT_FOR = {
    'analysis_tools/shape_bias': 'it compares answers of one of 16 classes of ImageNet with those of people',
    'analysis_tools/utils': 'it is a part of shape_bias, and no tool',
    'model_converters/merge_lora_weight': 'no model here has LoRA layers; its prompts alone are trained',
    'model_converters/reparameterize_model': f'no head here has branches to merge, and {OPEN_CLIP}',
    'model_converters/*': f'it brings the weights of one repository into a backbone of mmpretrain; {OPEN_CLIP}',
    'dataset_converters/*': 'it prepares one public data set with one label or caption an image; use: cssa import',
    'torchserve/*': 'its handler answers with one label an image; use: cssa export, or cssa_mm.Predictor in a handler',
    'benchmarks/*': 'it trains detectors and segmenters on a backbone of mmpretrain, and the tower here is frozen',
    'dist_train.sh': LAUNCHED.format('dist_train.sh CONFIG GPUS', 'train CONFIG'),
    'dist_test.sh': LAUNCHED.format('dist_test.sh CONFIG CHECKPOINT GPUS', 'test CONFIG CHECKPOINT'),
    'slurm_train.sh': CLONE.format('slurm_train.sh'),
    'slurm_test.sh': 'it knows nothing of this package; use: srun cssa test CONFIG CHECKPOINT --launcher slurm',
}

TABLE = (
    Tool('train', RUNS, 'trains a config; the same as cssa train CONFIG'),
    Tool('test', RUNS, 'tests a checkpoint; the same as cssa test CONFIG CHECKPOINT'),
    Tool('kfold-cross-valid', MENDED, 'folds of the labelled images, the same in every call; a summary', 'folds'),
    Tool('analysis_tools/analyze_logs', MENDED, 'curves over optimiser steps; times of the logged epochs', 'logs'),
    Tool('analysis_tools/eval_metric', MENDED, 'refuses metrics that take unknown cells for labels', 'metrics'),
    Tool('analysis_tools/get_flops', REPLACED, 'counts tower and head; names what is trained', 'flops'),
    Tool('analysis_tools/confusion_matrix', REPLACED, "a 2 x 2 table a class, by the model's labels", 'confusion'),
    Tool('analysis_tools/analyze_results', REPLACED, 'images with all labels right, and with most wrong', 'results'),
    Tool('misc/print_config', RUNS, 'prints a config as it is written'),
    Tool('misc/verify_dataset', REPLACED, 'opens all images as training does, as cssa check does', 'verifying'),
    Tool('visualization/browse_dataset', MENDED, 'draws training images with their labels', 'browsing', False),
    Tool('visualization/vis_scheduler', REPLACED, 'the rates of all steps of both phases', 'schedule'),
    Tool('visualization/vis_tsne', REPLACED, 'label-specific features: a point is an image and a label of it', 'tsne'),
    Tool('visualization/vis_cam', REPLACED, "the model's own attention of each label", 'attention_map', False),
    Tool('model_converters/publish_model', RUNS, 'a checkpoint without optimiser, which load_model opens'),
    *(Tool(name, NOT_MEANT, why) for name, why in NOT_MEANT_FOR.items()),
)


def entry(name: str) -> Tool | None:
    """What becomes of a tool; None of one that the table does not know, such as one of a newer version."""
    return next((tool for tool in TABLE if fnmatch(name, tool.name)), None)
