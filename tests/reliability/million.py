"""A semi-supervised epoch of a million images on several processes: bash tools/acceptance.sh million.

Images, labels and tower are made up: each image is random pixels that a generator draws by its number when it is read,
and the tower is a small ViT with random weights. All else is the training of a user: the runner, an epoch of warm-up on
the labelled images, one semi-supervised epoch, a checkpoint. Each process prints its largest resident memory, after the
data set was read and at the end, what it spent on which part, and what it sent to others; the first one fails if a
process took more than --gib.

--start makes ten steps alone, and scores features that are drawn in place of images and tower: in a minute or two,
the memory of any number of processes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.fileio import register_backend
from mmengine.fileio.backends import BaseStorageBackend
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS, RUNNERS

import cssa_mm
from cssa_mm.datasets.base import SemiMultiLabelDataset
from cssa_mm.datasets.image_table import Annotations
from cssa_mm.features.encode import Features
from cssa_mm.features.frozen_features import FrozenFeatures
from cssa_mm.semi.bank import PseudoLabelBank
from cssa_mm.semi.epoch_report import EpochReport
from cssa_mm.semi.sampler import SemiSupervisedSampler
from cssa_mm.semi.semi_supervision import SemiSupervision

ROOT = Path(__file__).parents[2]
SIZE = 16  # pixels of a side
# A BMP file of 24 bits a pixel: the file, its header and the pixels, without compression.
BMP = b'BM' + struct.pack('<IHHI', 54 + 3 * SIZE**2, 0, 0, 54)
BMP += struct.pack('<IiiHHIIiiII', 40, SIZE, SIZE, 1, 24, 0, 3 * SIZE**2, 2835, 2835, 0, 0)
RATE = 0.1  # of positives
seconds: Counter[str] = Counter()
sent: Counter[str] = Counter()
memory: dict[str, float] = {}


class Rows(BaseStorageBackend):
    """A storage whose files `rows://NUMBER` are drawn by their number."""

    def get(self, filepath: str) -> bytes:
        """An image of random pixels."""
        number = int(str(filepath).rsplit('/', 1)[1])
        return BMP + np.random.Generator(np.random.SFC64(number)).bytes(3 * SIZE**2)

    def get_text(self, filepath: str) -> str:
        """There is no text."""
        raise FileNotFoundError(filepath)


register_backend('rows', Rows, prefixes='rows')


@DATASETS.register_module()
class MadeUpDataset(SemiMultiLabelDataset):
    """So many images, `count`, whose labels are drawn at random."""

    def __init__(self, count: int, **options: object) -> None:
        self.count = count
        super().__init__(**options)

    def read_annotations(self) -> Annotations:
        """Ids, paths, and labels drawn in parts."""
        generator, classes = np.random.default_rng(0), len(self.class_names)
        starts = range(0, self.count, 2**16)
        parts = [generator.random((min(2**16, self.count - start), classes), np.float32) < RATE for start in starts]
        ids = [f'{number:09}' for number in range(self.count)]
        return Annotations(ids, [f'rows://made-up/{number}' for number in ids], np.concatenate(parts).astype(np.int8))


def write_tower(folder: Path) -> dict:
    """A ViT of one layer with random weights, and the config of its backbone."""
    import open_clip

    vision = dict(image_size=SIZE, patch_size=8, width=32, layers=1, head_width=16)
    text = dict(context_length=77, vocab_size=49408, width=32, heads=2, layers=1)
    (folder / 'small-vit.json').write_text(json.dumps(dict(embed_dim=16, vision_cfg=vision, text_cfg=text)))
    open_clip.add_model_config(folder)
    torch.manual_seed(0)
    torch.save(open_clip.create_model('small-vit').state_dict(), folder / 'small-vit.pt')
    weights = str(folder / 'small-vit.pt')
    return dict(
        type='OpenCLIPBackbone', model_name='small-vit', pretrained=weights, config_dir=str(folder), _delete_=True
    )


def config_of(options: argparse.Namespace, folder: Path) -> Config:
    """The shipped config for COCO on these data and this tower, with one epoch of each kind."""
    config = Config.fromfile(ROOT / 'configs' / 'cssa_coco_p05.py')
    view = dict(type='View', size=SIZE)
    names = [f'class {chr(97 + c // 26)}{chr(97 + c % 26)}' for c in range(options.classes)]
    dataset = dict(
        type='MadeUpDataset', count=options.images, data_root='rows://made-up', class_names=names, _delete_=True,
        split=dict(proportion=max(1000 / options.images, 0.001), seed=1),
        pipeline=[view, dict(type='PackInputs', meta_keys=('image_id', 'is_labelled', 'flip'))],
    )  # fmt: skip
    config.merge_from_dict(
        {
            'view': view | dict(_delete_=True),
            'train_dataloader.dataset': dataset,
            'train_dataloader.batch_size': options.batch,
            'train_dataloader.sampler.labelled_per_batch': options.batch // 16,
            'train_dataloader.num_workers': 0,
            'train_dataloader.persistent_workers': False,
            'model.backbone': write_tower(folder),
            'model.class_names': names,
            'model.head.prompts.num_context': 2,
            'model.head.prompts.initial_words': 'a',
            'train_cfg.warmup_epochs': 1,
            'train_cfg.semi_epochs': 1,
            'default_hooks.pseudo_labels.num_workers': 0,
            'default_hooks.pseudo_labels.batch_size': options.batch,
            'default_hooks.pseudo_labels.feature_cache.gib': 0,  # the tower runs for scores and for steps
            'default_hooks.calibration.folds': 0,
            'default_hooks.logger.interval': 100,
            'accept': ['all'],
            'work_dir': str(folder / 'run'),
            'experiment_name': 'million',
            'launcher': 'pytorch' if options.processes > 1 else 'none',
        }
    )
    for key in ('val_cfg', 'val_dataloader', 'val_evaluator', 'test_cfg', 'test_dataloader', 'test_evaluator'):
        config[key] = None
    return config


def gib() -> float:
    """The largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def timed(owner: type, name: str, part: str) -> None:
    """Add up what a method takes under the name of a part, and note the memory after it."""
    original: Callable = getattr(owner, name)

    def call(*given: object, **named: object) -> object:
        start = time.perf_counter()
        sent['now'], before = 0, sent['now']
        result = original(*given, **named)
        seconds[part] += time.perf_counter() - start
        sent[part] += sent['now']
        sent['now'] += before
        memory.setdefault(part, gib())
        return result

    setattr(owner, name, call)


def counted(name: str) -> None:
    """Add up the bytes that a rank puts into a collective operation; those of the gradients are not seen."""
    original: Callable = getattr(torch.distributed, name)

    def call(*given: object, **named: object) -> object:
        tensors = [each for each in given if isinstance(each, torch.Tensor)]
        sent['now'] += sum(each.nbytes for each in tensors)
        return original(*given, **named)

    setattr(torch.distributed, name, call)


def draw_features(dimensions: int = 16, positions: int = 5) -> None:
    """Put random features in the place of those of the tower."""

    def batches(self: FrozenFeatures, indices: np.ndarray, description: str) -> Iterator[Features]:
        generator = torch.Generator().manual_seed(len(indices))
        for start in range(0, len(indices), 512):
            size = min(512, len(indices) - start)
            local = torch.randn(size, positions, dimensions, generator=generator)
            yield local, local[:, 0]

    FrozenFeatures.batches = batches


def only_start() -> None:
    """End each epoch after ten steps."""
    original = SemiSupervisedSampler.global_batches
    SemiSupervisedSampler.global_batches = lambda self, start=0: itertools.islice(original(self, start), 10)


def train(config: Config, is_start: bool) -> None:
    """One process of the training."""
    if is_start:
        draw_features()
        only_start()
    torch.set_num_threads(1)
    for name in ('all_reduce', 'all_gather', 'broadcast'):
        counted(name)
    timed(MadeUpDataset, 'full_init', 'data set')
    timed(SemiSupervision, 'prepare', 'before training')
    timed(SemiSupervision, 'score_share', 'scores')
    timed(SemiSupervision, '_label', 'policy')
    timed(SemiSupervision, 'begin_epoch', 'begin of the epoch, scores and policy included')
    timed(EpochReport, 'figures', 'figures')
    timed(PseudoLabelBank, 'lookup', 'looking up')
    start = time.perf_counter()
    runner: Runner = RUNNERS.get(config.runner_type).from_cfg(config)
    runner.train()
    seconds['everything'], sent['everything'] = time.perf_counter() - start, sent['now']
    sampler = runner.train_dataloader.batch_sampler.sampler
    steps = sampler.num_batches(1)
    lines = [f'process {os.environ.get("RANK", 0)}: {gib():.2f} GiB at most; {steps} steps of the epoch']
    for part, spent in seconds.items():
        held = f'{memory[part]:.2f} GiB by then' if part in memory else ''
        lines.append(f'  {part:48} {spent:8.1f} s  {sent[part]:14,} bytes  {held}')
    print('\n'.join(lines), flush=True)
    (Path(config.work_dir) / f'peak{os.environ.get("RANK", 0)}').write_text(str(gib()))
    os._exit(0)  # an object that outlives gloo's threads aborts the process


def main() -> int:
    """Start the processes, wait for them, and say whether all stayed below the limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--images', type=int, default=1_000_000)
    parser.add_argument('--classes', type=int, default=20)
    parser.add_argument('--processes', type=int, default=2)
    parser.add_argument('--batch', type=int, default=512)
    parser.add_argument('--gib', type=float, default=4.0)
    parser.add_argument('--start', action='store_true')
    parser.add_argument('--config', help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.config:
        train(Config.fromfile(options.config), options.start)
    print(f'cssa_mm {cssa_mm.__version__}: {options.images:,} images, {options.classes} classes')
    with tempfile.TemporaryDirectory() as name, socket.socket() as listener:
        folder = Path(name)
        config_of(options, folder).dump(folder / 'config.py')
        listener.bind(('127.0.0.1', 0))
        port = str(listener.getsockname()[1])
        group = dict(MASTER_ADDR='127.0.0.1', MASTER_PORT=port, WORLD_SIZE=str(options.processes))
        listener.close()
        command = [sys.executable, __file__, '--config', str(folder / 'config.py')] + ['--start'] * options.start
        started = [
            subprocess.Popen(command, env=os.environ | group | dict(RANK=str(rank), LOCAL_RANK=str(rank)))
            for rank in range(options.processes)
        ]
        codes = [process.wait() for process in started]
        if any(codes):
            print(f'FAILED: exit codes {codes}')
            return 1
        peaks = [float((folder / 'run' / f'peak{rank}').read_text()) for rank in range(options.processes)]
    print(f'{"passed" if max(peaks) < options.gib else "FAILED"}: {max(peaks):.2f} GiB, the limit is {options.gib} GiB')
    return int(max(peaks) >= options.gib)


if __name__ == '__main__':
    sys.exit(main())
