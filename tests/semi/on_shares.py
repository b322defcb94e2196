"""The semi-supervised epoch of several processes on stubs: what each found goes to a file, `RANKS-RANK.pt`.

test_shares.py runs it, and runs `story` itself for the oracle of one process.
"""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from mmengine.dist import broadcast_object_list, get_dist_info
from torch.utils._python_dispatch import TorchDispatchMode

from cssa_mm.datasets.bad_images import BadImages
from cssa_mm.errors import CSSAError, DataError
from cssa_mm.semi import shares
from cssa_mm.semi.bank import PseudoLabelBank
from cssa_mm.semi.policies import build_policy, label_rows
from cssa_mm.semi.semi_supervision import SemiSupervision, Settings

shares.CHUNK = 20  # so that a share is gathered in several parts
LABELLED, CLASSES = 12, 5
# Name -> unlabelled images, and the steps between 0 and 1 that scores lie on: few make many ties.
SETS = {'ties': (203, 7), 'fine': (64, 2**24), 'three': (3, 7), 'one': (1, 7), 'none': (0, 7)}
POLICIES = {
    'cat': {}, 'cat_positives': dict(name='cat', eta_positive=1.7, eta_negative=0.0), 'fixed': dict(positive=0.6),
    'top_k': dict(k=2), 'instance_adaptive': {}, 'mat': {}, 'calibrated': {}, 'interval': {},
}  # fmt: skip


class Data:
    """Unlabelled and labelled images in turn, their truth, and the scores that stand for their features."""

    def __init__(self, name: str) -> None:
        count, steps = SETS[name]
        generator = np.random.default_rng(len(name))
        self.scores = (generator.integers(0, steps + 1, (count + LABELLED, CLASSES)) / steps).astype(np.float32)
        self.hidden_labels = (generator.random(self.scores.shape) < self.scores).astype(np.int8)
        self.hidden_labels[generator.random(self.scores.shape) < 0.1] = -1
        is_labelled = np.zeros(len(self.scores), bool)
        is_labelled[generator.permutation(len(self.scores))[:LABELLED]] = True
        self.labels = np.where(is_labelled[:, None], self.hidden_labels, np.int8(-1))
        self.labels[is_labelled, 3] = 0  # a class without positives
        self.labelled_indices, self.unlabelled_indices = np.flatnonzero(is_labelled), np.flatnonzero(~is_labelled)
        self.image_ids = [f'image {index}' for index in range(len(self.scores))]
        self.bad_images = BadImages()

    def positive_rates(self) -> np.ndarray:
        known = (self.labels != -1).sum(0)
        return (self.labels == 1).sum(0) / np.maximum(known, 1)


def algorithm(data: Data, policy: dict, **settings) -> SemiSupervision:
    def batches(indices, description):
        for start in range(0, len(indices), 16):
            found = torch.from_numpy(data.scores[indices[start : start + 16]])
            yield found, found

    model = SimpleNamespace(
        evidence=None, neighbours=None, unfold=lambda: None, class_names=list('abcde'), score=lambda local, _: local,
        is_taught=torch.zeros(CLASSES, dtype=torch.bool),
    )  # fmt: skip
    chosen = Settings(policy=build_policy(**policy), **settings)
    return SemiSupervision(model, data, SimpleNamespace(batches=batches), chosen, seed=3)


def samples_of(data: Data, step: int) -> list:
    """This rank's part of a batch that has an image of each kind for each of 12 places, some of them twice."""
    rank, world_size = get_dist_info()
    generator = np.random.default_rng(step)
    batch = generator.integers(0, len(data.scores), 12)
    batch[:4] = data.labelled_indices[:4]  # of four ranks, the first asks for nothing
    return [
        SimpleNamespace(
            image_id=data.image_ids[index],
            is_labelled=index in data.labelled_indices,
            gt_score=torch.from_numpy(data.labels[index]).float(),
            get=lambda key: None,
        )
        for index in batch[rank * 12 // world_size : (rank + 1) * 12 // world_size]
    ]


def epoch(data: Data, semi: SemiSupervision) -> dict:
    """All that a rank finds in an epoch of three steps."""
    rank, world_size = get_dist_info()
    if len(data.unlabelled_indices) > 2 and rank == world_size - 1:
        data.bad_images.reasons[data.image_ids[data.unlabelled_indices[1]]] = 'truncated'
    report = semi.begin_epoch(2)
    targets = [semi.targets(samples_of(data, step)) for step in range(3)]
    bank = semi.state.bank
    everything = bank.gathered()
    again = None if everything is None else (everything.labels, everything.weights)
    ids, whole = [data.image_ids[index] for index in data.unlabelled_indices], [everything]
    broadcast_object_list(whole)
    of_all = PseudoLabelBank.of_all(ids, whole[0])
    if world_size == 1:
        again = of_all.lookup(ids)
    return dict(
        share=(bank.pseudo_labels.labels, bank.pseudo_labels.weights), everything=again, size=len(bank),
        shared_out=(of_all.pseudo_labels.labels, of_all.pseudo_labels.weights),
        targets=[(target.labels, target.weights) for target in targets], figures=report.figures(),
        taught=semi.model.is_taught, truth=report.truth,
    )  # fmt: skip


def story() -> dict:
    """(set, settings) -> what this rank has found; where there are few images, by the policies that talk."""
    found = {}
    for name in SETS:
        for policy in POLICIES if name == 'ties' else ('cat', 'instance_adaptive', 'calibrated'):
            for settings in ({}, dict(wrong_labels=0.4)) if policy in ('cat', 'calibrated') else ({},):
                semi = algorithm(Data(name), dict(name=policy) | POLICIES[policy], **settings)
                found[(name, policy, *settings)] = epoch(semi.dataset, semi)
        semi = algorithm(Data(name), dict(name='cat'), oracle=True, wrong_labels=0.25)
        found[name, 'oracle'] = epoch(semi.dataset, semi)
    return found


def refusals() -> list[str]:
    """What this rank says of a NaN on the rank that holds row 1, then row 2, and of an image that nobody knows."""
    rank, world_size = get_dist_info()
    said = []
    for row in (1, 2):
        scores = torch.from_numpy(Data('ties').scores)
        scores[row, 2] = scores[row + 40, 1] = float('nan')
        share = scores[rank::world_size]
        readable = torch.ones(len(share), dtype=torch.bool)
        try:
            label_rows(build_policy('cat'), share, torch.full((CLASSES,), 0.3), readable)
        except CSSAError as error:
            said.append(str(error))
    semi = algorithm(Data('ties'), dict(name='cat'))
    semi.begin_epoch(2)
    try:
        semi.state.bank.lookup(['image 0', 'stranger'] if rank == world_size - 1 else [])
    except DataError as error:
        said.append(str(error))
    return said


class Largest(TorchDispatchMode):
    """Notes the number of elements of the largest tensor that is made."""

    size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        self.size = max(self.size, made.numel() if isinstance(made, torch.Tensor) else 0)
        return made


def largest() -> dict[str, int]:
    """Elements of the largest tensor of an epoch on 8,000 images of 5 classes, by policy."""
    SETS['many'] = (8000, 2**24)
    sizes = {}
    for policy, options in POLICIES.items():
        semi = algorithm(Data('many'), dict(name=policy) | options, wrong_labels=0.1)
        with Largest() as found:
            semi.begin_epoch(0).figures()
            semi.targets(samples_of(semi.dataset, 0))
        sizes[policy] = found.size
    return sizes


if __name__ == '__main__':
    torch.distributed.init_process_group('gloo')
    torch.set_num_threads(1)
    found = dict(story=story(), refusals=refusals(), largest=largest())
    rank, world_size = get_dist_info()
    torch.save(found, Path(sys.argv[1], f'{world_size}-{rank}.pt'))
    os._exit(0)  # an object that outlives gloo's threads aborts the process
